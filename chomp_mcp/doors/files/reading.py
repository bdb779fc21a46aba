"""Paths and globs -> what a model can take: text with its path, images and PDFs as parts."""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import anyio

from chomp_mcp.app import Chomp
from chomp_mcp.doors.files.folders import Folders, Place
from chomp_mcp.doors.files.globs import places
from chomp_mcp.errors import InvalidRequest, SecretFound, TooLarge
from chomp_mcp.messages import MAX_PROMPT_BYTES, Caller, ChatRequest
from chomp_mcp.policy.outward import Finding, Scanner, is_local, told
from chomp_mcp.policy.secret_files import secret_name

MAX_MEDIA_BYTES: Final = 15 << 20
"""Images and PDFs of one call, before base64; routers take about 20 MB."""
MEGA: Final = 1_000_000
BYTES_A_TOKEN: Final = 4
"""At most, of text: so that nothing is refused that would fit."""
SHOWN_NAMES: Final = 20
_MEDIA = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"%PDF-", "application/pdf"),
)


@dataclass(frozen=True, slots=True)
class _File:
    """One that was read: its text, or the media type of its bytes."""

    shown: str
    data: bytes
    text: str = ""
    media_type: str = ""
    secrets: tuple[Finding, ...] = ()
    """What looks like one in the text."""


async def with_files(
    chomp: Chomp, caller: Caller, request: ChatRequest, prompt: str, files: Sequence[str], folders: Folders
) -> ChatRequest:
    """The request with the files in its last message, and a note for the receipt that lists them.

    Raises:
        InvalidRequest: a file that is missing, outside, secret, binary, too large, or that changed while it was read;
            a glob that matches nothing or too much. Nothing was sent.
    """
    keys = [key for few in (await chomp.keyring.keys_of(caller)).values() for key in few]
    scanner = Scanner(allowed=chomp.settings.secrets_allow)
    read, left_out = await anyio.to_thread.run_sync(_read_all, files, folders, keys, scanner)
    await _check_secrets(chomp, caller, request, read)
    # The files first and the question last; parts where words alone cannot carry them.
    texts = [f'<file path="{file.shown}">\n{file.text}\n</file>' for file in read if not file.media_type]
    words = "\n\n".join([*texts, prompt])
    parts: list[dict[str, Any]] = []
    for file in read:
        url = f"data:{file.media_type};base64,{base64.b64encode(file.data).decode()}" if file.media_type else ""
        if file.media_type.startswith("image/"):
            parts.append({"type": "image_url", "image_url": {"url": url}})
        elif file.media_type:
            parts.append({"type": "file", "file": {"filename": file.shown.rpartition("/")[2], "file_data": url}})
    content = [*parts, {"type": "text", "text": words}] if parts else words
    messages = [*request.body["messages"]]
    if messages and messages[-1].get("role") == "user" and messages[-1].get("content") == prompt:
        messages.pop()
    body = {**request.body, "messages": [*messages, {"role": "user", "content": content}]}
    total = sum(len(file.data) for file in read)
    size = f"{total / 1e6:.1f} MB" if total >= MEGA / 10 else f"{total / 1e3:.1f} kB"
    notes = [f"sent {len(read)} file{'s' * (len(read) != 1)} ({size}): {_listed([file.shown for file in read])}"]
    if left_out:
        notes.append(f"left out: {_listed(left_out)}")
    whole = replace(request, body=body, notes=(*request.notes, *notes))
    await _check_context(chomp, caller, whole, sum(len(file.data) for file in read if file.text))
    return whole


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return ", ".join(names[:SHOWN_NAMES]) + more


async def _check_secrets(chomp: Chomp, caller: Caller, request: ChatRequest, files: Sequence[_File]) -> None:
    """A file with a secret stays on this machine, also one that was named by itself."""
    holding = [file for file in files if file.secrets]
    if not holding or chomp.settings.secrets == "off":
        return
    plan = await chomp.gateway.plan(caller, request)
    away = next((route.router.name for route in plan.routes if not is_local(route)), None)
    if away:
        why = f"{holding[0].shown} was not sent to {away}: it holds {told(holding[0].secrets)}."
        hint = "Take it out, ask a router on this machine, or put the hash into secrets_allow in config.toml."
        raise SecretFound(why, hint=hint, param="files")


