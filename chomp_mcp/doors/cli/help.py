"""`help --json`: what can be typed, as data; `help` alone is `--help`, which the parser prints itself."""

from __future__ import annotations

import argparse
from typing import Any

from chomp_mcp.doors.cli.output import show_json
from chomp_mcp.doors.cli.parser import did_you_mean, parser
from chomp_mcp.errors import InvalidRequest


def as_json(args: argparse.Namespace) -> None:
    """The whole command line, or one command of it."""
    whole = described(parser())
    known = {each["name"].removeprefix("chomp-mcp "): each for each in whole["commands"]}
    if args.topic and args.topic not in known:
        raise InvalidRequest(f"there is no command {args.topic!r}. {did_you_mean(args.topic, known)}")
    show_json(known[args.topic] if args.topic else whole)


def described(command: argparse.ArgumentParser, summary: str = "") -> dict[str, Any]:
    """{name, summary, description, arguments: [{names, metavar, help, choices, required}], commands: [the same]}."""
    arguments: list[dict[str, Any]] = []
    commands: list[dict[str, Any]] = []
    for action in command._actions:  # noqa: SLF001 - argparse has no other way to walk them
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            told = {each.dest: each.help or "" for each in action._choices_actions}  # noqa: SLF001
            commands = [described(each, told.get(name, "")) for name, each in action.choices.items()]
        elif not isinstance(action, argparse._HelpAction):  # noqa: SLF001
            takes_value = action.nargs != 0
            arguments.append(
                {
                    "names": list(action.option_strings),
                    "metavar": (action.metavar or action.dest.upper()) if takes_value else None,
                    "help": action.help or "",
                    "choices": list(action.choices) if action.choices else None,
                    "required": action.required,
                    "repeats": action.nargs == "+" or isinstance(action, argparse._AppendAction),  # noqa: SLF001
                }
            )
    return {
        "name": command.prog,
        "summary": summary,
        "description": " ".join((command.description or "").split()),
        "arguments": arguments,
        "commands": commands,
    }
