"""What was spent in a day, as it stands in the store."""

from __future__ import annotations

import pytest

from chomp_mcp.messages import Usage
from chomp_mcp.policy.budget import Limits
from chomp_mcp.store.ledger import Ledger
from tests.store.test_ledger import settle

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("utc")]
LIMITS = Limits(day_nano=1_000, month_nano=5_000)


async def test_spend_adds_up_per_router_and_unknown_prices_are_counted_not_guessed(ledger: Ledger):
    for router, cost in (("groq", 5), ("zen", 7), ("groq", 1), ("ollama", 0), ("sambanova", None)):
        hold = await ledger.reserve("owner", cost or 0, LIMITS)
        await settle(ledger, hold, cost, Usage(1, 1), router)

    spent = await ledger.spent("owner")

    assert (spent.day_nano, spent.month_nano, spent.held_nano) == (13, 13, 0)
    assert (spent.calls, spent.unpriced, spent.input_tokens) == (5, 1, 5)
    assert spent.by_router == {"groq": 6, "zen": 7, "ollama": 0}
