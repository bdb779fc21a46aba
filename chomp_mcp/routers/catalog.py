"""catalog.toml and the user's own rows -> Router objects; every wrong row is an error that names it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from chomp_mcp.errors import InvalidSetting
from chomp_mcp.messages import AUTO, Router
from chomp_mcp.policy.key_shape import cleaned_keys
from chomp_mcp.routers import model_facts
from chomp_mcp.settings import Settings, checked_router_url


def load(settings: Settings) -> dict[str, Router]:
    """All routers in catalog order, the user's own after them; a user's row on a built-in id changes its fields.

    URLs: `CHOMP_ROUTER_<ID>_URL` and `OLLAMA_BASE_URL` and its like win over every row. `InvalidSetting` names
    the row and the field, or the variable.
    """
    rows = dict(_built_in())
    for router_id, row in settings.router_rows.items():
        rows[router_id] = _users_row(router_id, row, rows.get(router_id))
    facts = model_facts.current(settings.home).routers
    routers = {}
    for router_id, row in rows.items():
        if not row.get("url"):
            message = f"[routers.{router_id}] in {_HERE} has no url."
            raise InvalidSetting(message, hint='Add url = "https://…/v1", the base URL of its API.')
        routers[router_id] = Router(id=router_id, **{"name": router_id, **row, "known": facts.get(router_id, {})})
    _override(routers, settings.environment)
    for router_id, as_written in routers.items():
        router = as_written
        if found := _VARIABLE.search(router.url):  # such as `{CLOUDFLARE_ACCOUNT_ID}`
            name = found[1]
            value = settings.environment.get(name, "").strip()
            if value and not re.fullmatch(r"[A-Za-z0-9_.-]+", value):
                message = f"{name} holds characters that no address has."
                raise InvalidSetting(message, hint=f"Correct or remove {name}.")
            url, models_path = (text.replace(found[0], value or found[0]) for text in (router.url, router.models_path))
            router = replace(router, url_lacks="" if value else name, url=url, models_path=models_path)
            routers[router_id] = router
        if router.speaks:
            # What a row says of the wire is about its own dialect: its models of another one see the defaults.
            plain = Router(router_id, router.name, router.url)
            of_the_wire = {name: getattr(plain, name) for name in _WIRE_FIELDS}
            spoken = {each: replace(router, dialect=each, speaks={}, **of_the_wire) for each in router.speaks}
            routers[router_id] = replace(router, spoken=spoken)
    # A slip of the keyboard must not be a silent default.
    known = f"Known: {', '.join(routers)}."
    if settings.provider != AUTO and settings.provider not in routers:
        raise InvalidSetting(f"LLM_PROVIDER is wrong: there is no router {settings.provider!r}.", hint=known)
    for ref in settings.fallbacks:
        named, slash, model = ref.partition("/")
        if named not in routers or (slash and not model):
            message = f"LLM_FALLBACKS is wrong: {ref!r} names no router."
            raise InvalidSetting(message, hint=f"Write a router, or router/model. {known}")
    return routers


def environment_keys(settings: Settings, routers: Mapping[str, Router]) -> dict[str, tuple[str, ...]]:
    """Router id -> the owner's keys in the environment; several in one variable are separated by commas.

    Quotes and `NAME=` around a key are taken off, and a placeholder that nobody filled in counts as no key.
    `InvalidSetting` names the variable, never the key.
    """
    found = {}
    for router in routers.values():
        keys = cleaned_keys(settings.environment.get(router.key_variable, "")) if router.key_variable else ()
        if any(not (key.isascii() and key.isprintable()) or " " in key for key in keys):
            why = f"{router.key_variable} in the environment holds white space or characters that no key has."
            raise InvalidSetting(why, hint=f"Set {router.key_variable} to the key alone; separate several with commas.")
        if keys:
            found[router.id] = keys
    return found


_VARIABLE = re.compile(r"\{([A-Z][A-Z0-9_]*)\}")


_WIRE_FIELDS = (
    "max_tokens",
    "drop",
    "message_fields",
    "reasoning_field",
    "roles",
    "flatten",
    "null_content",
    "tool_ids",
    "knows_allowed_tools",
    "no_stream_with",
    "replace",
)
"""What a row says of its own dialect's wire."""


