"""JSON with comments and trailing commas (JSONC), edited in place by the positions of its members.

There is no library for it in Python that keeps the layout: those that do run Node.

A file that is an array of objects with a `name` each (VS Code's chatLanguageModels.json) is read as an object by these
names, below the section `""`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from chomp_mcp.doors.cli.edits import CannotEdit

_GAP = re.compile(r"[\s\ufeff]*")
_COMMENT = re.compile(r"//[^\r\n]*|/\*.*?\*/", re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_PLAIN = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null")


@dataclass(slots=True)
class _Node:
    """A value and where it stands; `last` is the end of an object's or array's last token before the closing brace."""

    value: Any
    start: int
    end: int = 0
    members: list[_Member] = field(default_factory=list)
    last: int = 0


@dataclass(slots=True)
class _Member:
    """`before` is where the token before it (brace, comma or comment) ends, `comma` where the one after it stands."""

    name: str
    before: int
    start: int
    node: _Node
    comma: int | None = None


def read(text: str) -> dict[str, Any]:
    """The file's object. A name that stands twice counts the last time, as in JavaScript."""
    root = _parsed(text)
    if root is not None and isinstance(root.value, list):
        return {_LIST: {member.name: member.node.value for member in root.members}}
    return root.value if root else {}


def put(text: str, path: Sequence[str], value: Any) -> str:
    """The text with the value at the path."""
    root = _parsed(text)
    if root is None:
        whole = [_nested(path[2:], value)] if path[0] == _LIST else _nested(path, value)
        return text.rstrip() + json.dumps(whole, indent=2, ensure_ascii=_is_odd(value)) + "\n"
    path, node = _within(root, path), root
    for depth, name in enumerate(path):
        if node.value is None:
            return _replaced(text, node, _nested(path[depth:], value))
        is_named = isinstance(value, dict) and value.get("name") == name and depth == len(path) - 1
        if not isinstance(node.value, dict) and not (isinstance(node.value, list) and (node is root or is_named)):
            raise CannotEdit(f'"{".".join(path[:depth])}" in it is no object')
        member = next((member for member in reversed(node.members) if member.name == name), None)
        if member is None:
            return _inserted(text, node, name, _nested(path[depth + 1 :], value))
        node = member.node
    return _replaced(text, node, value)


def drop(text: str, path: Sequence[str]) -> str:
    """The text without the member at the path; with it go its comma and the gap before it."""
    node = _parsed(text)
    steps = _within(node, path) if node else path
    for name in steps[:-1]:
        node = next((member.node for member in reversed(node.members) if member.name == name), None) if node else None
    index = next((i for i, member in enumerate(node.members) if member.name == steps[-1]), None) if node else None
    if node is None or index is None:
        return text
    member = node.members[index]
    end = member.node.end if member.comma is None else member.comma + 1
    without = text[: member.before] + text[end:]
    before = node.members[index - 1].comma if index and member.comma is None else None
    if before is not None:  # the last one had no comma: now the one before it is the last
        without = without[:before] + without[before + 1 :]
    if len(node.members) == 1 and not text[node.start + 1 : member.before].strip():
        without = without[: node.start + 1] + without[member.before :].lstrip()
    return drop(without, path)


def _replaced(text: str, node: _Node, value: Any) -> str:
    """Another value: in one line where the old one was."""
    old = text[node.start : node.end]
    if "\n" in old or not node.value:
        new = _rendered(text, value, _indent_at(text, node.start))
    else:
        new = json.dumps(value, ensure_ascii=_is_odd(value))
    return text[: node.start] + new + text[node.end :]


def _inserted(text: str, node: _Node, name: str, value: Any) -> str:
    """A new last member, in the manner of those before it."""
    newline = "\r\n" if "\r\n" in text else "\n"
    key = "" if isinstance(node.value, list) else f"{json.dumps(name)}: "
    if not node.members:
        inner = _indent_at(text, node.start) + _unit(text)
        member = f"{newline}{inner}{key}{_rendered(text, value, inner)}"
        rest = text[node.last :]
        ending = "" if rest.lstrip(" \t").startswith(("\r", "\n")) else newline + _indent_at(text, node.start)
        return text[: node.last] + member + (ending + rest.lstrip(" \t") if ending else rest)
    last = node.members[-1]
    is_in_lines = "\n" in text[node.start : last.start] or "\n" in text[node.last : node.end]
    if is_in_lines:
        inner = _indent_at(text, last.start)
        member = f"{newline}{inner}{key}{_rendered(text, value, inner)}"
    else:
        member = f" {key}{json.dumps(value, ensure_ascii=_is_odd(value))}"
    if last.comma is not None:
        return text[: node.last] + member + "," + text[node.last :]
    return text[: last.node.end] + "," + text[last.node.end : node.last] + member + text[node.last :]