async def _check_context(chomp: Chomp, caller: Caller, request: ChatRequest, text_bytes: int) -> None:
    """Refuse what no model of the plan can hold, as far as their lists tell."""
    plan = await chomp.gateway.plan(caller, request)
    largest = 0
    for route in plan.routes:
        page = await chomp.list_models(route.router.id, query=route.model, limit=1000, caller=caller)
        known = next((model.context_length for model in page.models if model.id == route.model), None)
        if known is None or known * BYTES_A_TOKEN >= text_bytes:
            return
        largest = max(largest, known)
    why = f"The files are about {text_bytes // BYTES_A_TOKEN:,} tokens; {plan.routes[0].ref} takes {largest:,}."
    hint = "Name fewer files, or a model with a larger context (list_models shows it)."
    raise TooLarge(why, hint=hint, param="files")


def _read_all(
    names: Sequence[str], folders: Folders, keys: Sequence[str], scanner: Scanner
) -> tuple[list[_File], list[str]]:
    files: dict[Path, _File] = {}
    left_out: list[str] = []
    for found in places(names, folders):
        place = found.place
        if place.path in files:
            continue
        try:
            files[place.path] = _read(place, keys, scanner, is_named=found.by_name)
        except _Unsuitable as error:
            if not found.by_glob:
                raise
            left_out.append(f"{place.shown} ({error.reason})")
            continue
        # After each file, so that no more is ever held than one file over the limit.
        text = sum(len(file.data) for file in files.values() if not file.media_type)
        media = sum(len(file.data) for file in files.values() if file.media_type)
        if text > MAX_PROMPT_BYTES:
            raise _too_large("The text files together have", text, MAX_PROMPT_BYTES)
        if media > MAX_MEDIA_BYTES:
            raise _too_large("The images and PDFs together have", media, MAX_MEDIA_BYTES)
    if not files:
        why = f"Nothing can be sent: {_listed(left_out)}." if left_out else "files names no file."
        hint = "Name the files one by one."
        raise InvalidRequest(why, hint=hint, param="files")
    return list(files.values()), left_out


class _Unsuitable(InvalidRequest):
    """A file that a glob passes over: only its own name sends it, or nothing does."""

    def __init__(self, shown: str, reason: str, hint: str) -> None:
        super().__init__(f"{shown} was not sent: {reason}.", hint=hint, param="files")
        self.reason = reason


def _too_large(what: str, size: int, limit: int) -> TooLarge:
    hint = "Name fewer or smaller ones."
    return TooLarge(f"{what} {size / 1e6:.1f} MB; the limit is {limit / 1e6:.1f} MB.", hint=hint, param="files")


def _read(place: Place, keys: Sequence[str], scanner: Scanner, *, is_named: bool) -> _File:
    reason = secret_name(place.parts)
    if reason and not is_named:
        raise _Unsuitable(place.shown, reason, "Name it by itself if it is meant.")
    try:  # without O_NONBLOCK, opening a pipe that nobody writes to would wait for ever
        descriptor = place.open(os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        why = f"{place.shown} cannot be read: {error.strerror or error}."
        raise InvalidRequest(why, hint="Check it, and ask again.", param="files") from None
    with os.fdopen(descriptor, "rb") as file:
        before = os.fstat(file.fileno())
        if not stat.S_ISREG(before.st_mode):
            raise _Unsuitable(place.shown, "it is no regular file", "Name another one.")
        limit = max(MAX_PROMPT_BYTES, MAX_MEDIA_BYTES)
        if before.st_size > limit:
            raise _too_large(f"{place.shown} has", before.st_size, limit)
        data = file.read(limit + 1)
        after = os.fstat(file.fileno())
    # Its bytes are those of one moment.
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or len(data) != before.st_size:
        raise InvalidRequest(f"{place.shown} changed while it was read.", hint="Ask again.", param="files")
    media_type = next((kind for magic, kind in _MEDIA if data.startswith(magic)), "")
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        media_type = "image/webp"
    if media_type:
        return _File(place.shown, data, media_type=media_type)
    try:
        text = data.decode("utf-16" if data[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise _Unsuitable(place.shown, "it is neither text in UTF-8, an image nor a PDF", "Convert it first.")
    if any(key in text for key in keys):
        raise _Unsuitable(place.shown, "a router key of yours is in it", "Take the key out first.")
    secrets = scanner.scan(text.encode())
    if secrets and not is_named:
        raise _Unsuitable(place.shown, "it holds what looks like a key", "Name it by itself if it is meant.")
    return _File(place.shown, data, text=text, secrets=secrets)
