"""How the command line shows things: tables, JSON, and remarks on stderr."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

__all__ = ["answer", "clock", "plain", "remark", "show_json", "table"]

_CONTROLS: Mapping[int, str] = {code: "" for code in (*range(32), 127, *range(128, 160)) if chr(code) not in "\n\t"}
"""Characters with which a model's answer could drive the terminal."""


def plain(text: str) -> str:
    """The text on one line, without control characters."""
    return " ".join(text.translate(_CONTROLS).split())


def answer(text: str) -> None:
    """A piece of an answer on stdout, at once; to a terminal without control characters, to a pipe as it came."""
    sys.stdout.write(text.translate(_CONTROLS) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def remark(text: str) -> None:
    """A line on stderr: for the person, not for the pipe."""
    print(text, file=sys.stderr, flush=True)


def show_json(value: Any) -> None:
    """Indented JSON on stdout; amounts of money as strings."""
    import json

    print(json.dumps(value, indent=2, ensure_ascii=False, default=_jsonable))


def _jsonable(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def table(headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Columns on stdout, as wide as they need to be; a terminal's width cuts the last one."""
    cells = [[plain(_cell(value)) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(headers, *cells, strict=True)]
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    for row in (headers, *cells):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        print(line if not room or len(line) <= room else line[: room - 1] + "…")


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def clock(at: float | None) -> str:
    """A time of today as 14:03, any other with its date, none as a dash; in the user's time zone."""
    if at is None:
        return "-"
    moment = datetime.fromtimestamp(at).astimezone()
    return moment.strftime("%H:%M" if moment.date() == datetime.now().astimezone().date() else "%Y-%m-%d %H:%M")
