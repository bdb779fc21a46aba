from __future__ import annotations

import asyncio

import pytest

from chomp_mcp.store.kv.turn import Turns

pytestmark = pytest.mark.anyio


async def test_a_turn_has_one_number_and_whoever_is_woken_after_it_was_asked_for_has_another():
    turns, loop, woken = Turns(), asyncio.get_running_loop(), asyncio.Event()
    earlier: list[int] = []
    loop.call_soon(lambda: earlier.append(turns.now()))
    first = turns.now()
    loop.call_soon(woken.set)

    assert turns.now() == first
    await woken.wait()
    assert turns.now() != first
    assert earlier == [first]


async def test_a_turn_can_end_early_and_the_next_ends_too():
    turns = Turns()
    first = turns.now()
    turns.end()
    second = turns.now()
    await asyncio.sleep(0)

    assert len({first, second, turns.now()}) == 3


def test_a_loop_that_ended_in_the_middle_of_a_turn_leaves_it_to_no_other():
    turns, seen = Turns(), list[int]()

    def look(loop: asyncio.AbstractEventLoop) -> None:
        seen.append(turns.now())
        loop.stop()

    for _ in range(3):
        loop = asyncio.new_event_loop()
        loop.call_soon(look, loop)
        loop.run_forever()
        loop.close()

    assert len(set(seen)) == 3
