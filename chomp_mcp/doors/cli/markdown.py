"""Markdown on a terminal: every piece of an answer at once as it came, every block drawn anew when it is whole."""

from __future__ import annotations

import math
import os
import re
import shutil
import sys
from importlib.util import find_spec

from chomp_mcp.doors.cli.output import answer, cleaned

_FENCE = re.compile(r" {0,3}(```|~~~)")
_LIST = re.compile(r"\s*([-*+]|\d{1,9}[.)])\s")
_DUMB = frozenset({"", "dumb"})


def is_wanted() -> bool:
    """Stdout is a terminal that can move its cursor, and rich is installed: `pip install "chomp-mcp[rich]"`."""
    return sys.stdout.isatty() and os.environ.get("TERM", "") not in _DUMB and find_spec("rich") is not None


class PlainAnswer:
    """Takes an answer's pieces and writes them as they came; the last one ends its line."""

    def __init__(self) -> None:
        self._last = "\n"

    def add(self, text: str) -> None:
        if text:
            answer(text)
            self._last = text

    def close(self) -> None:
        if not self._last.endswith("\n"):
            answer("\n")


class MarkdownAnswer:
    """Takes an answer's pieces; a block is a paragraph, a list, a table or a fenced part."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        """The whole lines of the block that is being written."""
        self._rest = ""
        self._fence = ""

    def add(self, text: str) -> None:
        """Show it as it came; blocks that end in it are drawn anew."""
        *whole, last = cleaned(text).split("\n")
        for line in whole:
            answer(f"{line}\n")
            self._end_line(self._rest + line)
            self._rest = ""
        answer(last)
        self._rest += last

    def close(self) -> None:
        if self._rest:
            answer("\n")
            self._end_line(self._rest)
            self._rest = ""
        self._draw(self._lines, [])
        self._lines = []

    def _end_line(self, line: str) -> None:
        block, is_blank = self._lines, not line.strip()
        fence = _FENCE.match(line)
        if self._fence:
            block.append(line)
            if fence and fence[1] == self._fence and not line.strip().strip(self._fence[0]):
                self._fence = ""
                self._finish([])
            return
        if block and not block[-1].strip() and not is_blank and not (line[:1].isspace() or _LIST.match(line)):
            self._finish([line])  # a list went on over blank lines until here
        else:
            block.append(line)
        if fence:
            self._fence = fence[1]
        elif is_blank and block and not _LIST.match(block[0]):
            self._finish([])

    def _finish(self, after: list[str]) -> None:
        self._draw(self._lines, after)
        self._lines = after

    def _draw(self, lines: list[str], after: list[str]) -> None:
        """In the place of what stands there, unless that is partly out of sight; `after` stands below it again."""
        text = "\n".join(lines)
        if not text.strip():
            return
        from rich.cells import cell_len
        from rich.console import Console
        from rich.markdown import Markdown

        columns, rows = shutil.get_terminal_size()
        lengths = (cell_len(line.expandtabs()) for line in (*lines, *after))
        height = sum(max(1, math.ceil(length / columns)) for length in lengths)
        if height >= rows:
            return
        sys.stdout.write(f"\x1b[{height}F\x1b[J")
        Console(file=sys.stdout, force_terminal=True, width=columns).print(Markdown(text, hyperlinks=False))
        answer("\n" + "".join(f"{line}\n" for line in after))
