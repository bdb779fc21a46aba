"""JSON and text as routers really send them: numbers that are none, halves of an emoji."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from chomp_mcp import wire
from chomp_mcp.dialects.values import as_list

_BOM = b"\xef\xbb\xbf"


def loads(data: bytes) -> Any:
    """Parse JSON as far as it can be meant; `ValueError` for what is none, or is nested too deeply to be an answer."""
    try:
        return wire.loads(data)
    except wire.TooManyValues:
        raise
    except ValueError:
        return read(data)[0]


def read(data: bytes) -> tuple[Any, bool]:
    """The value, and whether these bytes are JSON to every parser.

    NaN and Infinity are null, a byte order mark is nothing: a field that nobody needs must not cost a whole answer.

    Raises:
        ValueError: not JSON even so, or nested too deeply to be an answer.
    """
    try:
        return wire.loads(data), True
    except wire.TooManyValues:  # which the slower parser would read
        raise
    except ValueError:
        pass
    try:
        text = data.removeprefix(_BOM).decode()
        return json.loads(text, parse_constant=lambda _: None), False
    except RecursionError:
        raise ValueError("nested too deeply") from None


def as_input(arguments: Any) -> Mapping[str, Any]:
    """A call's arguments as an object, for dialects that take nothing else; words that are none travel inside one."""
    value = arguments
    if isinstance(arguments, str):
        try:
            value = loads(arguments.encode()) if arguments.strip() else None
        except ValueError:  # words, or half an emoji, which has no UTF-8
            value = arguments
    # No arguments at all: blank text, `null`, and an empty array, which PHP makes of an empty object.
    if value is None or value == [] or (isinstance(value, str) and not value.strip()):
        return {}
    return value if isinstance(value, Mapping) else {"arguments": value}


class Halves:
    """Joins a character above U+FFFF that a router cut in two, one UTF-16 surrogate in each of two deltas.

    Half a one is no text: it can be neither stored nor shown, and each half alone would become a question mark.
    """

    __slots__ = ("held",)

    def __init__(self) -> None:
        self.held: dict[tuple[Any, ...], str] = {}
        """The first halves that wait for their second."""

    def may_be_in(self, data: bytes) -> bool:
        """Half a character may be in this frame, or was in one before."""
        return bool(self.held) or (b"\\u" in data and (b"\\ud" in data or b"\\uD" in data))

    def join(self, choice: int, delta: dict[str, Any], *, is_end: bool) -> bool:
        """One delta, in place; true when something had to change. At the end a half that is left is shown as such."""
        changed = False
        for name in _TEXTS:
            if name in delta or (choice, name) in self.held:
                changed = self._join((choice, name), delta, name, is_end) or changed
        for call in as_list(delta.get("tool_calls")):
            function = call.get("function") if isinstance(call, Mapping) else None
            if isinstance(function, dict) and "arguments" in function:
                changed = self._join((choice, call.get("index")), function, "arguments", is_end) or changed
        return changed

    def _join(self, key: tuple[Any, ...], place: dict[str, Any], name: str, is_end: bool) -> bool:
        given = place.get(name)
        if not isinstance(given, str):
            if not is_end or key not in self.held:
                return False
            given = ""
        text = self.held.pop(key, "") + given
        if text and "\ud800" <= text[-1] <= "\udbff" and not is_end:
            self.held[key] = text[-1]
            text = text[:-1]
        # Through UTF-16: two halves that now stand side by side become one character, one that is alone
        # U+FFFD.
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        if text == given:
            return False
        place[name] = text
        return True


_TEXTS = ("content", "reasoning_content", "reasoning", "refusal")
