"""The one app: bad input, Host and Origin, CORS, bodies, request ids."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import anyio
import httpx2
import pytest

from tests.support.scripted import ScriptedRouter
from tests.support.serving import Served, serving, settings_for

pytestmark = pytest.mark.anyio
CHAT = "/v1/chat/completions"
HELLO = [{"role": "user", "content": "hi"}]
OK = {"model": "lab/m", "messages": HELLO}
DEEP = b'{"messages":' + b"[" * 100_000
BAD_INPUT = [
    # method, path, body, status, code
    *(("POST", path, b"{not json", 400, "invalid_request") for path in (CHAT, "/v1/chat", "/v1/chat/stream")),
    *(("POST", path, b"", 400, "invalid_request") for path in (CHAT, "/v1/chat", "/api/dispatch", "/api/keys")),
    ("POST", CHAT, b"[1, 2]", 400, "invalid_request"),
    ("POST", CHAT, b"null", 400, "invalid_request"),
    ("POST", CHAT, b'{"model": "\xff\xfe"}', 400, "invalid_request"),
    ("POST", CHAT, b'{"model": "\\ud800"}', 400, "invalid_request"),
    ("POST", CHAT, DEEP, 400, "invalid_request"),
    ("POST", CHAT, {}, 400, "invalid_request"),
    ("POST", CHAT, {**OK, "messages": []}, 400, "invalid_request"),
    ("POST", CHAT, {**OK, "messages": "hi"}, 400, "invalid_request"),
    ("POST", CHAT, {**OK, "messages": ["hi"]}, 400, "invalid_request"),
    ("POST", CHAT, {**OK, "model": 5}, 400, "invalid_request"),
    ("POST", CHAT, {**OK, "router": ["lab"]}, 400, "invalid_request"),
    ("POST", CHAT, {**OK, "stream": "yes"}, 400, "invalid_request"),
    ("POST", CHAT, {**OK, "stream": True, "stream_options": [1]}, 400, "invalid_request"),
    ("POST", CHAT, {**OK, "model": "nobody-has-this-model"}, 404, "model_not_found"),
    ("POST", CHAT, {**OK, "model": "x" * 1_000_000}, 400, "invalid_request"),
    ("POST", CHAT, {**OK, "router": "nowhere"}, 400, "invalid_request"),
    ("POST", CHAT, {**OK, "model": "groq/m"}, 401, "no_router_key"),
    ("POST", CHAT, b" " * (50 * 1024 * 1024), 413, "request_too_large"),
    ("POST", "/v1/chat", {**OK, "agent_id": 7}, 400, "invalid_request"),
    ("POST", "/v1/chat", {"agent_id": "a"}, 400, "invalid_request"),
    ("POST", "/api/dispatch", {"model": "mock/echo"}, 400, "invalid_request"),
    ("POST", "/api/dispatch", {"prompt": ["hi"]}, 400, "invalid_request"),
    ("POST", "/api/dispatch", {"prompt": "hi", "router": "nowhere"}, 400, "invalid_request"),
    ("POST", "/api/dispatch", {"prompt": "x" * 10_000_000, "model": "mock/echo"}, 413, "request_too_large"),
    ("POST", "/api/keys", {}, 400, "invalid_request"),
    ("POST", "/api/keys", {"keys": ["k"]}, 400, "invalid_request"),
    ("POST", "/api/keys", {"keys": {"groq": 5}}, 400, "invalid_request"),
    ("POST", "/api/keys", {"keys": {"groq": "gsk_1\nx-evil: 1"}}, 400, "invalid_request"),
    ("POST", "/api/keys", {"keys": {"nowhere": "k"}}, 400, "invalid_request"),
    ("POST", "/api/keys", {"keys": {"mock": "k"}}, 400, "invalid_request"),
    ("GET", "/api/result/nope", None, 404, "job_not_found"),
    ("GET", "/api/result/..%2f..%2fkeys", None, 404, None),
    ("GET", "/api/result/job_0?wait=soon", None, 400, "invalid_request"),
    ("GET", "/api/result/job_0?wait=-1", None, 400, "invalid_request"),
    ("GET", "/api/result/job_0?wait=nan", None, 400, "invalid_request"),
    ("DELETE", "/api/result/nope", None, 404, "job_not_found"),
    ("GET", "/api/jobs?limit=many", None, 400, "invalid_request"),
    ("GET", "/api/models/nowhere", None, 400, "invalid_request"),
    ("GET", "/v1/models/nowhere/at/all", None, 404, "model_not_found"),
    ("GET", "/nowhere", None, 404, "not_found"),
    ("GET", CHAT, None, 405, "method_not_allowed"),
    ("PUT", "/api/keys", {}, 405, "method_not_allowed"),
]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def upstream() -> AsyncIterator[ScriptedRouter]:
    async with ScriptedRouter() as router:
        yield router


@pytest.fixture(scope="module")
async def gateway(upstream: ScriptedRouter, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    """One for all that leave it as it was."""
    async with serving(settings_for(tmp_path_factory.mktemp("app") / "home", lab=upstream.url)) as served:
        yield served


@pytest.mark.parametrize(("method", "path", "body", "status", "code"), BAD_INPUT)
async def test_bad_input_is_told_in_the_envelope(gateway, upstream, method, path, body, status, code):
    sent = {"content": body} if isinstance(body, bytes) else {"json": body} if body is not None else {}
    answer = await gateway.http.request(method, path, **sent)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code or error["code"])
    assert error.keys() == {"message", "type", "code", "param"}
    assert error["message"]
    assert len(answer.content) < 2000
    assert b"Traceback" not in answer.content
    assert answer.headers["x-request-id"]
    assert upstream.chats == []
    assert (await gateway.chat(model="mock/echo")).status_code == 200


async def test_a_405_names_every_method_there_is(gateway):
    answer = await gateway.http.put("/api/keys")
    assert {"GET", "POST", "DELETE"} <= set(answer.headers["allow"].split(", "))
    assert f"It takes {answer.headers['allow']};" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("given", "kept"), [("abc-123", True), ("a" * 128, True), ("a" * 129, False), ("two words", False), ("é", False)]
)
async def test_a_sane_request_id_is_taken_over(gateway, given, kept):
    answer = await gateway.http.get("/healthz", headers={"x-request-id": given.encode()})
    assert (answer.headers["x-request-id"] == given) is kept


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [("127.0.0.1:1", True), ("localhost", True), ("[::1]:8080", True), ("evil.example", False)]
    + [(host, False) for host in ("127.0.0.1.nip.io", "localhost.evil.example:8080", "evil.example#@localhost", "[")],
)
@pytest.mark.parametrize("path", ["/healthz", "/v1/models/mock", "/mcp", "/keys/x"])
async def test_foreign_hosts_are_refused_on_loopback(gateway, host, is_ours, path):
    answer = await gateway.http.get(path, headers={"host": host})
    assert (answer.status_code == 421) is not is_ours
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("origin", "is_allowed", "is_listed"),
    [
        ("http://localhost:3000", True, True),
        ("http://localhost:6274", True, False),
        ("http://127.0.0.1:9999", True, False),
        ("https://app.example", False, False),
        ("http://localhost.evil.example", False, False),
        ("null", False, False),
        ("file://", False, False),
    ],
)
async def test_origins_are_checked_and_only_listed_ones_may_read(gateway, origin, is_allowed, is_listed):
    answer = await gateway.http.get("/healthz", headers={"origin": origin})
    assert answer.status_code == (200 if is_allowed else 403)
    assert answer.headers.get("access-control-allow-origin") == (origin if is_listed else None)


async def test_cors_origins_come_from_the_settings(home):
    environ = {"CORS_ALLOWED_ORIGINS": "https://app.example"}
    headers = {
        "origin": "https://app.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,x-stainless-os",
    }
    async with serving(replace(settings_for(home, environ=environ), auth_token="s3cret")) as gateway:
        preflight = await gateway.http.options(CHAT, headers=headers)
        refused = await gateway.http.post(CHAT, headers={"origin": "https://app.example"})
        foreign = await gateway.http.options(CHAT, headers={**headers, "origin": "https://evil.example"})
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "https://app.example"
    assert preflight.headers["access-control-allow-headers"] == "authorization,x-stainless-os"
    assert "POST" in preflight.headers["access-control-allow-methods"]
    assert preflight.headers["x-request-id"]
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == "https://app.example"
    assert "x-request-id" in refused.headers["access-control-expose-headers"]
    assert foreign.status_code == 403


async def test_a_page_of_the_gateways_own_host_may_call_it_beyond_loopback(home):
    settings = replace(settings_for(home), host="0.0.0.0", auth_token="s3cret")
    async with serving(settings) as gateway:
        headers = {"host": "chomp.lan:8080", "origin": "http://chomp.lan:8080"}
        assert (await gateway.http.get("/healthz", headers=headers)).status_code == 200
        headers["origin"] = "http://localhost:6274"
        assert (await gateway.http.get("/healthz", headers=headers)).status_code == 403


async def test_a_chunked_body_is_cut_off_while_it_comes_in(gateway):
    async def endless():
        for _ in range(40):
            yield b" " * 1024 * 1024

    answer = await gateway.http.post(CHAT, content=endless())
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")
    assert answer.headers["connection"] == "close"


@asynccontextmanager
async def raw(gateway, data: bytes):
    stream = await anyio.connect_tcp("127.0.0.1", gateway.chomp.settings.port)
    async with stream:
        await stream.send(data)
        yield stream


async def everything(stream) -> bytes:
    got = b""
    with anyio.fail_after(5):
        try:
            while True:
                got += await stream.receive()
        except anyio.EndOfStream:
            return got


@pytest.mark.parametrize("framing", [b"content-length: 100", b"transfer-encoding: chunked"])
@pytest.mark.parametrize("path", [b"/v1/chat/completions", b"/api/keys", b"/mcp"])
async def test_a_slow_body_is_given_up(home, path, framing):
    head = b"POST %b HTTP/1.1\r\nhost: localhost\r\naccept: application/json, text/event-stream\r\n" % path
    head += b"content-type: application/json\r\n%b\r\n\r\n" % framing
    settings = settings_for(home)
    async with serving(settings, body_seconds=0.05) as gateway, raw(gateway, head + b"1\r\n{\r\n") as stream:
        answer = await everything(stream)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"request_timeout"' in answer


async def test_a_client_that_leaves_within_its_body_does_no_harm(gateway):
    async with raw(gateway, b"POST /api/keys HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n{"):
        pass
    assert (await gateway.http.get("/healthz")).status_code == 200


async def test_our_own_mistakes_are_told_without_their_insides(home, caplog):
    async def broken(caller):
        raise RuntimeError("gsk_secret of /home/me")

    async with serving(settings_for(home)) as gateway:
        object.__setattr__(gateway.chomp, "status", broken)
        answer = await gateway.http.get("/v1/providers")
    assert answer.status_code == 500
    assert answer.json()["error"] == {
        "message": "The gateway made a mistake. Its log tells which.",
        "type": "api_error",
        "code": None,
        "param": None,
    }
    assert "RuntimeError" in caplog.text


async def refused(url: str) -> None:
    """Wait until nobody accepts connections any more."""
    while True:
        try:
            async with httpx2.AsyncClient() as client:
                await client.get(f"{url}/healthz")
        except httpx2.TransportError:  # refused, or reset while it waited to be accepted
            return
