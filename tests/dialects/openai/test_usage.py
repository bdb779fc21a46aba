"""What an answer says of its tokens and of its cost."""

from __future__ import annotations

from decimal import Decimal

import pytest

from chomp_mcp import wire
from chomp_mcp.dialects.openai import request as openai
from chomp_mcp.messages import Completion, Usage
from tests.dialects.openai.router import DONE, USAGE, chunk, event, read


@pytest.mark.parametrize(
    ("more", "cost"),
    [
        ({"usage": {**USAGE, "cost": 0.00012}}, Decimal("0.00012")),
        ({"cost": "0.5"}, Decimal("0.5")),
        ({"cost": 0}, Decimal(0)),
        ({"cost": -1}, None),
        ({"cost": "free"}, None),
        ({}, None),
    ],
)
def test_the_cost_is_what_the_router_says(more, cost):
    answer = openai.decode(wire.dumps({"choices": [{"message": {"content": "hi"}}], **more}))
    assert isinstance(answer, Completion)
    assert answer.cost_usd == cost


def test_usage_and_cost_are_read_where_they_come():
    deltas, decoder = read(
        event(chunk({"content": "hi"}, "stop")), event({"choices": [], "usage": {**USAGE, "cost": 0.25}}), DONE
    )
    assert deltas[-1].is_usage_only
    assert (decoder.usage, decoder.cost_usd) == (Usage(7, 3, 2), Decimal("0.25"))


def test_usage_that_nobody_can_mean_is_not_passed_on():
    deltas, decoder = read(event(chunk({"content": "hi"}, "stop", usage={"prompt_tokens": -5, "completion_tokens": 1})))
    assert ["usage" in delta.chunk for delta in deltas] == [False]
    assert decoder.usage is None


def test_groqs_usage_is_found_in_its_own_field():
    _, decoder = read(event(chunk({}, "stop", x_groq={"id": "r", "usage": USAGE})), DONE)
    assert decoder.usage == Usage(7, 3, 2)
