"""docs/pictures/terminal.svg: what a terminal shows of these commands in a fresh home; `python .ci/terminal.py`."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import pty
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

from rich.console import Console
from rich.text import Text

PICTURE = Path(__file__).parent.parent / "docs" / "pictures" / "terminal.svg"
COLUMNS = 100
COMMANDS = (
    'chomp-mcp ask "Say hello." -m mock/echo',
    'LLM_DEFAULT_MODEL=mock/500 LLM_FALLBACKS=mock/echo chomp-mcp ask "Who answers if one fails?"',
    'job=$(chomp-mcp dispatch "Take your time." -m "mock/slow?seconds=3")',
    'chomp-mcp result "$job" --wait 30',
    "chomp-mcp ask hi -m gorq/auto",
    "chomp-mcp logs",
    "chomp-mcp status",
)


def main() -> int:
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    with tempfile.TemporaryDirectory() as home:
        # In one shell, so that a variable of one command is there for the next.
        for command, output in zip(COMMANDS, _outputs(home), strict=True):
            console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
            console.print(Text.from_ansi(output), end="\n" if output else "")
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(console.export_svg(title="chomp-mcp", unique_id="terminal"), encoding="utf-8")
    return 0


def _outputs(home: str) -> list[str]:
    """What each command prints on a terminal, stdout and stderr as they come."""
    end = "\x1e"
    script = "".join(f"{command}\nprintf '{end}'\n" for command in COMMANDS)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {"HOME": home, "CHOMP_HOME": home, "PATH": path, "TERM": "dumb", "LANG": "C.UTF-8"}
    with subprocess.Popen(["sh", "-c", script], env=env, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs):
        os.close(theirs)
        seen = b""
        with contextlib.suppress(OSError):  # the other end is closed: Linux says EIO
            while piece := os.read(ours, 65536):
                seen += piece
    os.close(ours)
    return [text.strip("\n") for text in seen.decode().replace("\r\n", "\n").split(end)[: len(COMMANDS)]]


if __name__ == "__main__":
    sys.exit(main())
