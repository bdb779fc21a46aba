"""YAML, edited in place by the positions that PyYAML tells: an entry is lines of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from chomp_mcp.doors.cli.edits import CannotEdit


def read(text: str) -> dict[str, Any]:
    """The file's data."""
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise CannotEdit(f"it is no YAML: {' '.join(str(error).split())}") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise CannotEdit("it holds no YAML mapping")
    return data


def put(text: str, path: Sequence[str], value: Any) -> str:
    """The text with the value at the path, which has two names: those that we know stand so (`extensions.chomp`)."""
    section, name = path
    read(text)
    root = yaml.compose(text)
    members = _members(root)
    newline = "\r\n" if "\r\n" in text else "\n"
    if section not in members:
        lines = _lines({section: {name: value}}, "", newline)
        return text + ("" if not text or text.endswith("\n") else newline) + lines
    node = members[section][1]
    inside = _members(node)
    if name in inside:
        start, end = _span(text, *inside[name])
        return text[:start] + _lines({name: value}, " " * inside[name][0].start_mark.column, newline) + text[end:]
    if inside and node.start_mark.line > members[section][0].start_mark.line:
        at = max(_span(text, *pair)[1] for pair in inside.values())
        gap = "" if text[:at].endswith("\n") else newline
        column = next(iter(inside.values()))[0].start_mark.column
        return text[:at] + gap + _lines({name: value}, " " * column, newline) + text[at:]
    if inside or (not isinstance(node, yaml.MappingNode) and node.value not in {"", "~", "null"}):
        raise CannotEdit(f'"{section}" in it is written in one line')
    colon = text.index(":", members[section][0].end_mark.index) + 1
    rest = text[max(colon, node.end_mark.index) :] if node.value != "" else text[colon:]
    return text[:colon] + newline + _lines({name: value}, "  ", newline).removesuffix(newline) + rest


def drop(text: str, path: Sequence[str]) -> str:
    """The text without the lines of the entry; a section that is empty then is `{}`."""
    section, name = path
    members = _members(yaml.compose(text))
    if section not in members:
        return text
    key, node = members[section]
    inside = _members(node)
    if name not in inside:
        return text
    if node.flow_style:
        raise CannotEdit(f'"{section}" in it is written in one line')
    start, end = _span(text, *inside[name])
    without = text[:start] + text[end:]
    colon = text.index(":", key.end_mark.index) + 1
    return without if len(inside) > 1 else without[:colon] + " {}" + without[colon:]


def _members(node: Any) -> dict[str, tuple[Any, Any]]:
    if not isinstance(node, yaml.MappingNode):
        return {}
    return {key.value: (key, value) for key, value in node.value}


def _span(text: str, key: Any, value: Any) -> tuple[int, int]:
    """From the beginning of the key's line to the end of the last line that has something of the value."""
    start = text.rfind("\n", 0, key.start_mark.index) + 1
    last = max((leaf.end_mark.index for leaf in _leaves(value)), default=key.end_mark.index)
    last = len(text[:last].rstrip())
    end = text.find("\n", last)
    return start, len(text) if end < 0 else end + 1


def _leaves(node: Any) -> Iterator[Any]:
    if isinstance(node, yaml.MappingNode) and not node.flow_style and node.value:
        for key, value in node.value:
            yield from (key, *_leaves(value))
    elif isinstance(node, yaml.SequenceNode) and not node.flow_style and node.value:
        for item in node.value:
            yield from _leaves(item)
    else:
        yield node


def _lines(value: Any, indent: str, newline: str) -> str:
    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=1000)
    return "".join(f"{indent}{line}{newline}" for line in text.splitlines())