_CATALOG = Path(__file__).with_name("catalog.toml")


@cache
def _built_in() -> Mapping[str, Mapping[str, Any]]:
    """The catalog as we ship it, which the tests check as a user's rows are checked at run time."""
    # Prices are read as they are written: 0.15 is no binary fraction.
    rows: dict[str, dict[str, Any]] = {}
    for router_id, row in tomllib.loads(_CATALOG.read_text(encoding="utf-8"), parse_float=Decimal)["routers"].items():
        values = rows[router_id] = {name: tuple(each) if isinstance(each, list) else each for name, each in row.items()}
        if "headers" in values:
            values["headers"] = {name.lower(): text for name, text in values["headers"].items()}
        if "speaks" in values:
            values["speaks"] = {dialect: tuple(patterns) for dialect, patterns in values["speaks"].items()}
        if "key" in values:
            values["key_variable"] = values.pop("key")
    return rows


_ID = re.compile(r"[a-z0-9_-]+")
_HERE = "config.toml"


def _users_row(router_id: str, row: Any, built_in: Mapping[str, Any] | None) -> dict[str, Any]:
    """The user's values, checked, over the built-in ones."""
    if not _ID.fullmatch(router_id) or router_id == AUTO:
        why = "is reserved" if router_id == AUTO else "may hold only a-z, 0-9, - and _"
        raise InvalidSetting(f"[routers.{router_id}] in {_HERE}: the id {why}.", hint="Choose another id for the row.")
    if not isinstance(row, Mapping):
        raise InvalidSetting(f"routers.{router_id} in {_HERE} is not a table.", hint=f"Write [routers.{router_id}].")
    from chomp_mcp.routers.rows import checked_row

    values = checked_row(router_id, row, _HERE)
    if built_in is None:
        return {"max_tokens": "", **values}  # an unknown server gets the output limit as the caller wrote it
    merged = {**built_in, **values}
    if merged["url"] != built_in["url"]:
        merged["url_from"] = _HERE
        if "models_path" not in values:
            merged["models_path"] = _own_path(merged.get("models_path", _LIST))
    return merged


_LIST = "/models"


def _own_path(models_path: str) -> str:
    """The list of another server: one at a whole URL (Fireworks) does not outlive the base URL it belongs to."""
    return _LIST if "://" in models_path else models_path


_OVERRIDE = re.compile(r"CHOMP_ROUTER_(.+)_URL")


def _override(routers: dict[str, Router], environment: Mapping[str, str]) -> None:
    """Move routers to where the environment wants them, the general name last so that it wins."""
    own_names = {router.url_variable: router.id for router in routers.values() if router.url_variable}
    for variable in [*own_names, *sorted(filter(_OVERRIDE.fullmatch, environment))]:
        url = environment.get(variable, "").strip()
        if not url:
            continue  # an empty variable counts as absent
        named = own_names.get(variable) or _OVERRIDE.sub(r"\1", variable)
        meant = [router for router in routers.values() if _variable_part(router.id) == _variable_part(named)]
        if not meant:
            why = f"{variable} is set, but there is no router {named.lower()!r}."
            raise InvalidSetting(why, hint=f"Known: {', '.join(routers)}.")
        try:
            checked = checked_router_url(url, may_hold_password=True)
        except ValueError as error:
            message = f"{variable} in the environment {error}."
            raise InvalidSetting(message, hint=f"Correct or remove {variable}.") from None
        for router in meant:
            # A program of this machine is named by where it listens: its path, such as /v1, stays what it was.
            own_path = "" if urlsplit(checked).path or variable not in own_names else urlsplit(router.url).path
            path = _own_path(router.models_path)
            routers[router.id] = replace(router, url=checked + own_path, url_from=variable, models_path=path)


def _variable_part(router_id: str) -> str:
    return router_id.upper().replace("-", "_")
