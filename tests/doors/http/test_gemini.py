"""Google's Gemini API as a door, in the bodies that Gemini CLI sends."""

from __future__ import annotations

import json

import pytest

from tests.support.serving import serving, settings_for

pytestmark = pytest.mark.anyio
HELLO = {"role": "user", "parts": [{"text": "hi"}]}
PATHS = ("/v1beta/models/lab/m", "/v1beta1/publishers/google/models/lab/m", "/v1/models/lab/m")


async def post(gateway, call="generateContent", path=PATHS[0], headers=None, **body):
    whole = {"contents": [HELLO], **body}
    return await gateway.http.post(f"{path}:{call}", json=whole, headers=headers or {})


def events(text: str) -> list[dict]:
    return [json.loads(line[6:]) for line in text.split("\n") if line.startswith("data: ")]


async def test_errors_have_googles_shape(gateway, upstream):
    upstream.fail(500)
    told = await post(gateway)
    assert told.status_code == 502
    assert told.json()["error"]["status"] == "INTERNAL"
    assert told.json()["error"]["code"] == 502
    assert (await post(gateway, contents="x")).json()["error"]["status"] == "INVALID_ARGUMENT"
    assert (await post(gateway, "embedContent")).status_code == 400
    missing = await post(gateway, path="/v1beta/models/no-such-model")
    assert (missing.status_code, missing.json()["error"]["status"]) == (404, "NOT_FOUND")
    upstream.clear()
    upstream.error_event({"message": "out of luck"}, after=["Hel"])
    streamed = events((await post(gateway, "streamGenerateContent")).text)
    assert "out of luck" in streamed[-1]["error"]["message"]


async def test_its_key_header_is_a_token_and_its_own_names_stand_for_the_users_model(home, upstream):
    environ = {"GATEWAY_AUTH_TOKEN": "secret-of-the-owner", "CHOMP_AGENT_MODEL": "lab/m"}
    async with serving(settings_for(home, environ=environ, lab=upstream.url)) as gateway:
        path = "/v1beta/models/gemini-3-pro"
        assert (await post(gateway, path=path)).json()["error"]["status"] == "UNAUTHENTICATED"
        told = await post(gateway, path=path, headers={"x-goog-api-key": "secret-of-the-owner"})
        assert (told.status_code, upstream.chats[0].model) == (200, "m")


async def test_tokens_are_estimated(gateway, upstream):
    told = await post(gateway, "countTokens", contents=[{"role": "user", "parts": [{"text": "x" * 4000}]}])
    assert 1000 <= told.json()["totalTokens"] <= 1050
    assert not upstream.chats
