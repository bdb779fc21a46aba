"""The same server over HTTP: three transports on the one app, and callers that see only what is theirs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import INVALID_PARAMS, ElicitResult

from tests.support.mcp_doors import agreeable, call, text_of
from tests.support.scripted import ScriptedRouter
from tests.support.serving import Served, serving, settings_for

pytestmark = pytest.mark.anyio

TRANSPORTS = ("streamable-auto", "streamable-legacy", "sse-auto", "sse-legacy")


@asynccontextmanager
async def connected(gateway: Served, transport: str, token: str = "", **how: Any) -> AsyncIterator[Client]:
    """A client on `/mcp` or `/sse`, in one of the protocol generations."""
    kind, mode = transport.split("-")
    headers = {"authorization": f"Bearer {token}"} if token else {}
    if kind == "sse":
        async with Client(sse_client(f"{gateway.url}/sse", headers=headers), mode=mode, **how) as client:
            yield client
        return
    async with (
        httpx2.AsyncClient(headers=headers, timeout=30, trust_env=False) as http,
        Client(streamable_http_client(f"{gateway.url}/mcp", http_client=http), mode=mode, **how) as client,
    ):
        yield client


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_all_transports_serve_the_same_tools(gateway: Served, transport: str) -> None:
    async with connected(gateway, transport) as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        assert names == ["ask", "dispatch", "result", "list_models", "register_keys", "status"]
        assert (await call(client, "ask", prompt="hi", model="lab/m"))["text"] == "hello"


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_two_tokens_see_only_their_own_jobs_and_keys(gateway: Served, transport: str) -> None:
    tokens = [(await gateway.chomp.keyring.create())[0] for _ in range(2)]
    async with connected(gateway, transport, tokens[0]) as one, connected(gateway, transport, tokens[1]) as other:
        job = await call(one, "dispatch", prompt="hi", model="lab/m")
        await call(one, "result", job_id=job["job_id"], wait_seconds=5)
        refused = await other.call_tool("result", {"job_id": job["job_id"]})
        assert refused.is_error
        assert "There is no job" in text_of(refused)
        await call(other, "register_keys", keys={"groq": "gsk_abcdefghijklmnop4f2a"})
        theirs, ours = await call(other, "status"), await call(one, "status")
        assert (theirs["routers"]["groq"]["key"], ours["routers"]["groq"]["key"]) == (True, False)
        assert (len(theirs["jobs"]), len(ours["jobs"])) == (0, 1)
        for client, count in ((one, 1), (other, 0)):
            (content,) = (await client.read_resource("chomp://jobs")).contents
            assert content.text.count("job_id") == count  # type: ignore[union-attr]
    async with connected(gateway, transport) as owner:
        assert (await call(owner, "status"))["jobs"] == []


async def test_a_session_is_of_no_use_to_another_token(gateway: Served) -> None:
    tokens = [(await gateway.chomp.keyring.create())[0] for _ in range(2)]
    async with httpx2.AsyncClient(timeout=30, trust_env=False) as http:
        http.headers["authorization"] = f"Bearer {tokens[0]}"
        async with Client(streamable_http_client(f"{gateway.url}/mcp", http_client=http), mode="legacy") as client:
            job = await call(client, "dispatch", prompt="hi", model="lab/m")
            http.headers["authorization"] = f"Bearer {tokens[1]}"
            with pytest.raises(MCPError):
                await client.call_tool("result", {"job_id": job["job_id"]})
            http.headers["authorization"] = f"Bearer {tokens[0]}"
            assert (await call(client, "result", job_id=job["job_id"], wait_seconds=5))["text"] == "hello"


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_cancelled_call_reaches_the_router(gateway: Served, upstream: ScriptedRouter, transport: str) -> None:
    upstream.hang(after=["Hel"])
    async with connected(gateway, transport) as client:
        async with anyio.create_task_group() as group:
            group.start_soon(client.call_tool, "ask", {"prompt": "hi", "model": "lab/m"})
            await upstream.saw_request()
            group.cancel_scope.cancel()
        await upstream.saw_disconnect()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_job_outlives_its_connection(gateway: Served, upstream: ScriptedRouter, transport: str) -> None:
    rest = anyio.Event()
    upstream.stream(["Hello", rest, " world"])
    async with connected(gateway, transport) as client:
        job = await call(client, "dispatch", prompt="hi", model="lab/m")
        await upstream.saw_request()
    rest.set()
    async with connected(gateway, transport) as client:
        assert (await call(client, "result", job_id=job["job_id"], wait_seconds=5))["text"] == "Hello world"


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_the_key_page_is_on_the_same_address_and_belongs_to_the_caller(gateway: Served, transport: str) -> None:
    token, caller = await gateway.chomp.keyring.create()
    opened: list[str] = []

    async def person(context: Any, params: Any) -> ElicitResult:
        opened.append(params.url)
        return await agreeable(context, params)

    async with connected(gateway, transport, token, elicitation_callback=person) as client:
        told = await call(client, "register_keys", router="groq")
    assert told["routers"] == {"groq": "gsk_…4f2a"}
    assert opened[0].startswith(f"{gateway.url}/keys/")
    assert await gateway.chomp.keyring.previews(caller) == {"groq": "gsk_…4f2a"}
    async with connected(gateway, transport) as owner:
        assert (await call(owner, "status"))["routers"]["groq"]["key"] is False


async def test_a_server_that_others_reach_serves_mcp_and_opens_no_page(home: Path, upstream: ScriptedRouter) -> None:
    environ = {"GATEWAY_HOST": "0.0.0.0", "GATEWAY_AUTH_TOKEN": "owner-token-0123456789"}
    async with serving(settings_for(home, environ=environ, lab=upstream.url)) as gateway:
        async with connected(gateway, "streamable-auto", "owner-token-0123456789") as client:
            assert (await call(client, "ask", prompt="hi", model="lab/m"))["text"] == "hello"
            refused = await client.call_tool("register_keys", {"router": "groq"})
            assert refused.is_error
            assert "opens no page" in text_of(refused)
        by_name = await gateway.http.post("/mcp", headers={"host": "chomp.example", "authorization": "Bearer wrong"})
        assert by_name.status_code == 401


@pytest.mark.parametrize("path", ["/mcp", "/sse", "/messages/"])
@pytest.mark.parametrize("header", [("host", "evil.example"), ("origin", "https://evil.example"), ("origin", "null")])
async def test_foreign_hosts_and_origins_are_refused(gateway: Served, path: str, header: tuple[str, str]) -> None:
    method = "GET" if path == "/sse" else "POST"
    answer = await gateway.http.request(method, path, headers=dict([header]), json={})
    assert answer.status_code in {403, 421}


@pytest.mark.parametrize("transport", ["streamable-auto", "streamable-legacy", "sse-auto"])
async def test_a_prompt_of_ten_megabytes_is_refused_in_words(gateway: Served, transport: str) -> None:
    async with connected(gateway, transport) as client:
        result = await client.call_tool("ask", {"prompt": "x" * 10_000_000, "model": "lab/m"})
        assert result.is_error
        assert "The prompt has 10.0 MB" in text_of(result)


@pytest.mark.parametrize("path", ["/mcp", "/messages/"])
@pytest.mark.parametrize("content_type", [None, "text/plain"])
async def test_another_content_type_is_told_in_the_envelope(
    gateway: Served, path: str, content_type: str | None
) -> None:
    headers = {"content-type": content_type} if content_type else {}
    answer = await gateway.http.post(path, content=b"{}", headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "unsupported_media_type")
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize("path", ["/mcp", "/messages/"])
@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_body_that_is_too_large_is_told_in_the_envelope(gateway: Served, path: str, is_chunked: bool) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(33):
            yield b" " * 2**20

    headers = {"content-type": "application/json"}
    content = pieces() if is_chunked else b" " * 33 * 2**20
    answer = await gateway.http.post(path, content=content, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    ("name", "told"), [("nope", "Unknown prompt: nope"), ("compare", "Missing required arguments")]
)
async def test_a_prompt_that_cannot_be_had_is_the_clients_mistake(
    gateway: Served, caplog: pytest.LogCaptureFixture, transport: str, name: str, told: str
) -> None:
    async with connected(gateway, transport) as client:
        with pytest.raises(MCPError, match=f"{told}.*prompts/list") as caught:
            await client.get_prompt(name)
        assert caught.value.code == INVALID_PARAMS
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("transport", ["streamable-auto", "streamable-legacy"])
async def test_fifty_calls_at_once_are_all_served(home: Path, upstream: ScriptedRouter, transport: str) -> None:
    limits = {"GATEWAY_RATE_RPS": "40", "GATEWAY_RATE_BURST": "20"}
    async with (
        serving(settings_for(home, environ=limits, lab=upstream.url)) as gateway,
        connected(gateway, transport) as client,
    ):
        answers: list[str] = []

        async def one() -> None:
            answers.append((await call(client, "ask", prompt="hi", model="lab/m"))["text"])

        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:
                for _ in range(50):
                    group.start_soon(one)
    assert answers == ["hello"] * 50
