"""One run of a step for all who ask for it at about the same time."""

from __future__ import annotations

import asyncio

import pytest

from chomp_mcp.store.together import Together

pytestmark = pytest.mark.anyio


class Steps:
    """Counts the runs of a step, which fails when told to."""

    def __init__(self) -> None:
        self.count = 0
        self.failure: Exception | None = None

    async def __call__(self) -> None:
        self.count += 1
        if self.failure:
            raise self.failure


async def a_turn_later(together: Together) -> None:
    await asyncio.sleep(0)
    await together.run()


async def test_all_who_ask_in_one_turn_share_one_step():
    steps = Steps()
    together = Together(steps)
    await asyncio.gather(*(together.run() for _ in range(5)))
    assert steps.count == 1


async def test_whoever_comes_a_turn_later_shares_it_only_in_a_burst():
    steps = Steps()
    together = Together(steps)
    await asyncio.gather(together.run(), a_turn_later(together))
    assert steps.count == 2
    await asyncio.gather(together.run(), together.run())
    assert steps.count == 3
    await asyncio.gather(together.run(), a_turn_later(together))
    assert steps.count == 4


async def test_what_the_step_raises_is_for_all_who_wait():
    steps = Steps()
    steps.failure = ValueError("full")
    together = Together(steps)
    outcomes = await asyncio.gather(together.run(), together.run(), return_exceptions=True)
    assert [str(each) for each in outcomes] == ["full", "full"]


async def test_whoever_gives_up_takes_nobody_elses_step():
    steps = Steps()
    together = Together(steps)
    gone, stays = asyncio.create_task(together.run()), asyncio.create_task(together.run())
    await asyncio.sleep(0)
    gone.cancel()
    await stays
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert steps.count == 1