def _rendered(text: str, value: Any, indent: str) -> str:
    """The value as JSON in the file's own indentation."""
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = json.dumps(value, indent=_unit(text), ensure_ascii=_is_odd(value)).splitlines()
    return f"{newline}{indent}".join(lines)


def _is_odd(value: Any) -> bool:
    """Half an emoji, which JavaScript writes, has no UTF-8: escaped, it goes through."""
    return any("\ud800" <= character <= "\udfff" for character in json.dumps(value, ensure_ascii=False))


def _unit(text: str) -> str:
    """One step of the file's indentation."""
    found = re.search(r"\n([ \t]+)\S", text)
    return found[1] if found else "  "


def _indent_at(text: str, position: int) -> str:
    line = text[text.rfind("\n", 0, position) + 1 : position]
    return line[: len(line) - len(line.lstrip(" \t\ufeff"))].replace("\ufeff", "")


def _nested(path: Sequence[str], value: Any) -> Any:
    for name in reversed(path):
        value = {name: value}
    return value


def _parsed(text: str) -> _Node | None:
    """The root object; None for a text without a value."""
    try:
        start = _next(text, 0)[0]
        if start == len(text):
            return None
        root = _value(text, start)
        rest = _next(text, root.end)[0]
    except RecursionError:
        raise CannotEdit("it is nested too deeply") from None
    if rest != len(text):
        raise CannotEdit(f"it is no JSON from {_place(text, rest)} on")
    if not isinstance(root.value, dict | list):
        raise CannotEdit("it holds no JSON object")
    return root


_LIST = ""
"""The section that a file which is an array stands for."""


def _within(root: _Node, path: Sequence[str]) -> Sequence[str]:
    """The path below the root."""
    if isinstance(root.value, list) is not (path[0] == _LIST):
        raise CannotEdit("it holds no JSON object" if isinstance(root.value, list) else "it holds no JSON array")
    return path[1:] if path[0] == _LIST else path


def _next(text: str, position: int) -> tuple[int, int]:
    """Where the next token begins, and where the last comment before it ends (or `position`)."""
    last = position
    while True:
        gap = _GAP.match(text, position)
        position = gap.end() if gap else position
        comment = _COMMENT.match(text, position)
        if comment is None:
            return position, last
        position = last = comment.end()


def _value(text: str, start: int) -> _Node:
    """Whatever begins there; of an array the values that have no name are called by their numbers."""
    first = text[start : start + 1]
    if first not in {"{", "["}:
        return _scalar(text, start, _STRING if first == '"' else _PLAIN)
    is_object = first == "{"
    node, end = _Node({} if is_object else [], start), "}" if is_object else "]"
    position, last = _next(text, start + 1)
    while text[position : position + 1] != end:
        begin = position
        if is_object:
            key = _scalar(text, position, _STRING)
            position = _next(text, key.end)[0]
            if text[position : position + 1] != ":":
                raise CannotEdit(f"it is no JSON at {_place(text, position)}")
            value = _value(text, _next(text, position + 1)[0])
            node.value[key.value] = value.value
            name = key.value
        else:
            value = _value(text, position)
            node.value.append(value.value)
            named = value.value.get("name") if isinstance(value.value, dict) else None
            name = named if isinstance(named, str) else f"#{len(node.members)}"
        member = _Member(name, last, begin, value)
        node.members.append(member)
        position, last = _next(text, value.end)
        if text[position : position + 1] == ",":
            member.comma = position
            position, last = _next(text, position + 1)
        elif text[position : position + 1] != end:
            raise CannotEdit(f"it is no JSON at {_place(text, position)}")
    node.last, node.end = last, position + 1
    return node


def _scalar(text: str, start: int, pattern: re.Pattern[str]) -> _Node:
    """A text, a number or a word."""
    token = found[0] if (found := pattern.match(text, start)) else ""
    try:  # an escape may be none, and a number longer than Python reads
        return _Node(json.loads(token, strict=False), start, start + len(token))
    except ValueError:
        raise CannotEdit(f"it is no JSON at {_place(text, start)}") from None


def _place(text: str, position: int) -> str:
    return f"line {text.count(chr(10), 0, position) + 1}"
