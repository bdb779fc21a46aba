"""catalog.toml and the user's own rows -> Router objects; every wrong row is an error that names it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from chomp_mcp.dialects import DIALECTS
from chomp_mcp.errors import InvalidSetting
from chomp_mcp.messages import AUTO, Router
from chomp_mcp.settings import Settings, checked_url

__all__ = ["environment_keys", "load"]


def load(settings: Settings) -> dict[str, Router]:
    """All routers in catalog order, the user's own after them; a user's row on a built-in id changes its fields.

    URLs: `CHOMP_ROUTER_<ID>_URL`, `OLLAMA_BASE_URL` and `CURSOR_ADAPTER_URL` win over every row.

    Raises:
        InvalidSetting: names the row and the field, or the variable.
    """
    rows = dict(_built_in())
    for router_id, row in settings.router_rows.items():
        rows[router_id] = _merged(rows.get(router_id), _checked_row(router_id, row))
    routers = {router_id: _router(router_id, row) for router_id, row in rows.items()}
    for variable, url in _url_overrides(settings.environment).items():
        _override(routers, variable, url)
    _refuse_unknown_routers(settings, routers)
    return routers


def environment_keys(settings: Settings, routers: Mapping[str, Router]) -> dict[str, tuple[str, ...]]:
    """Router id -> the owner's keys in the environment; several in one variable are separated by commas.

    Raises:
        InvalidSetting: names the variable, never the key.
    """
    found = {}
    for router in routers.values():
        keys = tuple(filter(None, map(str.strip, settings.environment.get(router.key_variable, "").split(","))))
        if router.key_variable and keys:
            _refuse_odd_keys(router.key_variable, keys)
            found[router.id] = tuple(dict.fromkeys(keys))
    return found


def _refuse_unknown_routers(settings: Settings, routers: Mapping[str, Router]) -> None:
    """LLM_PROVIDER and LLM_FALLBACKS name routers: a slip of the keyboard must not be a silent default."""
    if settings.provider != AUTO and settings.provider not in routers:
        raise InvalidSetting(
            f"LLM_PROVIDER is wrong: there is no router {settings.provider!r}.", hint=f"Known: {', '.join(routers)}."
        )
    for ref in settings.fallbacks:
        router, slash, model = ref.partition("/")
        if router not in routers or (slash and not model):
            raise InvalidSetting(
                f"LLM_FALLBACKS is wrong: {ref!r} names no router.",
                hint=f"Write a router, or router/model. Known: {', '.join(routers)}.",
            )


_CATALOG = Path(__file__).with_name("catalog.toml")


@cache
def _built_in() -> Mapping[str, Mapping[str, Any]]:
    rows = tomllib.loads(_CATALOG.read_text(encoding="utf-8"))["routers"]
    return {router_id: _checked_row(router_id, row, "catalog.toml") for router_id, row in rows.items()}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be text")  # noqa: TRY004 - one error for every wrong field
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")  # noqa: TRY004 - one error for every wrong field
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise ValueError('must be a list of texts, such as ["a", "b"]')
    return tuple(value)


_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def _headers(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping) or not all(isinstance(text, str) for text in value.values()):
        raise ValueError('must be a table of texts, such as { X-Team = "a" }')
    if not all(_HEADER_NAME.fullmatch(name) and text.isprintable() for name, text in value.items()):
        raise ValueError("holds a name or a value that HTTP does not allow")
    return {name.lower(): text for name, text in value.items()}


def _url(value: Any) -> str:
    text = _text(value)
    if text.startswith("mock://"):
        return text.rstrip("/")
    try:
        url = checked_url(text)
    except ValueError:
        raise ValueError("must be an http(s) URL") from None
    if "@" in url.split("/")[2]:
        raise ValueError("must not hold a password; name the variable that holds the key in `key`")
    return url


def _path(value: Any) -> str:
    path = _text(value)
    if "://" in path:
        return _url(path)
    if not path.startswith("/"):
        raise ValueError("must be a path that begins with / or a whole URL")
    return path


def _variable(value: Any) -> str:
    variable = _text(value)
    if variable and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", variable):
        raise ValueError("must be the name of the environment variable that holds the key, never the key itself")
    return variable


def _one_of(*allowed: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if value not in allowed:
            raise ValueError(f"must be one of {', '.join(repr(a) for a in allowed)}")
        return str(value)

    return check


_CHECKS: Mapping[str, Callable[[Any], Any]] = {
    "name": _text,
    "url": _url,
    "dialect": _one_of(*DIALECTS),
    "key": _variable,
    "keys_page": _text,
    "headers": _headers,
    "models": _texts,
    "models_path": _path,
    "hide": _texts,
    "max_tokens": _one_of("max_tokens", "max_completion_tokens", ""),
    "drop": _texts,
    "joins_auto": _one_of("keyed", "reachable", "last", "never"),
    "deprecated": _flag,
    "note": _text,
    "free": _flag,
    "quota_scope": _one_of("key", "model"),
    "key_info": _text,
    "session_header": _text,
    "limits": _text,
}
"""A row's fields, and what each must be."""

