"""A keychain of the OS, as the `keyring` library finds one: PYTHON_KEYRING_BACKEND names a class here."""

from __future__ import annotations

import json
import os
from pathlib import Path

from keyring.backend import KeyringBackend


class Keychain(KeyringBackend):
    """Entries in the file that TEST_KEYCHAIN names."""

    priority = 1  # type: ignore[assignment]

    def get_password(self, service: str, username: str) -> str | None:
        return self._entries().get(f"{service}/{username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        self._write({**self._entries(), f"{service}/{username}": password})

    def delete_password(self, service: str, username: str) -> None:
        self._write({name: text for name, text in self._entries().items() if name != f"{service}/{username}"})

    @property
    def _path(self) -> Path:
        return Path(os.environ["TEST_KEYCHAIN"])

    def _entries(self) -> dict[str, str]:
        return json.loads(self._path.read_text()) if self._path.exists() else {}

    def _write(self, entries: dict[str, str]) -> None:
        self._path.write_text(json.dumps(entries))


class Locked(KeyringBackend):
    """One behind a D-Bus that is not there."""

    priority = 1  # type: ignore[assignment]

    def get_password(self, service: str, username: str) -> str | None:
        raise ConnectionRefusedError("no bus")

    def set_password(self, service: str, username: str, password: str) -> None:
        raise ConnectionRefusedError("no bus")
