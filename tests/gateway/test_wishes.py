"""A wish that a model has refused is refused once."""

from __future__ import annotations

import pytest

from tests.support.serving import Served

pytestmark = pytest.mark.anyio
HELLO = [{"role": "user", "content": "hi"}]


async def post(gateway: Served, path: str = "/v1/messages", headers: dict | None = None, **body):
    whole = {"model": "lab/m", "max_tokens": 100, "messages": HELLO, **body}
    return await gateway.http.post(path, json=whole, headers=headers or {})


async def test_a_field_that_claude_code_sends_to_every_model_is_left_out_where_the_model_refuses_it(gateway, upstream):
    upstream.fail(400, {"error": {"message": "`reasoning_effort` is not supported with this model"}})
    upstream.answer("hello")
    body = {"output_config": {"effort": "high"}, "max_tokens": 64_000}
    told = await post(gateway, **body, stream=True)
    assert (told.status_code, told.headers["x-chomp-attempts"]) == (200, "2")
    assert "takes no such reasoning_effort" in told.headers["x-chomp-notes"]
    assert (await post(gateway, **body)).status_code == 200
    efforts = [request.json.get("reasoning_effort") for request in upstream.chats]
    assert efforts == ["high", None, None]
    assert all(request.json["max_tokens"] == 64_000 for request in upstream.chats)
    await post(gateway, output_config={"effort": "low"})
    assert upstream.chats[-1].json["reasoning_effort"] == "low"


async def test_more_tokens_than_the_model_writes_are_not_asked_for_again(gateway, upstream):
    upstream.fail(
        400, {"error": {"message": "`max_tokens` must be less than or equal to `32768`", "param": "max_tokens"}}
    )
    upstream.answer("hello")
    for most in (64_000, 90_000, 100):
        assert (await post(gateway, max_tokens=most)).status_code == 200
    assert [request.json.get("max_tokens") for request in upstream.chats] == [64_000, None, None, 100]


async def test_a_wish_is_no_excuse_for_asking_for_ever(gateway, upstream):
    upstream.fail(400, {"error": {"message": "reasoning, max_tokens, unknown user: all is wrong"}})
    told = await post(gateway, output_config={"effort": "high"}, metadata={"user_id": "u"})
    assert told.status_code == 400
    assert len(upstream.chats) == 4
