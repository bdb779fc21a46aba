"""Private files: nobody but the user reads what chomp-mcp keeps."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from chomp_mcp.errors import StoreError

__all__ = ["NO_ACCESS", "NO_ROOM", "PRIVATE_FILE", "make_folder", "touch", "unusable"]

PRIVATE_FILE = 0o600
NO_ACCESS = "Make its folder writable, or set CHOMP_HOME to a folder that is."
NO_ROOM = "Free some disk space; what was stored before is intact."
_PRIVATE_FOLDER = 0o700
_FULL = frozenset({errno.ENOSPC, errno.EFBIG, errno.EIO, getattr(errno, "EDQUOT", errno.ENOSPC)})


def make_folder(folder: Path) -> None:
    """Create `folder` and its parents, readable by the user alone; one that exists stays as it is (`OSError`)."""
    folder.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)


def touch(path: Path) -> None:
    """Create `path` empty and private if it is not there (`OSError`)."""
    make_folder(path.parent)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, PRIVATE_FILE))


def unusable(path: Path, error: OSError) -> StoreError:
    """The error for a file or folder that the system does not let us use."""
    return StoreError(
        f"{path} cannot be used: {error.strerror or type(error).__name__}.",
        hint=NO_ROOM if error.errno in _FULL else NO_ACCESS,
    )
