"""The command line: words in, a table, JSON or a stream out; errors become exit codes here and nowhere else."""

from __future__ import annotations

import contextlib
import errno
import importlib
import itertools
import os
import sys
from collections.abc import Sequence

from chomp_mcp.doors.cli.parser import parsed, parser
from chomp_mcp.errors import ChompError, InvalidRequest, LimitError, RequestError, StoreError, UpstreamError

EXIT_CODES = {RequestError: 2, LimitError: 3, UpstreamError: 4, StoreError: 5}
INTERRUPTED = 130
"""128 + SIGINT, as shells report it."""
PIPE_CLOSED = 141
"""128 + SIGPIPE: the reader (`| head`) had enough."""
CANNOT_BE_WRITTEN = frozenset({errno.ENOSPC, errno.EIO, errno.EBADF, errno.EFBIG, getattr(errno, "EDQUOT", 0)})
"""What a full disk and a closed file say where the output goes."""
NEEDS_NO_STDOUT = frozenset({"serve", "run-job"})
"""Commands that daemons start, which may close it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is 0, 2 request, 3 limit, 4 upstream, 5 store, 130 Ctrl-C or 141 closed pipe."""
    words = sys.argv[1:] if argv is None else list(argv)
    if "_ARGCOMPLETE" in os.environ:  # a shell asks for the words that fit
        from chomp_mcp.doors.cli.completion import answer_shell

        answer_shell(parser())
    try:
        return _run(words)
    except ChompError as error:
        from chomp_mcp.doors.cli.words import error_json, error_line

        code = exit_code(error)
        # The words themselves, for these may be what cannot be parsed; what stands behind `--` is an agent's.
        as_json = "--json" in itertools.takewhile(lambda word: word != "--", words)
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        with contextlib.suppress(OSError):
            print(error_json(error, code) if as_json else error_line(error), file=sys.stderr)
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except (OSError, BaseExceptionGroup) as error:
        # A reader that has gone; a group is of the servers' task groups, whose client has.
        gone = (BrokenPipeError, ConnectionResetError)
        rest = error.split(gone)[1] if isinstance(error, BaseExceptionGroup) else error
        if rest is not None and not isinstance(rest, BrokenPipeError):
            raise
        _forget_stdout()
        return PIPE_CLOSED


def _run(words: Sequence[str]) -> int:
    try:
        try:
            _prepare_streams(words)
            args = parsed(words)
            module, _, function = args.run.partition(":")
            command = getattr(importlib.import_module(f"chomp_mcp.doors.cli.{module}"), function)
            from inspect import iscoroutinefunction  # loaded late: neither help nor a usage error needs it

            if iscoroutinefunction(command):
                import anyio

                return int(anyio.run(command, args) or 0)
            return int(command(args) or 0)  # most commands have nothing to tell when all went well
        finally:  # also after --help and --version, which end with SystemExit
            sys.stdout.flush()
    except EOFError:  # Ctrl-D where something was to be typed
        raise InvalidRequest("\nThe input ended before anything was typed.", hint="Nothing was changed.") from None
    except OSError as error:
        if error.errno not in CANNOT_BE_WRITTEN:
            raise
        _forget_stdout()
        raise StoreError(f"The output cannot be written: {error.strerror}.") from None


def exit_code(error: ChompError) -> int:
    """The exit code of an error's branch in the tree."""
    return next((code for kind, code in EXIT_CODES.items() if isinstance(error, kind)), 1)


def _prepare_streams(words: Sequence[str]) -> None:
    """UTF-8 to files and pipes, whatever the locale; a terminal that cannot show a character shows `?` instead."""
    # What is closed is opened on nothing first: a socket must never become fd 1.
    closed = [name for name in ("stdin", "stdout", "stderr") if getattr(sys, name) is None]
    for fd, name in enumerate(("stdin", "stdout", "stderr")):
        if name in closed:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != fd:
                os.dup2(opened, fd)
                os.close(opened)
            os.set_inheritable(fd, True)  # or the workers of `serve` lack it again, and cannot start
            setattr(sys, name, open(fd, "w" if fd else "r", encoding="utf-8", closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            encoding = None if stream.isatty() else "utf-8"
            stream.reconfigure(encoding=encoding, errors="replace")  # type: ignore[union-attr]
    if "stdout" in closed and not NEEDS_NO_STDOUT.intersection(words[:1]):
        raise StoreError("stdout is closed: there is nowhere to write to.", hint="Leave it open, or use > /dev/null.")


def _forget_stdout() -> None:
    """Point fd 1 at nothing, so that the interpreter's last flush has no pipe to complain about."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
