"""The master key that seals router keys: where it comes from, and where a new one is kept."""

from __future__ import annotations

import hashlib
import re
import secrets
from base64 import urlsafe_b64decode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from chomp_mcp.errors import InvalidSetting, StoreError
from chomp_mcp.store.kv.files import PRIVATE_FILE, make_folder, replace_file, unusable

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend


VARIABLE = "CHOMP_MASTER_KEY"
NEW_VARIABLE = "CHOMP_NEW_MASTER_KEY"
MAKE = "python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"
SHORTEST = 8
"""NIST SP 800-63B's least length of a password that a person chose. A made one has 43 characters."""
_KEY_BYTES = 32
_MADE = re.compile(r"[A-Za-z0-9_+/-]{43}=?")
_PLACEHOLDER = re.compile(r"\$\{.*\}|\$\w+|%\w+%|\{\{.*\}\}|<.*>|undefined|null")
_SERVICE = "chomp-mcp"
_KEYCHAIN = "the OS keychain"
_PATIENCE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class MasterKey:
    """256 bits for AES-GCM, and a short name that stands beside everything they seal."""

    bits: bytes = field(repr=False)

    @property
    def id(self) -> str:
        return hashlib.sha256(b"chomp-mcp master key\0" + self.bits).hexdigest()[:8]


def made() -> str:
    """A new master key, as text."""
    return secrets.token_urlsafe(_KEY_BYTES)


@lru_cache(maxsize=8)
def parsed(text: str, place: str = VARIABLE) -> MasterKey:
    """32 bytes in base64 are the key itself; any other text is a passphrase, stretched by scrypt (RFC 7914).

    The salt is the same everywhere: a passphrase must make the same key on every machine of one Redis.
    `InvalidSetting` for one that is too short, or a placeholder that nothing filled in.
    """
    _check(text, place)
    if _MADE.fullmatch(text):
        return MasterKey(urlsafe_b64decode(text.rstrip("=").replace("+", "-").replace("/", "_") + "="))
    return MasterKey(hashlib.scrypt(text.encode(), salt=b"chomp-mcp master key", n=2**14, r=8, p=1, dklen=_KEY_BYTES))


def check_variable(environment: Mapping[str, str], *, is_remote: bool) -> None:
    """`InvalidSetting` where CHOMP_MASTER_KEY holds no master key, or is missing although others read the store."""
    text = environment.get(VARIABLE, "").strip()
    if text:
        _check(text, VARIABLE)
    elif is_remote:
        raise InvalidSetting(
            f"CHOMP_STORE names a store that others may read, and {VARIABLE} is not set: keys would lie open there.",
            hint=f'Set one, the same on every machine of that store: export {VARIABLE}="$({MAKE})".',
        )


def _check(text: str, place: str) -> None:
    why = f"has fewer than {SHORTEST} characters" if len(text) < SHORTEST else ""
    if _PLACEHOLDER.fullmatch(text):
        why = "holds a placeholder that nothing filled in"
    if why:
        raise InvalidSetting(f"{place} {why}.", hint=f"Set it to what this prints: {MAKE}.")


@dataclass(frozen=True, slots=True)
class MasterKeys:
    """The keys that are there, the one to seal with first, and where they were found."""

    home: Path
    environment: Mapping[str, str] = field(repr=False)
    is_remote: bool = False

    @property
    def file(self) -> Path:
        return self.home / "master.key"

    def find(self) -> tuple[tuple[MasterKey, ...], str]:
        """The environment's, else the keychain's, else the key file's; none: `((), why)`. May wait for the keychain.

        Two stand in keychain or file while a rotation is under way.

        Raises:
            InvalidSetting: what stands there cannot be a master key.
            StoreError: the key file cannot be read.
        """
        if text := self.environment.get(VARIABLE, "").strip():
            return (parsed(text),), VARIABLE
        if self.is_remote:
            return (), f"{VARIABLE} is not set"
        texts, place = self._kept()
        where = "The keychain's entry" if place == _KEYCHAIN else str(self.file)
        return tuple(parsed(text, where) for text in texts), place

    def keep(self, texts: Sequence[str], place: str = "") -> str:
        """Keep these in `place`, as `find` names it; without one in the keychain, else in the key file. Where that was.

        None at all: what is kept there is gone. `StoreError`: nothing was changed.
        """
        if "key file" not in place:
            try:
                with _keychain() as backend:
                    if texts:
                        backend.set_password(_SERVICE, str(self.home), "\n".join(texts))
                    elif backend.get_password(_SERVICE, str(self.home)) is not None:
                        backend.delete_password(_SERVICE, str(self.home))
            except _NoKeychain as error:
                if place:
                    raise StoreError(f"The new key was not kept: {error}.", hint="Unlock it, and try again.") from None
            else:
                return _KEYCHAIN
        try:
            if texts:
                replace_file(self.file, "".join(f"{text}\n" for text in texts).encode())
            else:
                self.file.unlink(missing_ok=True)
        except OSError as error:
            raise unusable(self.file, error) from None
        return f"the key file {self.file}"

    def kept(self) -> list[str]:
        """What stands in the keychain, else in the key file, as text."""
        return self._kept()[0]

    def _kept(self) -> tuple[list[str], str]:
        """That, and where it stands; nothing, and why there is no keychain."""
        told = ""
        try:
            with _keychain() as backend:
                if text := backend.get_password(_SERVICE, str(self.home)):
                    return text.splitlines(), _KEYCHAIN
        except _NoKeychain as error:
            told = str(error)
        try:
            texts = self.file.read_text("utf-8").strip().splitlines()
        except (FileNotFoundError, NotADirectoryError):
            texts = []
        except UnicodeDecodeError:
            raise StoreError(f"{self.file} holds no master key.", hint="Put back the one that it held.") from None
        except OSError as error:
            raise unusable(self.file, error) from None
        return texts, f"the key file {self.file}" if texts else told

    @contextmanager
    def one_at_a_time(self) -> Iterator[None]:
        """Who changes the kept key holds this (`StoreError` after a while)."""
        from filelock import FileLock, Timeout

        try:
            make_folder(self.home)
            with FileLock(f"{self.file}.lock", timeout=_PATIENCE_SECONDS * 3, mode=PRIVATE_FILE):
                yield
        except Timeout:
            raise StoreError("Another process changes the master key.", hint="Try again when it has ended.") from None
        except OSError as error:
            raise unusable(self.file, error) from None


class _NoKeychain(Exception):
    """There is none that can be used, and why."""


@contextmanager
def _keychain() -> Iterator[KeyringBackend]:
    """MacOS Keychain, Windows Credential Locker, Secret Service or KWallet, by the `keyring` library."""
    try:
        import keyring
        from keyring.backends.fail import Keyring as NoBackend
    except ImportError:
        raise _NoKeychain("no OS keychain: pip install 'chomp-mcp[keychain]'") from None
    # A backend may fail with any error of the library behind it, and none of that is ours to mend: all that goes wrong
    # in the block, or before it, is `_NoKeychain`.
    try:
        backend = keyring.get_keyring()
        if not isinstance(backend, NoBackend):
            yield backend
            return
    except Exception as error:  # noqa: BLE001 - whatever it is
        raise _NoKeychain(f"the OS keychain does not answer ({type(error).__name__})") from None
    raise _NoKeychain("no OS keychain can be reached from here")
