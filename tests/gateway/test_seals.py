"""What one route has sealed reaches no other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.dialects.responses.test_native import BODY
from tests.support.responses_answers import response, script_response, thought
from tests.support.scripted import ScriptedRouter
from tests.support.serving import Served, serving, settings_for

pytestmark = pytest.mark.anyio


@pytest.fixture
async def served(home, upstream):
    settings = settings_for(home, environ={"LAB_KEY": "sk-lab"})
    row = {"url": upstream.url, "dialect": "responses", "key": "LAB_KEY"}
    async with serving(replace(settings, router_rows={"gpt": row})) as gateway:
        yield gateway


async def post(served: Served, **more):
    return await served.http.post("/v1/responses", json={**BODY, **more}, headers={"openai-beta": "x=v1"})


@pytest.mark.parametrize("stream", [False, True])
async def test_sealed_reasoning_goes_back_to_the_route_that_made_it_alone(home, stream):
    async with ScriptedRouter() as one, ScriptedRouter() as two:
        rows = {name: {"url": each.url, "dialect": "responses"} for name, each in (("one", one), ("two", two))}
        script_response(one, response(thought(sealed="b2YgbXkgb3du"), "hello"))
        script_response(two, response("again"))
        async with serving(replace(settings_for(home), router_rows=rows)) as gateway:
            await post(gateway, model="one/m", input="hi", stream=stream)
            turns = [{"role": "user", "content": "hi"}, thought(sealed="b2YgbXkgb3du"), *BODY["input"][:1]]
            elsewhere = await post(gateway, model="two/m", input=turns)
            back = await post(gateway, model="one/m", input=turns)
        assert two.chats[0].json["input"] == [turns[0], turns[2]]
        assert "what another model thought is left out" in elsewhere.headers["x-chomp-notes"]
        assert one.chats[1].json["input"] == turns
        assert "x-chomp-notes" not in back.headers


async def test_a_route_that_cannot_read_what_was_sealed_is_asked_without_it(served, upstream):
    words = "The encrypted content gAAA... could not be verified. Reason: Encrypted content could not be decrypted."
    upstream.fail(
        400, {"error": {"message": words, "type": "invalid_request_error", "code": "invalid_encrypted_content"}}
    )
    script_response(upstream, response("hello"))
    told = await post(served)
    assert told.status_code == 200
    first, second = (request.json["input"] for request in upstream.chats)
    assert [item for item in first if item.get("type") != "reasoning"] == second
    assert len(second) == len(first) - 1
    assert "left out" in told.headers["x-chomp-notes"]
