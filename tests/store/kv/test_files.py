# ruff: noqa: ASYNC240 - a test may wait for its disk
"""Private files, replaced whole or not at all."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import pytest

from chomp_mcp.errors import StoreError
from chomp_mcp.store.kv.json_file import JsonFile

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "home" / "keys.json"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
async def test_the_file_is_private_in_a_private_folder(path: Path):
    umask = os.umask(0)
    await JsonFile(path).put("a", {})
    os.umask(umask)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}


def refuse(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """As Windows does while another program has the file open."""
    replace, refused = Path.replace, []

    def refusing(self: Path, target: Path) -> Path:
        if len(refused) < times:
            refused.append(target)
            raise PermissionError(13, "Access is denied", str(target))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", refusing)
    monkeypatch.setattr("chomp_mcp.store.kv.json_file._POLL_SECONDS", 0)


async def test_a_file_that_is_open_for_a_moment_elsewhere_is_replaced_after_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    await JsonFile(path).put("a", {"n": 1})
    refuse(monkeypatch, 3)

    await JsonFile(path).put("a", {"n": 2})

    assert json.loads(path.read_text()) == {"a": {"n": 2}}


async def test_a_file_that_stays_open_elsewhere_is_an_error_with_a_next_step(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    await JsonFile(path).put("a", {"n": 1})
    refuse(monkeypatch, 10**6)

    with pytest.raises(StoreError, match=r"keys\.json cannot be replaced: another program.*Close that program"):
        await JsonFile(path).put("a", {"n": 2})

    assert json.loads(path.read_text()) == {"a": {"n": 1}}
    assert not path.with_name("keys.json.new").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege")
async def test_a_linked_key_file_stays_a_link(path: Path, tmp_path: Path):
    path.parent.mkdir(parents=True)
    target = tmp_path / "dotfiles.json"
    target.write_text('{"a": {}}')
    path.symlink_to(target)

    await JsonFile(path).put("b", {})

    assert path.is_symlink()
    assert json.loads(target.read_text()) == {"a": {}, "b": {}}


async def test_what_a_killed_writer_left_is_no_obstacle(path: Path):
    store = JsonFile(path)
    await store.put("a", {})
    path.with_name("keys.json.new").write_text('{"half')

    await store.put("b", {})

    assert sorted(json.loads(path.read_text())) == ["a", "b"]
    assert not path.with_name("keys.json.new").exists()