_ID = re.compile(r"[a-z0-9_-]+")
_HERE = "config.toml"


def _checked_row(router_id: str, row: Any, place: str = _HERE) -> dict[str, Any]:
    """The row with its values checked; nothing is filled in."""
    if not _ID.fullmatch(router_id) or router_id == AUTO:
        why = "is reserved" if router_id == AUTO else "may hold only a-z, 0-9, - and _"
        raise InvalidSetting(f"[routers.{router_id}] in {place}: the id {why}.", hint="Choose another id for the row.")
    if not isinstance(row, Mapping):
        raise InvalidSetting(f"routers.{router_id} in {place} is not a table.", hint=f"Write [routers.{router_id}].")
    return {name: _checked(router_id, name, value, place) for name, value in row.items()}


def _checked(router_id: str, name: str, value: Any, place: str) -> Any:
    check = _CHECKS.get(name)
    if check is None:
        message = f"[routers.{router_id}] in {place} has an unknown field {name!r}."
        raise InvalidSetting(message, hint=f"Known: {', '.join(_CHECKS)}.")
    try:
        return check(value)
    except ValueError as error:
        message = f"[routers.{router_id}] in {place}: {name} {error}."
        raise InvalidSetting(message, hint=f"Correct or remove {name}.") from None


def _merged(built_in: Mapping[str, Any] | None, row: Mapping[str, Any]) -> dict[str, Any]:
    """The user's fields over the built-in ones."""
    if built_in is None:
        return {"max_tokens": "", **row}  # an unknown server gets the output limit as the caller wrote it
    merged = {**built_in, **row}
    if "url" in row and "models_path" not in row:
        merged["models_path"] = _own_path(merged.get("models_path", _LIST))
    return merged


_LIST = "/models"


def _own_path(models_path: str) -> str:
    """The list of another server: one at a whole URL (Fireworks) does not outlive the base URL it belongs to."""
    return _LIST if "://" in models_path else models_path


def _router(router_id: str, row: Mapping[str, Any]) -> Router:
    if not row.get("url"):
        message = f"[routers.{router_id}] in {_HERE} has no url."
        raise InvalidSetting(message, hint='Add url = "https://…/v1", the base URL of its API.')
    values = {"name": router_id, **row}
    return Router(id=router_id, key_variable=values.pop("key", ""), **values)


_OVERRIDE = re.compile(r"CHOMP_ROUTER_(.+)_URL")
_OWN_NAMES = {"OLLAMA_BASE_URL": "ollama", "CURSOR_ADAPTER_URL": "cursor"}


def _url_overrides(environment: Mapping[str, str]) -> dict[str, str]:
    """Variable -> URL, the general name last so that it wins; an empty variable counts as absent."""
    names = [*_OWN_NAMES, *sorted(filter(_OVERRIDE.fullmatch, environment))]
    return {name: environment[name].strip() for name in names if environment.get(name, "").strip()}


def _override(routers: dict[str, Router], variable: str, url: str) -> None:
    named = _OWN_NAMES.get(variable) or _OVERRIDE.sub(r"\1", variable)
    meant = [router for router in routers.values() if _variable_part(router.id) == _variable_part(named)]
    if not meant:
        raise InvalidSetting(
            f"{variable} is set, but there is no router {named.lower()!r}.", hint=f"Known: {', '.join(routers)}."
        )
    try:
        checked = _url(url)
    except ValueError as error:
        raise InvalidSetting(f"{variable} in the environment {error}.", hint=f"Correct or remove {variable}.") from None
    for router in meant:
        routers[router.id] = replace(router, url=checked, models_path=_own_path(router.models_path))


def _variable_part(router_id: str) -> str:
    return router_id.upper().replace("-", "_")


def _refuse_odd_keys(variable: str, keys: tuple[str, ...]) -> None:
    for key in keys:
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise InvalidSetting(
                f"{variable} in the environment holds white space or characters that no key has.",
                hint=f"Set {variable} to the key alone; separate several with commas.",
            )
