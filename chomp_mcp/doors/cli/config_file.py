"""A client's configuration file: its bytes as they are, replaced whole or not at all, with a backup beside it."""

from __future__ import annotations

import codecs
import contextlib
import itertools
import os
import shutil
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

from chomp_mcp.errors import StoreError

_MARKS = ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
"""How PowerShell's `>` begins a file; the mark stays in the text."""


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """One file; `text` is None where there is none. Bytes that are no UTF-8 stay what they were (surrogateescape)."""

    path: Path
    text: str | None
    encoding: str = "utf-8"

    @classmethod
    def read(cls, path: Path) -> Self:
        """The file; of a link the one that it leads to, so that it stays a link.

        Raises:
            StoreError: it cannot be read.
        """
        path = path.resolve()
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return cls(path, None)
        except OSError as error:
            hint = "Mend that, or use --print and paste the text."
            raise StoreError(f"{path} cannot be read: {error.strerror}.", hint=hint) from None
        encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
        return cls(path, data.decode(encoding, "surrogateescape"), encoding)

    def backups(self) -> list[Self]:
        """What earlier writes kept, the newest first."""
        kept = sorted(self.path.parent.glob(f"{self.path.name}.*.bak"), reverse=True)
        return [type(self).read(backup) for backup in kept if backup.is_file()]

    def replace(self, text: str, *, is_shared: bool = False) -> Path | None:
        """Write beside the file and rename over it; returns where the file as it was now is.

        A new file is for its owner's eyes alone, as it may hold keys one day, unless it `is_shared` with a project.

        Raises:
            StoreError: it cannot be written; nothing is left half done.
        """
        data = text.encode(self.encoding, "surrogateescape")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            backup = None
            if self.text is not None:
                stamp = f"{datetime.now().astimezone():%Y%m%d-%H%M%S}"
                names = itertools.chain([stamp], (f"{stamp}-{number}" for number in itertools.count(1)))
                backups = (self.path.with_name(f"{self.path.name}.{name}.bak") for name in names)
                backup = next(each for each in backups if not each.exists())
                try:
                    shutil.copy2(self.path, backup)
                except OSError:  # a full disk leaves half of it
                    backup.unlink(missing_ok=True)
                    raise
            handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                if self.text is not None:
                    shutil.copymode(self.path, name)
                elif is_shared:
                    Path(name).chmod(0o644)
                Path(name).replace(self.path)
            except BaseException:
                with contextlib.suppress(OSError):
                    Path(name).unlink()
                raise
        except OSError as error:
            hint = "Use --print and paste the text yourself."
            raise StoreError(f"{self.path} cannot be written: {error.strerror}.", hint=hint) from None
        return backup
