"""What every backend promises when several processes use it, and when one of them is killed."""

from __future__ import annotations

import sys
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from chomp_mcp.store.kv.protocol import KV, Write
from tests.store.other_process import go, increased, kill, open_store, race, start

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL"),
]


async def test_no_update_of_any_process_is_lost(place: str):
    race(*(start("count", place, 50, "a", "b") for _ in range(3)))

    kv = open_store(place)
    assert await kv.get("a") == {"n": 150}
    assert await kv.get("b") == {"n": 150}
    await kv.close()


async def test_what_another_process_wrote_is_seen_by_whoever_hears_of_it(place: str):
    kv = open_store(place)
    other = start("count_aloud", place, "a")
    go(other)
    with anyio.fail_after(20):
        for _ in range(30):
            told = int(await anyio.to_thread.run_sync(other.stdout.readline))
            assert (await kv.get("a"))["n"] >= told
    kill(other)
    await kv.close()


async def test_no_update_of_any_task_is_lost(kv: KV):
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            for n in range(40):
                tasks.start_soon(kv.update, ["a", f"b:{n}"], increased)

    assert await kv.get("a") == {"n": 40}
    assert len(await kv.list("b:")) == 40


async def test_of_two_racing_deletes_only_one_is_told(place: str):
    kv = open_store(place)
    keys = [f"a:{n}" for n in range(40)]
    await kv.update(keys, lambda old: [Write({}) for _ in old])

    told = race(*(start("delete", place, *keys) for _ in range(2)))

    assert sorted(told[0] + told[1]) == sorted(keys)
    assert await kv.list("") == []
    await kv.close()


@pytest.mark.parametrize("moment", [1, 7, 20])
async def test_what_was_done_before_a_kill_stays_done_and_whole(place: str, moment: int):
    process = start("count_aloud", place, "a", "b")
    go(process)
    told = [process.stdout.readline() for _ in range(moment)]
    kill(process)

    kv = open_store(place)
    a, b = await kv.get("a"), await kv.get("b")
    assert a == b
    assert a["n"] >= int(told[-1])
    await kv.update(["a"], increased)
    assert await kv.get("a") == {"n": b["n"] + 1}
    await kv.close()


async def test_a_process_killed_inside_an_update_changes_nothing_and_holds_nobody_up(place: str):
    kv = open_store(place)
    await kv.put("a", {"n": 1})
    process = start("die_inside", place, "a")
    go(process)
    process.communicate(timeout=30)

    with anyio.fail_after(5):
        assert await kv.get("a") == {"n": 1}
        await kv.update(["a"], increased)

    assert await kv.get("a") == {"n": 2}
    await kv.close()


@pytest.mark.parametrize("kind", ["json", "sqlite"])
async def test_a_full_disk_loses_nothing(kind: str, tmp_path: Path):
    place = f"{kind}:{tmp_path / 'home' / 'store'}"

    assert race(start("fill", place, 300_000)) == [["Free"]]

    kv = open_store(place)
    last = await kv.get("last")
    assert len(await kv.list("many:")) == last["n"] > 0
    await kv.close()
