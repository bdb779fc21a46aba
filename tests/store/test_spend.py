"""What is spent, of which day, and how it is told that a budget does not cover a call."""

from __future__ import annotations

import time

import pytest

from chomp_mcp.errors import BudgetExceeded
from chomp_mcp.policy.budget import Limits
from chomp_mcp.store.ledger import Ledger
from tests.store.test_ledger import settle
from tests.support.clock import NOON, Clock

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("utc")]
LIMITS = Limits(day_nano=1_000, month_nano=5_000)


async def test_the_refusal_says_what_is_spent_and_when_it_resets(ledger: Ledger):
    await settle(ledger, None, 999)

    with pytest.raises(BudgetExceeded) as refused:
        await ledger.reserve("owner", 2, LIMITS)

    assert str(refused.value) == (
        "The budget for the day does not cover this call, which may cost $0.000000002: $0.000000999 of $0.000001 are"
        " spent, and calls under way may cost $0.00. It resets on 2026-06-14 00:00; raise LLM_DAILY_BUDGET_USD, set a"
        " smaller max_tokens, or use a free model."
    )
    assert refused.value.resets_at == NOON + 12 * 3600
    assert refused.value.retry_after == 12 * 3600


async def test_a_new_day_has_a_new_budget_and_a_new_month_too(ledger: Ledger, clock: Clock):
    async def spend(micro: int) -> None:
        hold = await ledger.reserve("owner", micro, LIMITS)
        await settle(ledger, hold, micro)

    for _ in range(5):
        await spend(1_000)
        with pytest.raises(BudgetExceeded, match="budget for the"):
            await spend(1)
        clock.advance(86_400)
    with pytest.raises(BudgetExceeded, match=r"month.*LLM_MONTHLY_BUDGET_USD") as refused:
        await spend(1)
    clock.now = refused.value.resets_at
    await spend(1_000)

    assert (await ledger.spent("owner")).month_nano == 1_000


async def test_days_are_those_of_the_users_time_zone(ledger: Ledger, clock: Clock, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    await settle(ledger, None, 1_000)
    with pytest.raises(BudgetExceeded, match="It resets on 2026-06-15 00:00") as refused:
        await ledger.reserve("owner", 1, LIMITS)

    # Noon in Greenwich is midnight there.
    assert refused.value.resets_at == NOON + 24 * 3600
    clock.advance(-1)
    assert (await ledger.spent("owner")).day_nano == 0


async def test_a_call_over_midnight_is_spent_on_the_day_it_ends(ledger: Ledger, clock: Clock):
    clock.advance(12 * 3600 - 1)
    hold = await ledger.reserve("owner", 100, LIMITS)
    clock.advance(1)
    assert (await ledger.spent("owner")).held_nano == 100

    await settle(ledger, hold, 100)

    assert (await ledger.spent("owner")).day_nano == 100
    clock.advance(-1)
    assert (await ledger.spent("owner")).day_nano == 0
