"""What is asked: words, what is piped in, options, a schema, files, and the conversation that it goes on with."""

from __future__ import annotations

import argparse
import json
import os
import re
import select
import stat
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chomp_mcp.app import Chomp
from chomp_mcp.doors.files import Folders, folders_for, with_files
from chomp_mcp.errors import InvalidRequest, TooLarge
from chomp_mcp.messages import MAX_PROMPT_BYTES, OWNER, ChatRequest
from chomp_mcp.messages.router import AUTO
from chomp_mcp.store.threads import Thread

STDIN = "-"
SILENT_SECONDS = 1.0
"""How long a socket that nobody asked for may say nothing; see `_is_piped`."""


def prompt_of(words: Sequence[str]) -> str:
    """The words as one prompt, with what is piped in: where a `-` stands, else before the words, as its matter.

    Raises:
        InvalidRequest: stdin is not text.
        TooLarge: it has more than a prompt may have.
    """
    if STDIN not in words:
        piped = _read_stdin().strip("\r\n") if _is_piped() else ""
        return "\n\n".join(part for part in (piped, " ".join(words)) if part)
    place = list(words).index(STDIN)
    piped = _read_stdin()
    before, after = " ".join(words[:place]), " ".join(words[place + 1 :])
    if not before and not after:
        return piped
    return "\n\n".join(part for part in (before, piped.strip("\r\n"), after) if part)


def _is_piped() -> bool:
    """Whether a pipe or a file is stdin; or a socket that speaks: Node gives its children one, and leaves it open."""
    try:
        fd = sys.stdin.fileno()
        mode = os.fstat(fd).st_mode
    except (AttributeError, OSError, ValueError):
        return False
    if stat.S_ISSOCK(mode):
        return bool(select.select([fd], [], [], SILENT_SECONDS)[0])
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode)


def _read_stdin() -> str:
    data = sys.stdin.buffer.read(MAX_PROMPT_BYTES + 1)
    if len(data) > MAX_PROMPT_BYTES:
        hint = "Send it in parts."
        raise TooLarge(f"stdin has more than {MAX_PROMPT_BYTES / 1e6:.1f} MB.", hint=hint, param="prompt")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        hint = "Convert it first, or attach an image or a PDF as a file: -a FILE."
        raise InvalidRequest("stdin is not UTF-8 text.", hint=hint, param="prompt") from None


async def request_of(chomp: Chomp, args: argparse.Namespace, prompt: str, thread: Thread | None = None) -> ChatRequest:
    """The request. What was said before in the conversation goes along, and it keeps its model where none is named.

    Raises:
        InvalidRequest: an option, the schema or a file that cannot be used.
    """
    options: dict[str, Any] = {}
    for pair in args.options:
        name, equals, text = pair.partition("=")
        if not equals or not name.strip():
            hint = "Write -o temperature=0.2."
            raise InvalidRequest(f"The option {pair[:80]!r} is not NAME=VALUE.", hint=hint, param="options")
        if name.strip() in ("model", "router"):
            why, hint = f"{name.strip()} is no option of -o.", f"Write --{name.strip()} {text[:80]}."
            raise InvalidRequest(why, hint=hint, param="options")
        try:  # what reads as JSON is that value, anything else the text
            options[name.strip()] = json.loads(text)
        except ValueError:
            options[name.strip()] = text
    if args.schema:
        options["response_format"] = _schema(args.schema)
    history = [dict(message) for message in thread.messages] if thread else []
    if args.system:
        history = [message for message in history if message.get("role") != "system"]
    if history:
        options["messages"] = [*history, *options.get("messages", ())]
    model, router = args.model, args.router
    if thread and not model and router == AUTO:
        model, router = thread.model, thread.router or AUTO
    request = ChatRequest.from_prompt(prompt, model=model, router=router, system=args.system, options=options)
    return await with_files(chomp, OWNER, request, prompt, args.files, folders_of(chomp)) if args.files else request


async def thread_of(chomp: Chomp, args: argparse.Namespace) -> Thread | None:
    """The conversation that was asked for: that of a name (which may begin now), or with -c the last one.

    Raises:
        InvalidRequest: there is none to continue.
    """
    if args.thread:
        return await chomp.threads.get(OWNER.id, args.thread) or Thread(args.thread, ())
    if not args.resume:
        return None
    last = await chomp.threads.last(OWNER.id)
    if last is None:
        raise InvalidRequest("There is no conversation to continue.", hint='Begin one: chomp-mcp ask "…"')
    return last


def folders_of(chomp: Chomp) -> Folders:
    """Without CHOMP_FILES, any: whoever types a path has chosen it."""
    here = Path.cwd()
    return folders_for(chomp.settings.files or (here, Path(here.anchor)), (), "", chomp.settings.home)


def _schema(path: str) -> dict[str, Any]:
    """The `response_format` for a file with a JSON schema; one that already is a `response_format` stays as it is."""
    try:
        schema = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        hint = "Name a file with a JSON schema."
        raise InvalidRequest(f"The schema {path} cannot be read: {error.strerror}.", hint=hint) from None
    except ValueError as error:
        raise InvalidRequest(f"The schema {path} is not JSON: {error}.", hint="Mend it there.") from None
    if not isinstance(schema, Mapping):
        raise InvalidRequest(f"The schema {path} is not an object.", hint='Begin with {"type": "object", …}.')
    if schema.get("type") == "json_schema" and isinstance(schema.get("json_schema"), Mapping):
        return dict(schema)
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", Path(path).stem)[:64] or "answer"
    return {"type": "json_schema", "json_schema": {"name": name, "schema": dict(schema)}}
