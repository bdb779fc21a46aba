"""The files that paths and globs name inside the allowed folders, without looking through a whole disk."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import takewhile
from pathlib import Path
from typing import Final

from chomp_mcp.doors.files.folders import Folders, Place
from chomp_mcp.errors import InvalidRequest

MOST_FILES: Final = 200
MOST_LOOKED_AT: Final = 20_000
"""Entries of folders, for one call's globs."""
_GLOB = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Found:
    """A file that was meant."""

    place: Place
    by_glob: bool
    by_name: bool
    """Its own name was given, not that of a link that leads to it."""


def places(names: Sequence[str], folders: Folders) -> Iterator[Found]:
    """The files; one that several names mean comes several times.

    Raises:
        InvalidRequest: a name that is missing, outside or a folder; a glob that matches nothing or too much.
    """
    walk = _Walk(MOST_LOOKED_AT)
    count = 0
    for name in names:
        if not name.strip():
            raise InvalidRequest("files holds an empty name.", hint="Give paths or globs.", param="files")
        place = folders.place(name)
        is_glob = bool(_GLOB & set(name)) and not (place and place.path.exists())
        if is_glob:
            found = _matches(name, folders, walk)
        elif place is None:
            folders.refuse(name)
        elif not place.path.exists():
            why = f"There is no file {name[:200]!r} in {', '.join(map(str, folders.paths))}."
            hint = "Check the path; relative ones begin in these folders."
            raise InvalidRequest(why, hint=hint, param="files")
        elif place.path.is_dir():
            hint = f'Give a glob, such as "{name.rstrip("/")[:200]}/**/*.py".'
            raise InvalidRequest(f"{name[:200]!r} is a folder.", hint=hint, param="files")
        else:
            found = [place]
        given = Path(os.path.normpath(name)).parts
        for match in found:
            count += 1
            if count > MOST_FILES:
                hint = "Give a narrower glob."
                raise InvalidRequest(f"files matches more than {MOST_FILES} files.", hint=hint, param="files")
            # A link with a harmless name does not name the secret that it leads to.
            length = min(len(given), len(match.parts))
            yield Found(match, is_glob, not is_glob and given[-length:] == match.parts[-length:])


def _matches(pattern: str, folders: Folders, walk: _Walk) -> list[Place]:
    """The files that a glob finds, in the order of their names, without those that a link leads outside to."""
    path = Path(pattern).expanduser()
    if path.is_absolute():
        # Below what stands before the first wildcard nothing is looked at, unless a folder is there or leads there.
        fixed = Path(os.path.realpath(Path(*takewhile(lambda part: not _GLOB & set(part), path.parts))))
        if not any(fixed.is_relative_to(each) or each.is_relative_to(fixed) for each in folders.paths):
            folders.refuse(pattern)
    roots = [folder for folder in folders.paths if folder != Path(folder.anchor)] or folders.paths
    starts = [Path(path.anchor)] if path.is_absolute() else roots
    parts = path.parts[1:] if path.is_absolute() else path.parts
    found = [folders.holding(Path(os.path.realpath(each))) for start in starts for each in walk.files(start, parts)]
    inside = [place for place in found if place]
    if not inside:
        raise InvalidRequest(f"{pattern[:200]!r} matches no file inside the allowed folders.", hint="Check the glob.")
    return inside


@dataclass(slots=True)
class _Walk:
    """Looks for files, at no more than so many entries of folders."""

    left: int

    def files(self, folder: Path, parts: Sequence[str]) -> Iterator[Path]:
        """The files below the folder that the pattern's parts match; `**` follows no links."""
        first, rest = parts[0], parts[1:]
        if first == "**":
            yield from self._anywhere(folder, rest or ("*",))
        elif _GLOB & set(first):
            for entry in self._entries(folder, first):
                if rest and entry.is_dir():
                    yield from self.files(Path(entry.path), rest)
                elif not rest and entry.is_file():
                    yield Path(entry.path)
        elif rest:
            yield from self.files(folder / first, rest)
        elif (folder / first).is_file():
            yield folder / first

    def _anywhere(self, folder: Path, rest: Sequence[str]) -> Iterator[Path]:
        yield from self.files(folder, rest)
        for entry in self._entries(folder, "*"):
            if entry.is_dir(follow_symlinks=False):
                yield from self._anywhere(Path(entry.path), rest)

    def _entries(self, folder: Path, pattern: str) -> list[os.DirEntry[str]]:
        """Those that match; hidden ones only where the pattern begins with the dot as well."""
        found = []
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    self.left -= 1
                    if self.left < 0:
                        why = f"The globs look through more than {MOST_LOOKED_AT:,} files."
                        hint = "Give narrower ones."
                        raise InvalidRequest(why, hint=hint, param="files")
                    found.append(entry)
        except OSError:  # one that may not be read is passed over, as a shell does
            return []
        shown = [entry for entry in found if pattern.startswith(".") or not entry.name.startswith(".")]
        return sorted((each for each in shown if fnmatchcase(each.name, pattern)), key=lambda entry: entry.name)
