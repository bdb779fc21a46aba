"""What every backend of the KV protocol promises."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from chomp_mcp.errors import StoreError
from chomp_mcp.store.kv.protocol import KV, Change, Entry, Write
from tests.store.other_process import increased, open_store
from tests.support.clock import Clock

pytestmark = pytest.mark.anyio

ODD_VALUES = [
    {},
    {"text": "ünï · 漢字 · 🍪 · \x00 · \u2028"},
    {"half an emoji": "\ud83d"},
    {"nested": {"list": [1, -2.5, None, True, {"deep": []}]}},
    {"big": 2**53, "long": "x" * 200_000},
    {"expires_at": 0, "_expires": 1, "value": None},
]


def keys(entries: list[Entry]) -> list[str]:
    return [entry.key for entry in entries]


async def test_an_empty_store_holds_nothing(kv: KV):
    assert await kv.get("a") is None
    assert await kv.list("") == []
    assert await kv.delete("a") is False


@pytest.mark.parametrize("value", ODD_VALUES, ids=range(len(ODD_VALUES)))
async def test_what_is_put_is_what_is_got(kv: KV, value):
    await kv.put("a", value)

    assert await kv.get("a") == value


async def test_a_put_replaces_value_and_end(kv: KV, clock: Clock):
    await kv.put("a", {"n": 1}, expires_in=10)
    await kv.put("a", {"n": 2})
    clock.advance(1_000)

    assert await kv.get("a") == {"n": 2}


async def test_a_deleted_key_is_gone_and_deleted_once(kv: KV):
    await kv.put("a", {})

    assert await kv.delete("a") is True
    assert await kv.delete("a") is False
    assert await kv.get("a") is None


async def test_an_expired_value_is_not_there(kv: KV, clock: Clock):
    await kv.put("a", {}, expires_in=10)
    clock.advance(9.9)
    assert await kv.get("a") == {}
    assert keys(await kv.list("")) == ["a"]
    clock.advance(0.1)
    seen = []

    await kv.update(["a"], lambda old: [seen.extend(old)])

    assert await kv.get("a") is None
    assert await kv.list("") == []
    assert seen == [None]
    assert await kv.delete("a") is False


async def test_a_key_can_be_written_again_after_it_expired(kv: KV, clock: Clock):
    await kv.put("a", {"n": 1}, expires_in=1)
    clock.advance(2)
    await kv.put("a", {"n": 2}, expires_in=1)

    assert await kv.list("a") == [Entry("a", {"n": 2})]


async def test_a_list_holds_the_prefix_in_order(kv: KV):
    for key in ("b:2", "b:10", "a", "b:", "b", "c:1", "b;"):
        await kv.put(key, {"key": key})

    assert await kv.list("b:") == [Entry(key, {"key": key}) for key in ("b:", "b:10", "b:2")]
    assert keys(await kv.list("b:", newest_first=True)) == ["b:2", "b:10", "b:"]
    assert keys(await kv.list("b:", limit=2)) == ["b:", "b:10"]
    assert keys(await kv.list("b:", limit=1, newest_first=True)) == ["b:2"]
    assert keys(await kv.list("b:", limit=0)) == []
    assert keys(await kv.list("")) == ["a", "b", "b:", "b:10", "b:2", "b;", "c:1"]


async def test_a_prefix_is_text_and_no_pattern(kv: KV):
    for key in ("a%", "a_", "a*", "ab", "a?", "a[b]", "a\\", "é", "a\U0010ffffz"):
        await kv.put(key, {})

    assert keys(await kv.list("a%")) == ["a%"]
    assert keys(await kv.list("a_")) == ["a_"]
    assert keys(await kv.list("a*")) == ["a*"]
    assert keys(await kv.list("a[")) == ["a[b]"]
    assert keys(await kv.list("é")) == ["é"]
    assert keys(await kv.list("a\U0010ffff")) == ["a\U0010ffffz"]
    assert len(await kv.list("a")) == 8


async def test_expired_entries_do_not_eat_the_limit(kv: KV, clock: Clock):
    for n in range(60):
        await kv.put(f"a:{n:02}", {}, expires_in=1 if n < 50 else None)
    clock.advance(2)

    assert keys(await kv.list("a:", limit=3)) == ["a:50", "a:51", "a:52"]
    assert keys(await kv.list("a:", limit=20, newest_first=True)) == [f"a:{n}" for n in range(59, 49, -1)]


async def test_an_update_reads_writes_deletes_and_leaves(kv: KV):
    for key in ("a", "b", "c"):
        await kv.put(key, {"was": key})
    seen = []

    def change(old):
        seen.append(list(old))
        return [Write({"now": 1}), Write(None), None, Write({"new": 1})]

    await kv.update(["a", "b", "c", "d"], change)

    assert seen[-1] == [{"was": "a"}, {"was": "b"}, {"was": "c"}, None]
    assert [await kv.get(key) for key in "abcd"] == [{"now": 1}, None, {"was": "c"}, {"new": 1}]


async def test_an_update_gives_values_an_end(kv: KV, clock: Clock):
    await kv.update(["a", "b"], lambda _: [Write({}, 10), Write({})])
    clock.advance(10)

    assert keys(await kv.list("")) == ["b"]


async def test_a_change_that_raises_changes_nothing(kv: KV):
    await kv.put("a", {"n": 1})

    def change(old):
        raise LookupError(old[0]["n"])

    with pytest.raises(LookupError, match="1"):
        await kv.update(["a"], change)

    await kv.put("b", {})
    assert await kv.list("") == [Entry("a", {"n": 1}), Entry("b", {})]


async def test_a_change_with_a_value_that_is_no_json_changes_nothing(kv: KV):
    await kv.put("b", {"n": 1})

    with pytest.raises(TypeError):
        await kv.update(["a", "b"], lambda _: [Write({"n": 2}), Write({"n": object()})])

    assert await kv.list("") == [Entry("b", {"n": 1})]


async def test_another_opening_of_the_store_sees_what_was_written(kv: KV, place: str, clock: Clock):
    other = open_store(place, clock)
    assert await other.get("a") is None
    await kv.put("a", {"n": 1})
    assert await other.get("a") == {"n": 1}
    await other.put("a", {"n": 2})
    assert await kv.get("a") == {"n": 2}
    await other.delete("a")
    assert await kv.get("a") is None
    await other.close()


async def test_a_closed_store_opens_again_on_use(kv: KV):
    await kv.put("a", {"n": 1})
    await kv.close()
    await kv.close()

    assert await kv.get("a") == {"n": 1}


async def test_a_store_that_opens_again_sees_what_was_written_while_it_was_closed(kv: KV, place: str, clock: Clock):
    assert await kv.get("a") is None
    await kv.put("a", {"n": 1})
    assert await kv.get("a") == {"n": 1}
    await kv.close()
    other = open_store(place, clock)
    await other.put("a", {"n": 2})
    await other.close()

    assert await kv.get("b") is None
    assert await kv.get("a") == {"n": 2}


def updating(kv: KV, change: Change) -> asyncio.Task[None]:
    """An update of `a` that is cancelled while it is under way."""
    loop = asyncio.get_running_loop()

    def changed(old):
        loop.call_soon_threadsafe(task.cancel)
        return change(old)

    task = asyncio.create_task(kv.update(["a"], changed))
    return task


async def test_a_cancelled_update_is_written_all_the_same(kv: KV):
    for n in range(1, 6):
        with anyio.fail_after(5):
            await asyncio.wait([updating(kv, increased)])

        assert await kv.get("a") == {"n": n}


async def test_an_update_in_a_cancelled_scope_is_written_all_the_same(kv: KV):
    loop = asyncio.get_running_loop()

    def change(old):
        loop.call_soon_threadsafe(scope.cancel)
        return increased(old)

    with anyio.CancelScope() as scope:
        await kv.update(["a"], change)
        await anyio.sleep(5)

    assert scope.cancelled_caught
    assert await kv.get("a") == {"n": 1}


async def test_a_cancelled_update_that_fails_says_so(kv: KV):
    def refuse(old):
        raise StoreError("not now", hint="")

    with anyio.fail_after(5), pytest.raises(StoreError, match="not now"):
        await updating(kv, refuse)

    assert await kv.get("a") is None
