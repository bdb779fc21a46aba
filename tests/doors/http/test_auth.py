"""Who may call: owner token, callers' tokens, loopback without one, strangers that register."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from chomp_mcp.doors.http.auth import check_bind, is_loopback, may_register
from chomp_mcp.doors.http.chomp_api import REGISTRATIONS
from chomp_mcp.errors import InvalidSetting
from tests.support.serving import serving, settings_for

pytestmark = pytest.mark.anyio

STRANGER = f"chomp_{'0' * 64}"
PROTECTED = ["/v1/models", "/v1/providers", "/api/keys", "/api/jobs", "/metrics", "/mcp", "/sse", "/nowhere"]


@asynccontextmanager
async def with_token(home, **changes):
    async with serving(replace(settings_for(home), auth_token="s3cret", **changes)) as gateway:
        yield gateway


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


@pytest.mark.parametrize("path", PROTECTED)
@pytest.mark.parametrize("headers", [{}, bearer("wrong"), bearer(STRANGER), {"authorization": "Basic czNjcmV0"}])
async def test_with_a_token_set_no_path_answers_anybody_else(home, path, headers):
    async with with_token(home) as gateway:
        answer = await gateway.http.get(path, headers=headers)
    assert answer.status_code == 401
    metadata = f"{gateway.url}/.well-known/oauth-protected-resource{path}"
    challenge = f'Bearer resource_metadata="{metadata}"' if path in {"/mcp", "/sse"} else "Bearer"
    assert answer.headers["www-authenticate"] == challenge
    assert answer.headers["x-request-id"]
    assert answer.json()["error"]["code"] == "invalid_api_key"


@pytest.mark.parametrize("header", ["Bearer s3cret", "bearer s3cret", "Bearer  s3cret"])
async def test_the_owners_token_opens_everything(home, header):
    async with with_token(home) as gateway:
        answer = await gateway.http.get("/api/keys", headers={"authorization": header})
    assert (answer.status_code, answer.json()) == (200, {"created": None, "routers": {}})


async def test_liveness_needs_no_token(home):
    async with with_token(home) as gateway:
        assert (await gateway.http.get("/healthz")).json() == {"status": "ok"}


@pytest.mark.parametrize("headers", [{}, bearer("none"), bearer("sk-anything")])
async def test_on_loopback_without_a_token_set_everybody_is_the_owner(gateway, headers):
    assert (await gateway.http.get("/metrics", headers=headers)).status_code == 200


@pytest.mark.parametrize("path", PROTECTED)
async def test_a_token_that_nobody_has_is_refused_on_loopback_too(gateway, path):
    answer = await gateway.http.get(path, headers=bearer(STRANGER))
    assert answer.status_code == 401
    error = answer.json()["error"]
    assert (error["type"], error["code"]) == ("authentication_error", "invalid_api_key")
    assert error["message"] == (
        "Nobody has this token, or it was revoked. Send Authorization: Bearer <token>: "
        "GATEWAY_AUTH_TOKEN, or a token that POST /api/keys gave."
    )


async def test_callers_see_their_own_keys_jobs_and_spend_only(gateway):
    tokens = []
    for key in ("gsk_aaaaaaaaaaaa1111", "gsk_bbbbbbbbbbbb2222"):
        answer = await gateway.http.post("/api/keys", json={"keys": {"groq": key}})
        tokens.append(bearer(answer.json()["token"]))
    job = (
        await gateway.http.post("/api/dispatch", json={"prompt": "hi", "model": "mock/echo"}, headers=tokens[0])
    ).json()
    await gateway.http.get(f"/api/result/{job['id']}?wait=5", headers=tokens[0])
    shown = [(await gateway.http.get("/api/keys", headers=token)).json()["routers"] for token in tokens]
    assert shown == [{"groq": "gsk_…1111"}, {"groq": "gsk_…2222"}]
    assert [len((await gateway.http.get("/api/jobs", headers=token)).json()) for token in tokens] == [1, 0]
    for headers in (tokens[1], {}):
        theirs = await gateway.http.get(f"/api/result/{job['id']}", headers=headers)
        assert (theirs.status_code, theirs.json()["error"]["code"]) == (404, "job_not_found")
        assert (await gateway.http.delete(f"/api/result/{job['id']}", headers=headers)).status_code == 404
    spent = [(await gateway.chomp.status(await caller(gateway, token)))["spend"]["calls_today"] for token in tokens]
    assert spent == [1, 0]


async def caller(gateway, headers):
    return await gateway.chomp.keyring.find(headers["authorization"].removeprefix("Bearer "))


async def test_the_metrics_are_the_owners(gateway):
    token = (await gateway.http.post("/api/keys", json={"keys": {"groq": "gsk_1"}})).json()["token"]
    answer = await gateway.http.get("/metrics", headers=bearer(token))
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "not_allowed")


async def test_a_revoked_token_is_refused_at_once(gateway):
    token = bearer((await gateway.http.post("/api/keys", json={"keys": {"groq": "gsk_1"}})).json()["token"])
    assert (await gateway.http.delete("/api/keys", headers=token)).json() == {"deleted": True}
    assert (await gateway.http.get("/v1/models", headers=token)).status_code == 401
    assert (await gateway.http.post("/api/keys", json={"keys": {"groq": "gsk_2"}}, headers=token)).status_code == 401


async def test_tokens_are_stored_only_as_hashes(gateway, home):
    token = (await gateway.http.post("/api/keys", json={"keys": {"groq": "gsk_1"}})).json()["token"]
    assert len(token) == len(STRANGER)
    stored = (home / "keys.json").read_text()
    assert token not in stored
    assert token.removeprefix("chomp_") not in stored


async def test_strangers_register_on_loopback_also_when_the_owner_has_a_token(home):
    async with with_token(home) as gateway:
        answer = await gateway.http.post("/api/keys", json={"keys": {"groq": "gsk_1"}})
        assert answer.status_code == 200
        token = bearer(answer.json()["token"])
        assert (await gateway.http.get("/v1/models", headers=token)).status_code == 200


@pytest.mark.parametrize(("is_open", "status"), [(False, 403), (True, 200)])
async def test_beyond_loopback_strangers_register_only_where_the_owner_says_so(home, is_open, status):
    async with with_token(home, host="0.0.0.0", open_registration=is_open) as gateway:
        answer = await gateway.http.post("/api/keys", json={"keys": {"groq": "gsk_1"}})
    assert answer.status_code == status


async def test_registrations_from_one_address_are_limited(gateway):
    body = {"keys": {"groq": "gsk_1"}}
    answers = [await gateway.http.post("/api/keys", json=body) for _ in range(REGISTRATIONS.burst + 1)]
    assert [answer.status_code for answer in answers] == [200] * REGISTRATIONS.burst + [429]
    assert int(answers[-1].headers["retry-after"]) >= 1


async def test_a_wrong_key_leaves_no_caller_behind(gateway, home):
    answer = await gateway.http.post("/api/keys", json={"keys": {"nowhere": "k"}})
    assert answer.status_code == 400
    assert "user:" not in (home / "keys.json").read_text()


@pytest.mark.parametrize(
    ("host", "is_local"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("[::1]", True), ("localhost", True), ("LOCALHOST", True)]
    + [(host, False) for host in ("0.0.0.0", "::", "", "192.168.1.5", "localhost.evil.example", "127.0.0.1.nip.io")],
)
def test_what_counts_as_this_machine(host, is_local):
    assert is_loopback(host) is is_local


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", ""])
def test_a_bind_beyond_loopback_needs_a_token(home, host):
    settings = replace(settings_for(home), host=host)
    with pytest.raises(InvalidSetting, match="GATEWAY_AUTH_TOKEN"):
        check_bind(settings)
    with pytest.raises(InvalidSetting, match="at least 16 characters"):
        check_bind(replace(settings, auth_token="a" * 15))
    check_bind(replace(settings, auth_token="a" * 16))
    assert not may_register(settings)


INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}
PING = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
ACCEPT = {"accept": "application/json, text/event-stream"}


async def test_mcp_asks_for_the_same_tokens(gateway):
    refused = await gateway.http.post("/mcp", json=INITIALIZE, headers={**ACCEPT, **bearer(STRANGER)})
    answer = await gateway.http.post("/mcp", json=INITIALIZE, headers=ACCEPT)
    assert (refused.status_code, answer.status_code) == (401, 200)
    assert answer.headers["x-request-id"]


async def test_nobody_goes_on_with_anothers_mcp_session(gateway):
    tokens = []
    for key in ("gsk_1", "gsk_2"):
        registered = await gateway.http.post("/api/keys", json={"keys": {"groq": key}})
        tokens.append(bearer(registered.json()["token"]))
    begun = await gateway.http.post("/mcp", json=INITIALIZE, headers={**ACCEPT, **tokens[0]})
    session = {**ACCEPT, "mcp-session-id": begun.headers["mcp-session-id"]}
    answers = [await gateway.http.post("/mcp", json=PING, headers={**session, **token}) for token in (*tokens, {})]
    assert [answer.status_code for answer in answers] == [200, 404, 404]
