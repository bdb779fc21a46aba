# ruff: noqa: ASYNC240 - a test may wait for its disk
from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path

import anyio
import anyio.to_thread
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


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such pipes")
async def test_a_pipe_in_the_place_of_the_file_is_told_and_waited_for_by_nobody(path: Path):
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    store = JsonFile(path)

    with anyio.fail_after(5):
        for act in (store.get("a"), store.put("a", {})):
            with pytest.raises(StoreError, match=r"keys\.json is damaged: it is no file"):
                await act


async def test_writes_that_wait_for_a_slow_disk_leave_the_threads_to_others(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    goes_on = threading.Event()

    def held(_fd: int) -> None:
        assert goes_on.wait(30)

    monkeypatch.setattr("os.fsync", held)
    store = JsonFile(path)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for n in range(50):  # more than there are threads
                tasks.start_soon(store.put, f"a{n}", {})
            await anyio.wait_all_tasks_blocked()
            assert await anyio.to_thread.run_sync(lambda: "a thread is free") == "a thread is free"
            goes_on.set()

    assert len(await store.list("a")) == 50
