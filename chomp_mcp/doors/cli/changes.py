"""A change to a client's file, before it is made: shown, agreed to, or refused because the file cannot take it."""

from __future__ import annotations

import argparse
import difflib
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from chomp_mcp.errors import InvalidRequest
from chomp_mcp.policy.secrets import masked

_SECRET = re.compile(
    r"""((?:key|token|secret|passw\w*|authorization|credential)\w*["']?\s*[:=]\s*)(["'])(?!\2).+?\2|(//)[^/@\s"']+@""",
    re.IGNORECASE,
)


def masked_line(text: str) -> str:
    """A line without the values of what is called a key, and without passwords in URLs: neighbours may hold some."""
    return masked(_SECRET.sub(lambda found: f"{found[3]}…@" if found[3] else f"{found[1]}{found[2]}…{found[2]}", text))


def show(own: Sequence[str] | None, before: str, after: str, path: Path) -> None:
    """What is going to change: the client's `own` command that will do it, or the lines of the file."""
    if own:
        print(f"Runs: {masked_line(shlex.join([Path(own[0]).name, *own[1:]]))}")
        return
    for line in difflib.unified_diff(
        before.splitlines(), after.splitlines(), f"{path} as it is", f"{path} as it will be", n=1, lineterm=""
    ):
        # A file's bytes that are no UTF-8 are surrogates here, which stdout refuses.
        print(masked_line(line.encode("utf-8", "replace").decode()))


def agreed(args: argparse.Namespace) -> bool:
    """Asked on a terminal only; Enter is yes. Whoever pipes has said it by calling."""
    if args.yes or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return True
    try:
        if is_yes("Write this?"):
            return True
    except EOFError:
        print()
    print("Nothing was written.")
    return False


def is_yes(question: str, *, default: bool = True) -> bool:
    """What a person says to it; Enter is the default."""
    said = input(f"{question} [{'Y/n' if default else 'y/N'}] ").strip().lower()
    return default if not said else said in {"y", "yes"}


@contextmanager
def refused(path: Path, hint: str) -> Iterator[None]:
    """What an edit says against a file becomes an error of ours that names the file and the next step.

    Raises:
        InvalidRequest: the text of the file cannot be edited.
    """
    try:
        yield
    except ValueError as error:
        raise InvalidRequest(f"{path} was left as it is: {error}.", hint=hint) from None
