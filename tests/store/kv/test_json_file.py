# ruff: noqa: ASYNC240 - a test may wait for its disk
from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import pytest

from chomp_mcp.errors import StoreError
from chomp_mcp.store.kv.json_file import JsonFile
from tests.support.clock import Clock

pytestmark = pytest.mark.anyio

DAMAGED = [
    *(b"", b"{", b"[]", b"null", b'{"user:owner": "gsk"}', b'{"a": {}} x', b"\xff\xfe{"),
    *(b'{"_expires": 3}', b'{"_expires": {"a": "soon"}}', b'{"_expires": {"a": []}}', b"[" * 100_000),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "home" / "keys.json"


async def test_nothing_is_created_by_reading(path: Path):
    store = JsonFile(path)

    assert await store.get("a") is None
    assert await store.list("") == []
    assert not path.parent.parent.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
async def test_the_file_is_private_in_a_private_folder(path: Path):
    umask = os.umask(0)
    await JsonFile(path).put("a", {})
    os.umask(umask)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}


async def test_the_document_is_plain_and_readable(path: Path):
    await JsonFile(path).put("user:owner", {"keys": {"groq": "k"}, "created": "2026-06-13"})

    assert path.read_text() == (
        '{\n  "user:owner": {\n    "keys": {\n      "groq": "k"\n    },\n    "created": "2026-06-13"\n  }\n}\n'
    )


async def test_ends_stand_beside_the_values_and_go_with_them(path: Path, clock: Clock):
    store = JsonFile(path, clock=clock)
    await store.put("a", {}, expires_in=5)
    assert json.loads(path.read_text()) == {"a": {}, "_expires": {"a": clock.now + 5}}
    clock.advance(5)

    await store.put("b", {})

    assert json.loads(path.read_text()) == {"b": {}}


@pytest.mark.parametrize("damaged", DAMAGED, ids=range(len(DAMAGED)))
async def test_a_corrupt_key_file_is_never_overwritten(path: Path, damaged: bytes):
    path.parent.mkdir(parents=True)
    path.write_bytes(damaged)
    store = JsonFile(path)

    for act in (store.get("a"), store.list(""), store.put("a", {}), store.delete("a")):
        with pytest.raises(StoreError, match=r"keys\.json is damaged.*move it away"):
            await act

    assert path.read_bytes() == damaged


async def test_a_document_that_is_too_deep_to_be_read_or_to_be_written_stays_as_it_is(path: Path):
    path.parent.mkdir(parents=True)
    path.write_text(before := '{"a": ' + '{"a": ' * 100_000 + "1" + "}" * 100_001)

    with pytest.raises(StoreError, match=r"keys\.json is damaged: it is nested too deeply"):
        await JsonFile(path).put("b", {})

    assert path.read_text() == before


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


async def test_a_file_mended_by_hand_is_read_again(path: Path):
    store = JsonFile(path)
    await store.put("a", {"n": 1})
    path.write_text("{")
    with pytest.raises(StoreError):
        await store.get("a")

    path.write_text('\ufeff{"a": {"n": 2}}', encoding="utf-8")

    assert await store.get("a") == {"n": 2}


async def test_a_removed_file_is_an_empty_store(path: Path):
    store = JsonFile(path)
    await store.put("a", {})
    path.unlink()

    assert await store.get("a") is None


async def test_a_change_that_leaves_all_as_it_is_does_not_touch_the_file(path: Path):
    store = JsonFile(path)
    await store.put("a", {})
    before = path.stat()

    await store.update(["a"], lambda _: [None])
    await store.delete("b")

    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


async def test_a_home_that_cannot_be_written_is_an_error_with_a_next_step(tmp_path: Path):
    (tmp_path / "file").write_text("")
    store = JsonFile(tmp_path / "file" / "home" / "keys.json")

    assert await store.get("a") is None
    with pytest.raises(StoreError, match=r"keys\.json cannot be used.*CHOMP_HOME"):
        await store.put("a", {})


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root writes everywhere")
async def test_a_read_only_home_can_still_be_read(path: Path):
    await JsonFile(path).put("a", {})
    path.parent.chmod(0o500)

    assert await JsonFile(path).get("a") == {}
    with pytest.raises(StoreError, match="CHOMP_HOME"):
        await JsonFile(path).put("a", {"n": 1})
    path.parent.chmod(0o700)


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
