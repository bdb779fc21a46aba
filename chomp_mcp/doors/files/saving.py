"""An answer into a file, and in its place for the model: the path, the size, how it begins."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import anyio

from chomp_mcp.app import Chomp
from chomp_mcp.doors.files.folders import Folders, Place
from chomp_mcp.errors import InvalidRequest, NotAllowed
from chomp_mcp.messages import Job, JobStatus
from chomp_mcp.policy.secret_files import secret_name

SHOWN_LINES: Final = 5
SHOWN_CHARACTERS: Final = 400
MAX_BYTES: Final = 64 << 20


async def target_for(chomp: Chomp, text: str, folders: Folders) -> dict[str, object]:
    """The file that `save_to` names, as a job keeps it, if an answer may be written there as things are now.

    {folder, parts}: the allowed folder, resolved, and the path in it.

    Raises:
        InvalidRequest: outside of the allowed folders, in a folder that is not there, a secret or a file of version
            control, no regular file.
        NotAllowed: a file that we did not write, or that somebody has changed since.
    """
    place = await anyio.to_thread.run_sync(_looked_at, text, folders)
    await _check_ours(chomp, place)
    return {"folder": str(place.folder), "parts": list(place.parts)}


def _looked_at(text: str, folders: Folders) -> Place:
    place = folders.place(text)
    if place is None:
        folders.refuse(text, "save_to")
    if not place.path.parent.is_dir():
        hint = "Name a file in a folder that does."
        raise InvalidRequest(f"The folder of {text[:200]!r} does not exist.", hint=hint, param="save_to")
    if text.endswith(("/", os.sep)) or place.path.is_dir():
        raise InvalidRequest(f"{text[:200]!r} is a folder.", hint="Name a file in it.", param="save_to")
    reason = secret_name(place.parts)
    if reason:
        raise InvalidRequest(f"{place.shown} is not written: {reason}.", hint="Choose another name.", param="save_to")
    return place


async def saved(chomp: Chomp, job: Job) -> Job:
    """The job with its text in its file, if it named one; its `text` then says where, how much, and how it begins.

    An answer that cannot be written any more stays the text, and says why.
    """
    if not job.save_to or job.status in {JobStatus.ERROR, JobStatus.CANCELLED}:
        return job
    parts = job.save_to["parts"]
    place = Place(Path(str(job.save_to["folder"])), tuple(map(str, parts)) if isinstance(parts, list | tuple) else ())
    content = job.text.encode("utf-8", "replace")
    if not job.status.is_final:
        # The same of the text so far: nobody wants in a conversation what goes into a file.
        return replace(job, text=_summary("To be saved to", place, content, job.text) if job.text else "")
    try:
        if await chomp.written.job_of(place.path) != job.id or not place.path.exists():
            # Whole or not at all. What appeared there since the call was made is left alone.
            is_new = await _check_ours(chomp, place) is None
            await anyio.to_thread.run_sync(_put, place, content, is_new)
            await chomp.written.remember(place.path, content, job.id)
    except (OSError, NotAllowed) as error:
        # Who collects a job just as it ends meets the one who saves it: what stands there then is this very answer.
        with suppress(NotAllowed):
            if (found := await anyio.to_thread.run_sync(_content_of, place)) and found[0] == content:
                return replace(job, text=_summary("Saved to", place, content, job.text))
        reason = error.message if isinstance(error, NotAllowed) else f"{error.strerror or error}."
        return replace(job, text=f"{job.text}\n\n(Not saved to {place.path}: {reason})")
    return replace(job, text=_summary("Saved to", place, content, job.text))


def _summary(what: str, place: Place, content: bytes, text: str) -> str:
    lines = text.splitlines()
    begin = "\n".join(lines[:SHOWN_LINES])[:SHOWN_CHARACTERS]
    told = f"{what} {place.path}: {len(content):,} bytes, {len(lines):,} lines."
    return f"{told} It begins:\n{begin}" if begin.strip() else told


async def _check_ours(chomp: Chomp, place: Place) -> int | None:
    """The inode of what stands there; None where nothing does. `NotAllowed` for a file of somebody else."""
    found = await anyio.to_thread.run_sync(_content_of, place)
    if found is None:
        return None
    content, inode = found
    if not await chomp.written.is_ours(place.path, content):
        why = f"{place.shown} exists, and chomp did not write it, or it was changed since."
        hint = "Choose another name for save_to."
        raise NotAllowed(why, hint=hint, param="save_to")
    return inode


def _content_of(place: Place) -> tuple[bytes, int] | None:
    try:
        descriptor = place.open(os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        return None
    except OSError as error:
        why = f"{place.shown} cannot be replaced: {error.strerror or error}."
        hint = "Choose another name."
        raise NotAllowed(why, hint=hint, param="save_to") from None
    with os.fdopen(descriptor, "rb") as file:
        return file.read(MAX_BYTES), os.fstat(file.fileno()).st_ino


def _put(place: Place, content: bytes, is_new: bool) -> None:
    fresh = Place(place.folder, (*place.parts[:-1], f".{place.parts[-1][:100]}.{secrets.token_hex(4)}"))
    descriptor = fresh.open(os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        if os.link not in os.supports_dir_fd:
            (fresh.path.rename if is_new else fresh.path.replace)(place.path)  # Windows: rename fails where a file is
            return
        parent = place.open_parent()
        try:
            source, target = fresh.parts[-1], place.parts[-1]
            if is_new:
                os.link(source, target, src_dir_fd=parent, dst_dir_fd=parent)  # fails where a file is
                os.unlink(source, dir_fd=parent)
            else:
                os.replace(source, target, src_dir_fd=parent, dst_dir_fd=parent)
        finally:
            os.close(parent)
    except BaseException:
        with suppress(OSError):
            fresh.path.unlink()
        raise
