"""A router's row, checked by pydantic: the fields are those of `Router`, by name and type.

Imported only where a user wrote a row: pydantic costs 75 ms, and the catalog that we ship is checked by our tests.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from decimal import Decimal
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model

from chomp_mcp.dialects import DIALECTS
from chomp_mcp.errors import InvalidSetting
from chomp_mcp.messages import Router
from chomp_mcp.settings import checked_router_url


def checked_row(router_id: str, row: Mapping[str, Any], place: str) -> dict[str, Any]:
    """What the row says, by the names of `Router`'s fields; `InvalidSetting` names the field and what it must be."""
    try:
        return _Row.model_validate(row).model_dump(exclude_unset=True)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
    name = str(fault["loc"][0])
    if fault["type"] == "extra_forbidden":
        message = f"[routers.{router_id}] in {place} has an unknown field {name!r}."
        known = [_SPELLINGS.get(field, field) for field in _Row.model_fields]
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
        raise InvalidSetting(message, hint=f"Did you mean {close[0]}?" if close else f"Known: {', '.join(known)}.")
    is_ours = fault["type"] == "value_error"
    reason = str(fault["ctx"]["error"]) if is_ours else ""
    if not is_ours:
        named = next(each.name for each in fields(Router) if _SPELLINGS.get(each.name, each.name) == name)
        hint = get_type_hints(Router)[named]
        told = _OTHER_DESCRIPTIONS.get(named) or _DESCRIPTIONS.get(hint) or _DESCRIPTIONS.get(get_origin(hint))
        reason = f"must be {told or 'one of ' + ', '.join(map(repr, get_args(hint)))}"
    raise InvalidSetting(f"[routers.{router_id}] in {place}: {name} {reason}.", hint=f"Correct or remove {name}.")


def _path(path: str) -> str:
    if "://" in path:
        return checked_router_url(path)
    if not path.startswith("/"):
        raise ValueError("must be a path that begins with / or a whole URL")
    return path


def _variable(holds: str) -> Callable[[str], str]:
    def check(name: str) -> str:
        if name and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            why = f"must be the name of the environment variable that holds the {holds}, never the {holds} itself"
            raise ValueError(why)
        return name

    return check


_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def _headers(headers: Mapping[str, str]) -> dict[str, str]:
    if not all(_HEADER_NAME.fullmatch(name) and text.isprintable() for name, text in headers.items()):
        raise ValueError("holds a name or a value that HTTP does not allow")
    return {name.lower(): text for name, text in headers.items()}


def _dialect(name: str) -> str:
    if name not in DIALECTS:
        raise ValueError(f"must be one of {', '.join(repr(each) for each in DIALECTS)}")
    return name


def _speaks(table: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
    for name in table:
        try:
            _dialect(name)
        except ValueError as error:
            raise ValueError(f"holds {name!r}: a dialect {error}") from None
    return table


def _no_empty(texts: tuple[str, ...]) -> tuple[str, ...]:
    if not all(texts):
        raise ValueError(f"must be {_DESCRIPTIONS[tuple]}")
    return texts


def _listed(value: Any) -> Any:
    """TOML's lists are our tuples."""
    return tuple(value) if isinstance(value, list) else value


def _amount(value: Any) -> Any:
    """TOML's numbers are our dollars."""
    return Decimal(str(value)) if isinstance(value, int | float) and not isinstance(value, bool) else value


_CHECKS: Mapping[str, Any] = {
    "url": AfterValidator(checked_router_url),
    "dialect": AfterValidator(_dialect),
    "speaks": AfterValidator(_speaks),
    "key_variable": AfterValidator(_variable("key")),
    "url_variable": AfterValidator(_variable("URL")),
    "headers": AfterValidator(_headers),
    "models_path": AfterValidator(_path),
}
"""Where a value must be more than its type says."""

_DESCRIPTIONS: Mapping[Any, str] = {
    str: "text",
    bool: "true or false",
    tuple: 'a list of texts, such as ["a", "b"]',
    Mapping[str, str]: 'a table of texts, such as { X-Team = "a" }',
}
_OTHER_DESCRIPTIONS: Mapping[str, str] = {
    "prices": 'a table of USD per million tokens, such as { "model" = { input = 0.15, output = 0.60 } }',
    "speaks": 'a table of dialects and patterns, such as { responses = ["gpt-*"] }',
    "replace": 'a table such as { "*gpt-oss*" = { reasoning_effort = { none = "low" } } }',
    "quota_windows": 'a table such as { requests = "day", tokens = "minute" }',
}
_SPELLINGS = {"key_variable": "key"}
"""Fields that a row spells differently."""


_NOT_IN_ROWS = frozenset({"id", "known", "spoken", "url_from", "url_lacks"})


def _build() -> type[BaseModel]:
    hints = get_type_hints(Router)
    columns: dict[str, Any] = {}
    for field in fields(Router):
        if field.name in _NOT_IN_ROWS:
            continue
        hint: Any = hints[field.name]
        if get_origin(hint) is tuple:
            hint = Annotated[hint, BeforeValidator(_listed), AfterValidator(_no_empty)]
        elif field.name == "speaks":
            hint = Mapping[str, Annotated[tuple[str, ...], BeforeValidator(_listed), AfterValidator(_no_empty)]]
        elif field.name == "prices":
            amount = Annotated[Decimal, BeforeValidator(_amount), Field(ge=0, le=1_000_000)]
            model, kind = str, get_args(get_args(hint)[1])[0]
            hint = Mapping[model, Mapping[kind, amount]]  # type: ignore[valid-type]  # made at run time
        if check := _CHECKS.get(field.name):
            hint = Annotated[hint, check]
        columns[field.name] = (hint, Field(default=None, alias=_SPELLINGS.get(field.name)))
    return create_model("Row", __config__=ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True), **columns)


_Row = _build()
