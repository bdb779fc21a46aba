"""Conversations, kept by their names and continued."""

from __future__ import annotations

import pytest

from chomp_mcp.errors import InvalidRequest
from chomp_mcp.store.kv.protocol import KV
from chomp_mcp.store.threads import LAST_SECONDS, NAMED_SECONDS, Thread, Threads
from tests.support.clock import Clock

pytestmark = pytest.mark.anyio
SAID = [{"role": "user", "content": "hi"}]


@pytest.fixture
def threads(kv: KV, clock: Clock) -> Threads:
    return Threads(kv, clock=clock)


async def test_a_conversation_comes_back_by_its_name_and_the_newest_without_one(threads: Threads, clock: Clock):
    named = Thread("plan.b", SAID, "groq/m", "groq")
    await threads.save("owner", named)
    clock.advance(1)
    await threads.save("owner", Thread("", SAID * 2))
    assert await threads.get("owner", "plan.b") == named
    assert await threads.last("owner") == Thread("last", SAID * 2)
    clock.advance(1)
    await threads.save("owner", named)
    assert await threads.last("owner") == named
    assert (await threads.get("stranger", "plan.b"), await threads.last("stranger")) == (None, None)


async def test_one_without_a_name_is_kept_for_a_day_and_a_named_one_for_three_months(threads: Threads, clock: Clock):
    for name in ("", "kept"):
        await threads.save("owner", Thread(name, SAID))
    clock.advance(LAST_SECONDS)
    assert (await threads.last("owner")).name == "kept"
    clock.advance(NAMED_SECONDS - LAST_SECONDS)
    assert await threads.last("owner") is None


async def test_all_of_a_caller_are_forgotten_and_no_other_s(threads: Threads):
    for caller in ("one", "two"):
        await threads.save(caller, Thread("a", SAID))
    await threads.delete_all("one")
    assert await threads.last("one") is None
    assert await threads.last("two")


@pytest.mark.parametrize("name", ["a b", "../a", "a" * 65, "a:b", "\x1b"])
async def test_what_is_no_name_is_refused(threads: Threads, name: str):
    with pytest.raises(InvalidRequest, match="cannot be the name"):
        await threads.save("owner", Thread(name, SAID))
    with pytest.raises(InvalidRequest):
        await threads.get("owner", name)
