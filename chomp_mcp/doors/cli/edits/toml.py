"""TOML, edited in place by tomlkit."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from typing import Any

import tomlkit
from tomlkit.container import Container, OutOfOrderTableProxy
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Table

from chomp_mcp.doors.cli.edits import CannotEdit


def read(text: str) -> dict[str, Any]:
    """The file's data, by the standard library: tomlkit takes more than TOML allows."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CannotEdit(f"it is no TOML: {error}") from None


def put(text: str, path: Sequence[str], value: Any) -> str:
    """The text with the value at the path; a new table comes last, as a section of its own."""
    document = _parsed(text)
    *above, last = path
    parents: Any = document
    for name in above:
        if name not in parents:
            parents[name] = tomlkit.table(is_super_table=True)
        parents = parents[name]
        if not isinstance(parents, dict | Container | OutOfOrderTableProxy):
            raise CannotEdit(f'"{name}" in it is no table')
    newline = "\r\n" if "\r\n" in text else "\n"
    own = next(_sections(text, above, is_exact=True), None)
    if own is not None and last not in parents:
        gap = "" if text[: own[1]].endswith("\n") else newline
        line = tomlkit.dumps({last: _item(value)}).strip("\n") + newline
        return text[: own[1]] + gap + line + text[own[1] :]
    is_section = isinstance(value, dict) and isinstance(parents, Table | Container | OutOfOrderTableProxy)
    if not is_section or last in parents:
        parents[last] = _item(value)
        return tomlkit.dumps(document)
    # At the end of the text: tomlkit would put it behind its sisters, into somebody's comment perhaps.
    made: Any = tomlkit.table()
    for name, inner in value.items():
        made.add(name, _item(inner))
    for name in reversed(path[1:]):
        outer = tomlkit.table(is_super_table=True)
        outer.add(name, made)
        made = outer
    whole = tomlkit.document()
    whole.add(path[0], made)
    gap = "" if not document.as_string().strip() else newline if text.endswith("\n") else newline * 2
    return text + gap + tomlkit.dumps(whole).replace("\n", newline)


def drop(text: str, path: Sequence[str]) -> str:
    """The text without what stands at the path; of a section the comments behind it stay."""
    sections = list(_sections(text, path))
    if sections:
        for start, end in reversed(sections):
            before, rest = text[:start], text[end:]
            if before.endswith(("\n\n", "\n\r\n")) and (not rest or rest.startswith(("\n", "\r\n"))):
                before = before.removesuffix("\n").removesuffix("\r")
            text = before + rest
        return text
    document = _parsed(text)
    *above, last = path
    parents: Any = document
    for name in above:
        parents = parents.get(name, {})
    if last in parents:
        del parents[last]
    return tomlkit.dumps(document)


def _sections(text: str, path: Sequence[str], *, is_exact: bool = False) -> Iterator[tuple[int, int]]:
    """Where `[a.b]` and, unless `is_exact`, `[a.b.…]` stand, each to its last line that is no blank and no comment."""
    name = r"[ \t]*\.[ \t]*".join(f"[\"']?{re.escape(part)}[\"']?" for part in path)
    ours = re.compile(rf"[ \t]*\[[ \t]*{name}[ \t]*[{'' if is_exact else '.'}\]]")
    # A line in a text of several lines may look like a header: whoever calls compares what is left.
    headers = [header.start() for header in re.finditer(r"^[ \t]*\[.*$", text, re.MULTILINE)]
    for start, end in zip(headers, [*headers[1:], len(text)], strict=False):
        if ours.match(text, start):
            lines = text[start:end].splitlines(keepends=True)
            while lines[-1].lstrip().startswith("#") or not lines[-1].strip():
                lines.pop()
            yield start, start + len("".join(lines))


def _parsed(text: str) -> tomlkit.TOMLDocument:
    try:
        return tomlkit.parse(text)
    except TOMLKitError as error:
        raise CannotEdit(f"it is no TOML: {error}") from None


def _item(value: Any) -> Any:
    """Inner objects (`env`) in one line."""
    if not isinstance(value, dict):
        return tomlkit.item(value)
    table = tomlkit.inline_table()
    table.update(value)
    return table
