"""What several replicas count together: one rate limit, one budget."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from tests.cluster.replicas import Replicas

pytestmark = pytest.mark.anyio


async def test_120_calls_at_once_over_three_replicas_meet_one_rate_limit(replicas: Replicas):
    three = await replicas.start(3, GATEWAY_RATE_RPS="0.001", GATEWAY_RATE_BURST="46")

    answers = await asyncio.gather(*(three[n % 3].chat(model="mock/echo") for n in range(120)))

    assert Counter(answer.status_code for answer in answers) == {200: 46, 429: 74}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert int(refused.headers["retry-after"]) > 900
    assert [(await replica.chat(model="mock/echo")).status_code for replica in three] == [429] * 3


async def test_metrics_say_which_replica_tells_them(replicas: Replicas):
    one, other = await replicas.start(2)

    pages = [(await each.http.get("/metrics")).text for each in (one, other)]

    for page, replica in zip(pages, (one, other), strict=True):
        assert f':{replica.chomp.settings.port}"}} 1.0' in page.partition("chomp_replica_info{")[2]
        assert "chomp_store_up 1.0" in page
