# ruff: noqa: ASYNC240 - a test may wait for its disk
from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import stat
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from chomp_mcp.errors import StoreError
from chomp_mcp.store.kv import sqlite as module
from chomp_mcp.store.kv.protocol import Write
from chomp_mcp.store.kv.sqlite import Sqlite, is_damaged
from tests.store.other_process import increased
from tests.support.clock import Clock

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "state.db"


async def test_nothing_is_opened_before_it_is_used(path: Path):
    await Sqlite(path).close()

    assert not path.parent.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
async def test_all_files_are_private(path: Path):
    store = Sqlite(path)
    await store.put("a", {})

    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    await store.close()


async def test_expired_rows_are_swept(path: Path, clock: Clock, sqlite: Sqlite):
    for n in range(10):
        await sqlite.put(f"old:{n}", {}, expires_in=1)
    clock.advance(1)
    for n in range(500):
        await sqlite.put(f"new:{n % 3}", {}, expires_in=1)
    with anyio.fail_after(5):
        await sqlite._tidying

    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM kv").fetchone() == (3,)
    connection.close()


async def test_a_held_lock_never_blocks_the_event_loop(path: Path, sqlite: Sqlite):
    await sqlite.put("a", {"n": 1})
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for key in ("b", "c"):
                tasks.start_soon(sqlite.put, key, {})
            tasks.start_soon(sqlite.update, ["a"], lambda old: [Write({"n": old[0]["n"] + 1})])
            await anyio.wait_all_tasks_blocked()
            assert await sqlite.get("a") == {"n": 1}
            assert await sqlite.get("b") is None
            other.execute("COMMIT")
    other.close()

    assert [entry.key for entry in await sqlite.list("")] == ["a", "b", "c"]
    assert await sqlite.get("a") == {"n": 2}


async def test_a_lock_held_for_too_long_is_an_error_with_a_next_step(
    path: Path, sqlite: Sqlite, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("chomp_mcp.store.kv.sqlite._PATIENCE_SECONDS", 0.01)
    await sqlite.put("a", {})
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(StoreError, match=r"state\.db cannot be used: database is locked.*try again"):
        await sqlite.put("b", {})
    other.close()


async def test_what_could_not_be_deleted_is_still_there(path: Path, sqlite: Sqlite, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("chomp_mcp.store.kv.sqlite._PATIENCE_SECONDS", 0.01)
    await sqlite.put("a", {"n": 1})
    assert await sqlite.get("a") == {"n": 1}
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError):
            await sqlite.delete("a")

    assert await sqlite.get("a") == {"n": 1}


async def test_large_values_are_not_kept_in_memory(sqlite: Sqlite):
    await sqlite.put("small", {})
    for n in range(10):
        await sqlite.put(f"job:{n}", {"prompt": "x" * 5_000})
        assert len((await sqlite.get(f"job:{n}"))["prompt"]) == 5_000

    assert await sqlite.get("small") == {}
    assert list(sqlite._rows) == ["small"]


async def test_others_are_asked_for_once_in_a_turn_of_the_event_loop_and_again_after_a_write(sqlite: Sqlite):
    await sqlite.put("a", {"n": 1})
    await sqlite.get("a")
    asked: list[str] = []
    await asyncio.sleep(0)
    sqlite._quick.set_trace_callback(asked.append)

    for _ in range(3):
        assert await sqlite.get("a") == {"n": 1}
        assert await sqlite.get_many(["a", "a"]) == [{"n": 1}] * 2
    assert asked == ["PRAGMA data_version"]
    await asyncio.sleep(0)
    await sqlite.get("a")
    assert asked == ["PRAGMA data_version"] * 2
    other = Sqlite(sqlite._path)
    await other.put("a", {"n": 2})
    assert await sqlite.get("a") == {"n": 2}
    await other.close()


async def test_an_update_starts_from_what_is_in_the_file_whatever_was_read_in_its_turn(path: Path, sqlite: Sqlite):
    await sqlite.put("a", {"n": 1})
    for key in ("a", "b"):
        await sqlite.get(key)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("UPDATE kv SET value = '{\"n\": 7}'")
        other.execute("INSERT INTO kv VALUES ('b', '{\"n\": 8}', NULL)")
        await sqlite.update(["a", "b"], increased)

    assert await sqlite.get_many(["a", "b"]) == [{"n": 8}, {"n": 9}]


async def test_a_thread_that_outlives_its_event_loop_keeps_the_connection_to_itself(sqlite: Sqlite):
    began, go_on = threading.Event(), threading.Event()

    def slowly(old):
        began.set()
        go_on.wait(5)
        return increased(old)

    before = asyncio.all_tasks()
    # The first use goes to a thread, and so does what finds the database locked.
    first = asyncio.create_task(sqlite.update(["a"], slowly))
    with anyio.fail_after(5):
        await asyncio.to_thread(began.wait, 5)
        for task in asyncio.all_tasks() - before:
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        second = asyncio.create_task(sqlite.update(["a"], increased))
        await anyio.wait_all_tasks_blocked()
        go_on.set()
        await second

    assert await sqlite.get("a") == {"n": 2}


async def test_a_file_that_is_no_database_is_never_overwritten(path: Path):
    path.parent.mkdir()
    path.write_bytes(b"not a database, but something somebody needs" * 100)
    before = path.read_bytes()

    with pytest.raises(StoreError, match=r"state\.db cannot be used: file is not a database.*move it away"):
        await Sqlite(path).put("a", {})

    assert path.read_bytes() == before


async def test_a_damaged_page_is_an_error_with_a_next_step(path: Path):
    store = Sqlite(path)
    for n in range(300):
        await store.put(f"a:{n}", {"text": "x" * 500})
    await store.close()
    data = bytearray(path.read_bytes())
    data[8192:] = b"\xff" * (len(data) - 8192)
    path.write_bytes(data)

    with pytest.raises(StoreError, match=r"state\.db cannot be used.*malformed.*move it away"):
        await store.list("")
    await store.close()


async def test_a_home_that_cannot_be_written_is_an_error_with_a_next_step(tmp_path: Path):
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreError, match=r"state\.db cannot be used.*CHOMP_HOME"):
        await Sqlite(tmp_path / "file" / "state.db").get("a")


