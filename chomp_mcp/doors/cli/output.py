"""How the command line shows things: tables, JSON, and remarks on stderr."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, TextIO

_BIDI = (0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))
"""Characters that turn the order of what is shown round, and Unicode's own ends of lines."""
_CONTROLS: Mapping[int, str] = {
    **{code: "" for code in (*range(32), 127, *range(128, 160), *_BIDI) if chr(code) not in "\n\t"},
    **{code: f"[U+{code:04X}]" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))},
}
"""Characters with which a model's answer could drive the terminal; those that turn its words round are shown."""
_UNSEEN = re.compile(f"[\x7f-\x9f{''.join(map(chr, _BIDI))}]")
"""What JSON leaves as it is, and no terminal should get."""
_GAP = "  "
MIN_TEXT, MIN_FIRST = 18, 12
"""The narrowest that a column of text, and one of names, may become."""


def plain(text: str) -> str:
    """The text on one line, without control characters."""
    return " ".join(text.translate(_CONTROLS).split())


def cleaned(text: str) -> str:
    """The text without the characters that could drive a terminal; its lines and tabs stay."""
    return text.translate(_CONTROLS)


def answer(text: str) -> None:
    """A piece of an answer on stdout, at once; to a terminal without control characters, to a pipe as it came."""
    sys.stdout.write(text.translate(_CONTROLS) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def remark(text: str) -> None:
    """A line on stderr: for the person, not for the pipe."""
    print(as_typed(text.translate(_CONTROLS)), file=sys.stderr, flush=True)


def as_typed(text: str) -> str:
    """The text with its commands as they run here: `.venv/bin/chomp-mcp doctor`, `uvx chomp-mcp doctor`."""
    if not _COMMAND.search(text):
        return text
    from chomp_mcp.doors.cli.launch import NAME, typed_command

    typed = typed_command()
    return text if typed == NAME else _COMMAND.sub(lambda _: typed, text)


_COMMANDS = "ask|chat|dispatch|doctor|explain|install|jobs|keys|models|result|run|serve|setup|status|tokens"
_COMMAND = re.compile(rf"(?<![\w./-])chomp-mcp(?= (?:{_COMMANDS})\b)")


def show_json(value: Any) -> None:
    """Indented JSON on stdout; amounts of money as strings."""
    import json

    # What is neither an amount nor a read-only mapping is our mistake, and `dict` says so with a TypeError.
    text = json.dumps(
        value,
        indent=2,
        ensure_ascii=False,
        default=lambda each: format(each, "f") if isinstance(each, Decimal) else dict(each),
    )
    print(_UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


def room_on(stream: TextIO) -> int:
    """The columns of the terminal behind the stream; COLUMNS wins; 80 where nobody knows."""
    with contextlib.suppress(KeyError, ValueError):
        if (columns := int(os.environ["COLUMNS"])) > 0:
            return columns
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def table(
    headers: Sequence[str], rows: Iterable[Sequence[Any]], *, droppable: Sequence[str] = (), wraps: bool = False
) -> None:
    """Columns on stdout. Where a terminal is too narrow, `droppable` columns go, the first named first.

    What is still too wide stays whole: a long first cell gets a line of its own, the last column continues below itself
    where it `wraps`, and at the end each cell gets its line. A URL or a price is never cut.
    """
    words = {None: "-", True: "yes", False: "no"}
    cells = (
        [words[value] if value is None or isinstance(value, bool) else str(value) for value in row] for row in rows
    )
    shown = [list(headers), *(list(map(plain, row)) for row in cells)]
    room = room_on(sys.stdout) if sys.stdout.isatty() else 0
    for name in droppable:
        if not room or _width(shown) <= room:
            break
        place = shown[0].index(name)
        shown = [[cell for at, cell in enumerate(row) if at != place] for row in shown]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    over = _width(shown) - room if room else 0
    last = len(widths) - 1
    if over > 0 and wraps and widths[last] - over >= MIN_TEXT:
        widths[last] -= over
    elif over > 0 and widths[0] - over >= MIN_FIRST:
        widths[0] -= over
    elif over > 0:
        names = [name.ljust(max(map(len, shown[0][1:]))) for name in shown[0][1:]]
        for row in shown[1:]:
            lines = (f"  {name}  {cell}" for name, cell in zip(names, row[1:], strict=True) if cell)
            print(row[0], *lines, sep="\n")
        return
    for row in shown:
        if len(row[0]) > widths[0]:
            print(row[0])
            row[0] = ""
        texts = textwrap.wrap(row[last], widths[last], break_long_words=False, break_on_hyphens=False) or [""]
        if not wraps:
            texts = [row[last]]
        head = _GAP.join(cell.ljust(width) for cell, width in zip(row[:last], widths, strict=False))
        indent = " " * len(head)
        for index, text in enumerate(texts):
            print(f"{indent if index else head}{_GAP if last else ''}{text}".rstrip())


def _width(rows: Sequence[Sequence[str]]) -> int:
    return sum(max(map(len, column)) + len(_GAP) for column in zip(*rows, strict=True)) - len(_GAP)


def clock(at: float | None) -> str:
    """A time of today as 14:03, any other with its date, none as a dash; in the user's time zone."""
    if at is None:
        return "-"
    moment = datetime.fromtimestamp(at).astimezone()
    return moment.strftime("%H:%M" if moment.date() == datetime.now().astimezone().date() else "%Y-%m-%d %H:%M")
