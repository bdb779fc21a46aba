"""The master key: what can be one, where it is found, and where a new one is kept."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from chomp_mcp.errors import InvalidSetting, StoreError
from chomp_mcp.store import master_key
from chomp_mcp.store.master_key import VARIABLE, MasterKeys, check_variable, made, parsed


@pytest.fixture(autouse=True)
def no_keychain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)


def test_what_we_make_is_the_key_itself_and_a_passphrase_makes_the_same_key_everywhere():
    text = made()
    assert parsed(text).bits == parsed(text.replace("-", "+").replace("_", "/") + "=").bits
    assert text != made()
    words = "correct horse battery staple"
    assert parsed(words) == parsed(words)
    assert len(parsed(words).bits) == 32
    assert parsed(words).id != parsed(text).id
    assert parsed(words).bits.hex() not in repr(parsed(words))


@pytest.mark.parametrize("text", ["short", "${MASTER_KEY_OF_SIXTEEN}"])
def test_what_cannot_be_a_master_key_is_refused(text: str):
    for check in (lambda: parsed(text), lambda: check_variable({VARIABLE: text}, is_remote=False)):
        with pytest.raises(InvalidSetting, match=VARIABLE) as wrong:
            check()
        assert "Set it to what this prints" in wrong.value.hint


def test_on_a_store_that_others_may_read_it_must_stand_in_the_environment(tmp_path: Path):
    with pytest.raises(InvalidSetting, match="others may read"):
        check_variable({}, is_remote=True)
    check_variable({}, is_remote=False)
    keys = MasterKeys(tmp_path, {}, is_remote=True)
    keys.file.write_text(made())
    assert keys.find() == ((), f"{VARIABLE} is not set"), "a file of this machine is none"


def test_the_environment_comes_before_the_file_and_without_a_keychain_a_file_keeps_it(tmp_path: Path):
    keys, text = MasterKeys(tmp_path / "home", {}), made()
    assert keys.find()[0] == ()
    assert str(keys.file) in keys.keep([text])
    assert (keys.find()[0], keys.kept()) == ((parsed(text),), [text])
    assert stat.S_IMODE(keys.file.stat().st_mode) & 0o077 == 0 or sys.platform == "win32"
    other = made()
    assert MasterKeys(tmp_path / "home", {VARIABLE: f" {other}\n"}).find() == ((parsed(other),), VARIABLE)


def test_two_stand_in_the_file_while_a_rotation_is_under_way_and_only_one_rotates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(master_key, "_PATIENCE_SECONDS", 0.01)
    keys, texts = MasterKeys(tmp_path, {}), [made(), made()]
    keys.keep(texts)
    assert keys.find()[0] == tuple(map(parsed, texts))
    with keys.one_at_a_time(), pytest.raises(StoreError, match="Another process"), keys.one_at_a_time():
        pass


def test_a_file_that_holds_none_is_named(tmp_path: Path):
    keys = MasterKeys(tmp_path, {})
    keys.file.write_bytes(b"\xff\xfe")
    with pytest.raises(StoreError, match="holds no master key"):
        keys.find()