async def test_an_entry_of_a_strange_shape_is_named(path: Path, sqlite: Sqlite):
    await sqlite.put("a", {})
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE kv SET value = '[1]'")
    connection.close()

    with pytest.raises(StoreError, match=r"'a'.*not a JSON object"):
        await sqlite.get("a")


@pytest.mark.parametrize("what", ["home", "file"])
async def test_a_file_that_was_deleted_while_it_was_open_is_noticed_and_made_anew(
    path: Path, caplog, monkeypatch, what
):
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.0)
    store, other = Sqlite(path), Sqlite(path)
    await store.put("a", {"n": 1})
    if what == "home":
        shutil.rmtree(path.parent)
    else:
        for each in path.parent.iterdir():
            each.unlink()
    await other.put("b", {"n": 2})
    await store.put("c", {"n": 3})

    assert await store.get_many(["a", "b", "c"]) == [None, {"n": 2}, {"n": 3}]
    assert await other.get("c") == {"n": 3}
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}
    assert [record.levelname for record in caplog.records if "was deleted or replaced" in record.message] == ["WARNING"]
    await store.close()
    assert await other.get("c") == {"n": 3}
    await other.close()


async def test_a_lock_that_does_not_end_is_waited_for_once(path: Path, monkeypatch):
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 0.3)
    store = Sqlite(path)
    await store.put("a", {"n": 1})
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        started = anyio.current_time()
        for _ in range(20):
            with pytest.raises(StoreError, match="locked"):
                await store.put("a", {"n": 2})
        assert anyio.current_time() - started < 20 * 0.3 / 2
        assert await store.get("a") == {"n": 1}
        holder.execute("ROLLBACK")
    await store.put("a", {"n": 3})
    assert await store.get("a") == {"n": 3}
    await store.close()


def _overwritten(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xa5" * 4096 + whole[8192:])


def _replaced(path: Path, sql: str) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(sql)
        connection.commit()


def _in_its_place(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "half of it": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "a page of it": _overwritten,
    "text": lambda path: path.write_text("no database" * 500),
    "another program's": lambda path: _replaced(path, "CREATE TABLE kv (a)"),
    "a view": lambda path: _replaced(path, "CREATE VIEW kv AS SELECT 1 AS key, 2 AS value, 3 AS expires_at"),
    "a folder": lambda path: _in_its_place(path, Path.mkdir),
    "a link that leads nowhere": lambda path: _in_its_place(path, lambda path: path.symlink_to(path.parent / "gone")),
    "a folder for its log": lambda path: path.with_name("state.db-wal").mkdir(),
    **({"a pipe": lambda path: _in_its_place(path, os.mkfifo)} if hasattr(os, "mkfifo") else {}),
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_file_that_nobody_can_use_names_the_repair_and_is_found_by_it(path: Path, damage: str):
    store = Sqlite(path)
    for n in range(100):
        await store.put(f"a{n}", {"n": "x" * 100})
    await store.close()
    assert not is_damaged(path)
    DAMAGES[damage](path)

    async def used() -> None:
        for n in range(100):
            await store.get(f"a{n}")
        await store.put("b", {})

    with anyio.fail_after(5), pytest.raises(StoreError) as told:
        await used()
    assert "doctor --repair" in told.value.hint
    assert is_damaged(path)
    await store.close()


async def test_what_is_locked_new_or_empty_is_not_damaged(path: Path, sqlite: Sqlite):
    assert not is_damaged(path.parent / "never.db")
    await sqlite.put("a", {})
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert not is_damaged(path)
    empty = path.parent / "empty.db"
    empty.touch()
    assert not is_damaged(empty)
