"""Private files: nobody but the user reads what chomp-mcp keeps."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from chomp_mcp.errors import StoreError

if TYPE_CHECKING:
    from filelock import BaseFileLock


PRIVATE_FILE = 0o600
NO_ACCESS = "Make its folder writable, or set CHOMP_HOME to a folder that is."
NO_ROOM = "Free some disk space; what was stored before is intact."
_PRIVATE_FOLDER = 0o700
_TRIES = 100
_AGAIN_SECONDS = 0.005
_FULL = frozenset({errno.ENOSPC, errno.EFBIG, errno.EIO, getattr(errno, "EDQUOT", errno.ENOSPC)})


def make_folder(folder: Path) -> None:
    """Create `folder` and its parents, readable by the user alone; one that exists stays as it is (`OSError`)."""
    folder.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)


def touch(path: Path) -> None:
    """Create `path` empty and private if it is not there (`OSError`)."""
    make_folder(path.parent)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, PRIVATE_FILE))


def replace_file(path: Path, content: bytes, beside: str = "") -> None:
    """Write the private file whole or not at all: beside it, to the disk, then in its place (`OSError`, `StoreError`).

    Two that write at the same time need a lock, or names `beside` of their own.
    """
    new = path.with_name(beside or f"{path.name}.new")
    make_folder(path.parent)
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE_FILE), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    # Windows does not replace a file that anybody has open, be it for a moment: a reader, a virus scanner.
    for _ in range(_TRIES):
        try:
            new.replace(path)
            break
        except PermissionError:
            time.sleep(_AGAIN_SECONDS)
    else:
        new.unlink(missing_ok=True)
        why = f"{path} cannot be replaced: another program has it open, or may not let go of it. Nothing was changed."
        raise StoreError(why, hint="Close that program, or make the file writable, and try again.")
    if hasattr(os, "O_DIRECTORY"):  # the rename itself must survive a power cut; Windows cannot sync folders
        handle = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def lock_of(path: Path) -> BaseFileLock:
    """A lock that whoever holds it keeps for life: the system lets go of it when the process dies."""
    from filelock import FileLock

    return FileLock(path, timeout=0, mode=PRIVATE_FILE, thread_local=False)


@contextmanager
def tried(path: Path) -> Iterator[bool]:
    """Whether nobody holds that lock; inside the block, we do if so. What cannot be tried counts as held."""
    # A lock object of its own each time: that of a process counts its holders, and would let us in a second time.
    lock = lock_of(path)
    try:
        lock.acquire()
    except OSError:  # filelock's Timeout is one
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def unusable(path: Path, error: OSError) -> StoreError:
    """The error for a file or folder that the system does not let us use."""
    why = f"{path} cannot be used: {error.strerror or type(error).__name__}."
    return StoreError(why, hint=NO_ROOM if error.errno in _FULL else NO_ACCESS)
