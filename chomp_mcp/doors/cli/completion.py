"""`completion SHELL`: the script that lets a shell complete commands, options, routers and models; and its answers."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

import anyio
from argcomplete import autocomplete
from argcomplete.shell_integration import shellcode

from chomp_mcp.app import Chomp
from chomp_mcp.doors.cli.output import show_json
from chomp_mcp.errors import ChompError
from chomp_mcp.messages import OWNER
from chomp_mcp.policy.book import listed_routers
from chomp_mcp.settings import Settings

LIST_SECONDS = 0.5
"""How long a shell waits for a list that was never read."""


def completion(args: argparse.Namespace) -> None:
    """Print the script for the shell; `eval "$(chomp-mcp completion bash)"` in its start file loads it."""
    script = shellcode(["chomp-mcp"], shell=args.shell)
    show_json({"shell": args.shell, "script": script}) if args.json else print(script)


def answer_shell(parser: argparse.ArgumentParser) -> None:
    """Print the words that fit what is typed so far, and end the process."""
    for action in _actions(parser):
        if source := _SOURCES.get((action.metavar if isinstance(action.metavar, str) else action.dest).lower()):
            action.completer = source  # type: ignore[attr-defined]
    autocomplete(parser)


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:  # noqa: SLF001 - argparse has no other way to walk them
        yield action
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for each in action.choices.values():
                yield from _actions(each)


def _routers(prefix: str, **_: object) -> list[str]:
    try:
        return [router for router in Chomp(Settings.load()).routers if router.startswith(prefix)]
    except ChompError:
        return []


def _models(prefix: str, **_: object) -> list[str]:
    """Model refs from the lists that are stored; a router is asked only where its list was never read."""

    async def refs() -> list[str]:
        async with Chomp(Settings.load()) as chomp:
            book = await chomp.books.of(OWNER)
            named = prefix.partition("/")[0]
            routers = [router for router in listed_routers(book) if router.startswith(named)]
            lists = await chomp.models.soon(routers, book.keys, LIST_SECONDS)
            listed = [model.ref for known in lists.values() if known for model in known.models]
        return ["auto", *(f"{router}/auto" for router in routers), *listed]

    try:
        return [ref for ref in anyio.run(refs) if ref.startswith(prefix)]
    except (ChompError, OSError):  # a shell has no place for an error: it would stand in the line that is typed
        return []


_SOURCES: dict[str, Callable[..., list[str]]] = {"router": _routers, "model": _models}
"""By the name of an argument's value, or of the argument itself."""
