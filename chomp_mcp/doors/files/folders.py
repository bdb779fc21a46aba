"""Inside which folders files may be read and written, and how one is opened there and nowhere else."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from chomp_mcp.errors import InvalidRequest

_OTHER_HOMES = ("/home", "/Users")
_NEEDS_NO_LINKS = os.open in os.supports_dir_fd
"""Windows has no `dir_fd`: there the path is looked at again once the file is open."""


@dataclass(frozen=True, slots=True)
class Place:
    """A file inside an allowed folder, every link on the way to it resolved."""

    folder: Path
    parts: tuple[str, ...]

    @property
    def path(self) -> Path:
        return self.folder.joinpath(*self.parts)

    @property
    def shown(self) -> str:
        """The path inside the folder."""
        return "/".join(self.parts)

    def open(self, flags: int, mode: int = 0o644) -> int:
        """A descriptor of exactly this file: no link that somebody puts in its way meanwhile is followed.

        Raises:
            OSError: it is not there, or a link now is.
        """
        flags |= getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        if not _NEEDS_NO_LINKS:
            descriptor = os.open(self.path, flags, mode)
            now = Path(os.path.realpath(self.path))
            if now != self.path or not os.path.samestat(os.fstat(descriptor), now.stat()):
                os.close(descriptor)
                raise OSError(f"{self.shown} is no longer where it was")
            return descriptor
        parent = self.open_parent()
        try:
            return os.open(self.parts[-1], flags | os.O_NOFOLLOW, mode, dir_fd=parent)
        finally:
            os.close(parent)

    def open_parent(self) -> int:
        """A descriptor of the folder that the file is in."""
        at = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        for part in self.parts[:-1]:
            try:
                below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
            finally:
                os.close(at)
            at = below
        return at


@dataclass(frozen=True, slots=True)
class Folders:
    """The allowed folders, resolved. The first is where relative paths are looked for first."""

    paths: tuple[Path, ...]
    never: tuple[Path, ...] = ()
    """Folders that stay closed even inside them: the gateway's own."""

    def place(self, text: str) -> Place | None:
        """The place that a path names, whether or not there is a file; None where it is outside.

        Raises:
            InvalidRequest: no folder is allowed at all, or the text is no path.
        """
        self.check()
        try:
            path = Path(text).expanduser()
            candidates = [path] if path.is_absolute() else [folder / path for folder in self.paths]
            there = (each for each in candidates if os.path.lexists(each))
            possible = (each for each in candidates if each.parent.is_dir())
            found = next(there, None) or next(possible, candidates[0])
            return self.holding(Path(os.path.realpath(found)))
        except (OSError, RuntimeError, ValueError):
            raise InvalidRequest(f"{text[:200]!r} is no path.", hint="Give a path of a file.", param="files") from None

    def holding(self, real: Path) -> Place | None:
        """The place of a path without links."""
        if any(real.is_relative_to(closed) for closed in self.never):
            return None
        folder = next((each for each in self.paths if real.is_relative_to(each) and real != each), None)
        return None if folder is None else Place(folder, real.relative_to(folder).parts)

    def check(self) -> None:
        """Raises `InvalidRequest` where no folder is allowed."""
        if not self.paths:
            why = "No folder is allowed: this server was started in a home or at the root of a disk."
            hint = "The user can set CHOMP_FILES to the folders that may be read and written."
            raise InvalidRequest(why, hint=hint, param="files")

    def refuse(self, text: str, param: str = "files") -> NoReturn:
        why = f"{text[:200]!r} is outside of the allowed folders: {', '.join(map(str, self.paths))}."
        hint = "Name a file inside, or have the user add its folder to CHOMP_FILES."
        raise InvalidRequest(why, hint=hint, param=param)


def folders_for(named: Sequence[Path], roots: Iterable[str], started_in: str, home: Path) -> Folders:
    """What is allowed: the folders of CHOMP_FILES, else the client's roots (file: URIs), else where it was started."""
    told = [] if named else [urlsplit(str(root)) for root in roots]
    paths = [each.path for each in told if each.scheme == "file" and each.netloc in {"", "localhost"}]
    chosen = list(named) or [Path(url2pathname(path) if os.name == "nt" else unquote(path)) for path in paths]
    if not chosen and started_in:
        start = Path(os.path.realpath(started_in))
        try:
            own = Path(os.path.realpath(Path.home()))
        except RuntimeError:  # a user without one
            own = start
        # A home, or what is above one, is no place that somebody chose by starting a program there.
        is_wide = own.is_relative_to(start) or start == Path(start.anchor) or str(start.parent) in _OTHER_HOMES
        chosen = [] if is_wide else [start]
    real = (Path(os.path.realpath(each)) for each in chosen)
    return Folders(tuple(dict.fromkeys(each for each in real if each.is_dir())), (Path(os.path.realpath(home)),))
