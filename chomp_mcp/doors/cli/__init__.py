"""The command line: words in, a table, JSON or a stream out; errors become exit codes here and nowhere else."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import sys
from collections.abc import Sequence

from chomp_mcp.doors.cli.parser import parsed
from chomp_mcp.errors import ChompError, LimitError, RequestError, StoreError, UpstreamError

__all__ = ["in_commands", "main"]

EXIT_CODES: tuple[tuple[type[ChompError], int], ...] = (
    (RequestError, 2),
    (LimitError, 3),
    (UpstreamError, 4),
    (StoreError, 5),
)
INTERRUPTED = 130
"""128 + SIGINT, as shells report it."""
PIPE_CLOSED = 141
"""128 + SIGPIPE: the reader (`| head`) had enough."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is 0, 2 request, 3 limit, 4 upstream, 5 store, 130 Ctrl-C or 141 closed pipe."""
    _never_fail_on_a_character()
    args = parsed(sys.argv[1:] if argv is None else argv)
    module, _, function = args.run.partition(":")
    try:
        command = getattr(importlib.import_module(f"chomp_mcp.doors.cli.{module}"), function)
        code = int(command(args) or 0)
        sys.stdout.flush()
    except ChompError as error:
        return _told(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _forget_stdout()
        return PIPE_CLOSED
    except BaseExceptionGroup as errors:  # of the servers' task groups, whose client has gone
        if errors.split((BrokenPipeError, ConnectionResetError))[1]:
            raise
        _forget_stdout()
        return PIPE_CLOSED
    return code


def exit_code(error: ChompError) -> int:
    """The exit code of an error's branch in the tree."""
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), 1)


_STEPS: tuple[tuple[str, str], ...] = (
    (r"Call list_models with router=(\S+) to", r"Run `chomp-mcp models \1` to"),
    (r"Call list_models to", "Run `chomp-mcp models` to"),
    (r"\(list_models shows it\)", "(`chomp-mcp models` shows it)"),
    (r", or call register_keys\b", ""),
    (r"register a key for a router", "add a key (`chomp-mcp keys add`) of a router"),
)
"""The next step in the words of the tools -> in those of a command line."""


def in_commands(text: str) -> str:
    """An error's text, its next step as a command."""
    for tools, commands in _STEPS:
        text = re.sub(tools, commands, text)
    return text


def _told(error: ChompError) -> int:
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
    with contextlib.suppress(BrokenPipeError):
        print(f"chomp-mcp: {in_commands(str(error))}", file=sys.stderr)
    return exit_code(error)


def _never_fail_on_a_character() -> None:
    """A terminal that cannot show a character shows `?` instead of ending the command."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]


def _forget_stdout() -> None:
    """Point fd 1 at nothing, so that the interpreter's last flush has no pipe to complain about."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
