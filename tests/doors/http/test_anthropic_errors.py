"""Errors as Anthropic tells them, and as its programs act on them."""

from __future__ import annotations

import anthropic
import pytest
from anthropic import AsyncAnthropic

from tests.support.serving import Served, serving, settings_for

pytestmark = pytest.mark.anyio
HELLO = [{"role": "user", "content": "hi"}]


@pytest.fixture
async def client(gateway: Served):
    async with AsyncAnthropic(base_url=gateway.url, api_key="none") as client:
        yield client


async def ask(client: AsyncAnthropic, **more):
    return await client.messages.create(**{"model": "lab/m", "max_tokens": 100, "messages": HELLO, **more})


async def post(gateway: Served, path: str = "/v1/messages", headers: dict | None = None, **body):
    whole = {"model": "lab/m", "max_tokens": 100, "messages": HELLO, **body}
    return await gateway.http.post(path, json=whole, headers=headers or {})


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (404, "not_found_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
    ],
)
async def test_a_routers_refusal_has_anthropics_shape_and_is_not_to_be_retried(gateway, upstream, status, kind):
    upstream.fail(status)
    told = await post(gateway)
    assert told.json()["type"] == "error"
    assert told.json()["error"]["type"] == kind
    assert told.json()["request_id"] == told.headers["x-request-id"]
    assert told.headers["x-should-retry"] == "false"


async def test_the_sdk_finds_the_id_of_a_request_on_answers_and_errors(client, upstream):
    raw = await client.messages.with_raw_response.create(model="lab/m", max_tokens=100, messages=HELLO)
    assert (await raw.parse())._request_id == raw.headers["x-request-id"]
    upstream.fail(400)
    with pytest.raises(anthropic.BadRequestError) as caught:
        await ask(client)
    assert caught.value.request_id == caught.value.body["request_id"]


async def test_what_is_not_served_of_that_api_is_refused_in_its_shape(client):
    with pytest.raises(anthropic.NotFoundError) as caught:
        await client.messages.batches.list()
    assert caught.value.body["type"] == "error"
    assert caught.value.body["error"]["type"] == "not_found_error"
    assert caught.value.request_id


async def test_the_sdk_asks_once_where_our_own_plan_ran_out(client, upstream):
    upstream.fail(500)
    with pytest.raises(anthropic.APIStatusError) as caught:
        await ask(client)
    assert caught.value.status_code == 502
    assert len({request.headers["traceparent"] for request in upstream.chats if "traceparent" in request.headers}) <= 1
    assert len(upstream.chats) <= 2


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (
            (
                "This model's maximum context length is 8192 tokens. However, you requested 10250 tokens (2250 in the "
                "messages, 8000 in the completion)."
            ),
            "prompt is too long: 10250 tokens > 8192 maximum",
        ),
        ("Your input of 12,000 tokens is over the context window of 8,000.", "12000 tokens > 8000 maximum"),
        ("prompt is too long: 210000 tokens > 200000 maximum", "210000 tokens > 200000 maximum"),
        ("Please reduce the length of the messages.", "prompt is too long"),
    ],
)
@pytest.mark.parametrize("status", [400, 413])
async def test_an_overflow_says_it_in_the_words_that_make_claude_code_compact(gateway, upstream, told, words, status):
    upstream.fail(status, {"error": {"message": told, "code": "context_length_exceeded"}})
    answer = await post(gateway, stream=True)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert answer.json()["error"]["message"].startswith("prompt is too long")
    assert words in answer.json()["error"]["message"]


async def test_every_error_of_these_paths_has_the_shape(home, upstream):
    settings = settings_for(home, environ={"GATEWAY_AUTH_TOKEN": "secret-of-the-owner"}, lab=upstream.url)
    async with serving(settings) as gateway:
        own = {"x-api-key": "secret-of-the-owner"}
        told = {
            "no token": await post(gateway),
            "revoked": await post(gateway, headers={"x-api-key": "chomp_" + "0" * 64}),
            "no such model": await post(gateway, headers=own, model="no-such-model"),
            "GET": await gateway.http.get("/v1/messages", headers=own),
            "no JSON": await gateway.http.post("/v1/messages", content=b"{", headers=own),
            "models": await gateway.http.get("/v1/models/nope", headers={**own, "anthropic-version": "2023-06-01"}),
        }
        assert {name: each.status_code for name, each in told.items()} == {
            "no token": 401,
            "revoked": 401,
            "no such model": 404,
            "GET": 405,
            "no JSON": 400,
            "models": 404,
        }
        assert {name for name, each in told.items() if set(each.json()) != {"type", "error", "request_id"}} == set()
        assert (await post(gateway, headers=own)).status_code == 200


async def test_a_body_that_is_too_large_is_told_in_the_shape(gateway, monkeypatch):
    monkeypatch.setattr("chomp_mcp.doors.http.guard.MAX_BODY_BYTES", 1000)
    told = await post(gateway, system="x" * 300_000)
    assert (told.status_code, told.json()["error"]["type"]) == (413, "request_too_large")
