"""What several replicas count together: one rate limit, one budget."""

from __future__ import annotations

import asyncio
from collections import Counter
from decimal import Decimal

import pytest

from tests.cluster.replicas import Replicas
from tests.support.scripted import ScriptedRouter

pytestmark = pytest.mark.anyio

COST = Decimal("0.00060015")
"""Of an answer of one token in and a thousand out, in USD, as genai-prices has it."""


async def test_120_calls_at_once_over_three_replicas_meet_one_rate_limit(replicas: Replicas):
    three = await replicas.start(3, GATEWAY_RATE_RPS="0.001", GATEWAY_RATE_BURST="46")

    answers = await asyncio.gather(*(three[n % 3].chat(model="mock/echo") for n in range(120)))

    assert Counter(answer.status_code for answer in answers) == {200: 46, 429: 74}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert int(refused.headers["retry-after"]) > 900
    assert [(await replica.chat(model="mock/echo")).status_code for replica in three] == [429] * 3


async def test_calls_over_three_replicas_meet_one_budget_and_each_answer_is_booked_once(
    replicas: Replicas, upstream: ScriptedRouter
):
    """The long form, with 100,000: `python -m tests.cluster.measure exact`."""
    upstream.answer("hello", usage=(1, 1000))
    environ = {"CHOMP_ROUTER_GROQ_URL": upstream.url, "LLM_DAILY_BUDGET_USD": str(20 * COST)}
    three = await replicas.start(3, **environ)
    paid = {"model": "groq/openai/gpt-oss-120b", "max_tokens": 1000}

    answers = await asyncio.gather(*(three[n % 3].chat(paid) for n in range(36)))
    seen = Counter(answer.status_code for answer in answers)
    while (answer := await three[seen[200] % 3].chat(paid)).status_code == 200:
        seen[200] += 1

    assert answer.json()["error"]["code"] == "insufficient_quota"
    assert set(seen) == {200, 429}
    # A call that may cost more than is left is refused, and each holds a little for its input beyond what it costs.
    assert 17 <= seen[200] <= 20
    for replica in three:
        cost = (await replica.http.get("/v1/providers")).json()["cost"]
        assert cost["daily_spend_usd"] == pytest.approx(seen[200] * float(COST))


async def test_metrics_say_which_replica_tells_them(replicas: Replicas):
    one, other = await replicas.start(2)

    pages = [(await each.http.get("/metrics")).text for each in (one, other)]

    for page, replica in zip(pages, (one, other), strict=True):
        assert f':{replica.chomp.settings.port}"}} 1.0' in page.partition("chomp_replica_info{")[2]
        assert "chomp_store_up 1.0" in page
