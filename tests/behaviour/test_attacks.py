# ruff: noqa: ASYNC240 - a test may wait for its disk
"""What one door refuses, masks or bounds, every door does: each attack through all of them.

`pytest -s` prints how many tries there were; `CHOMP_TEST_LONG=1` makes them more.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from chomp_mcp.settings import Settings
from tests.behaviour.bed import HELLO
from tests.behaviour.test_overload import LONG, figure
from tests.support.mcp_doors import text_of
from tests.support.scripted import Recorded, ScriptedRouter, Wire
from tests.support.serving import Served, serving
from tests.support.world import environment

pytestmark = pytest.mark.anyio
REF = "lab/m"
Told = Callable[[str], Awaitable[dict[str, tuple[int, str]]]]
GEMINI = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}


def doors(ref: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """Every HTTP path that asks a model, and what it takes; MCP beside them."""
    chat, claude = {"model": ref, "messages": HELLO}, {"model": ref, "messages": HELLO, "max_tokens": 50}
    return {
        "chat": ("/v1/chat/completions", chat),
        "chat, streamed": ("/v1/chat/completions", {**chat, "stream": True}),
        "messages": ("/v1/messages", claude),
        "messages, streamed": ("/v1/messages", {**claude, "stream": True}),
        "responses": ("/v1/responses", {"model": ref, "input": "hi"}),
        "responses, streamed": ("/v1/responses", {"model": ref, "input": "hi", "stream": True}),
        "gemini": (f"/v1beta/models/{ref}:generateContent", GEMINI),
        "gemini v1": (f"/v1/models/{ref}:generateContent", GEMINI),
        "gemini, streamed": (f"/v1beta/models/{ref}:streamGenerateContent?alt=sse", GEMINI),
        "gateway": ("/v1/chat", {**chat, "agent_id": "a"}),
        "gateway, streamed": ("/v1/chat/stream", {**chat, "agent_id": "a"}),
        "job": ("/api/dispatch", {"model": ref, "prompt": "hi"}),
    }


@asynccontextmanager
async def gateway(home: Path, **more: str) -> AsyncIterator[tuple[Served, ScriptedRouter]]:
    async with ScriptedRouter() as lab:
        lab.models(["m"])
        home.mkdir(exist_ok=True)
        (home / "config.toml").write_text(f'[routers.lab]\nurl = "{lab.url}"\nmodels = ["m"]\n')
        settings = Settings.load(
            environment(home, {}, GATEWAY_RATE_RPS="0", CIRCUIT_FAILURE_THRESHOLD="100000", **more)
        )
        async with serving(settings) as served:
            yield served, lab


@asynccontextmanager
async def asking(served: Served, headers: Mapping[str, str] | None = None) -> AsyncIterator[Told]:
    """`await told(ref)`: what each door says, its status (of MCP 200 or 400), and its text with its headers."""
    async with (
        httpx2.AsyncClient(headers=headers) as http,
        Client(streamable_http_client(f"{served.url}/mcp", http_client=http)) as client,
    ):

        async def told(ref: str) -> dict[str, tuple[int, str]]:
            answers = {}
            for door, (path, body) in doors(ref).items():
                answer = await served.http.post(path, json=body, headers=headers)
                if door == "job" and answer.status_code == 200:
                    place = f"/api/result/{answer.json()['id']}"
                    answer = await served.http.get(place, params={"wait": 10}, headers=headers)
                answers[door] = answer.status_code, f"{dict(answer.headers)}\n{answer.text}"
            result = await client.call_tool("ask", {"prompt": "hi", "model": ref})
            return {**answers, "mcp": (400 if result.is_error else 200, text_of(result))}

        yield told


EVIL = "bad \x1b[31m\x07\x9b\u202e\u2066\u2028\x85 <script>alert(1)</script>"
DRIVES_A_TERMINAL = re.compile("[\x1b\x07\x80-\x9f\u202a-\u202e\u2066-\u2069]|\\\\u00(?:1b|07|9b|85)|\\\\u20(?:2e|66)")


async def test_no_door_hands_on_what_drives_a_terminal_in_an_error(home: Path) -> None:
    tries, failed = 0, []
    async with gateway(home) as (served, lab), asking(served) as told:
        for how in ("refused", "broken off", "failed")[: 3 if LONG else 2]:
            lab.clear()
            if how == "broken off":
                lab.error_event({"message": EVIL, "type": EVIL}, after=["so far"])
            else:
                error = {"message": EVIL, "type": EVIL, "code": EVIL, "param": EVIL}
                lab.fail(400 if how == "refused" else 500, {"error": error})
            for door, (_, text) in (await told(REF)).items():
                tries += 1
                if "bad" not in text or DRIVES_A_TERMINAL.search(text):
                    failed.append((how, door, text))
    figure(f"marks that drive a terminal in the error of a router: {tries} tries, {tries - len(failed)} held")
    assert failed == []


ODD = [
    *('"x": NaN', '"created": Infinity', '"created": 1e999', '"logprobs": -Infinity', '"id": [1]', '"model": {"a": 1}'),
    *('"usage": {"prompt_tokens": NaN, "completion_tokens": 1}', '"usage": {"prompt_tokens": 1e999}', '"usage": []'),
    *('"usage": {"prompt_tokens": 100000000000000000000000000, "completion_tokens": 1}', '"usage": {"cost": "NaN"}'),
    *('"system_fingerprint": "\\ud83d"', '"id": null'),
]


async def test_no_door_loses_an_answer_or_breaks_its_json_for_what_stands_beside_it(home: Path) -> None:
    tries, failed = 0, []
    async with gateway(home) as (served, lab), asking(served) as told:
        for odd in ODD if LONG else ODD[::4]:

            async def play(asked: Recorded, wire: Wire, odd: str = odd) -> None:
                said, name = '"role": "assistant", "content": "hello"', "delta" if asked.wants_stream else "message"
                whole = f'{{"choices": [{{"index": 0, "{name}": {{{said}}}, "finish_reason": "stop"}}], {odd}}}'
                if asked.wants_stream:
                    await wire.head(200, {"content-type": "text/event-stream"})
                    await wire.send(f"data: {whole}\n\ndata: [DONE]\n\n".encode())
                    await wire.end()
                else:
                    await wire.whole(200, whole.encode())

            lab.clear()
            lab.play(play)
            for door, (status, text) in (await told(REF)).items():
                tries += 1
                if status != 200 or "hello" not in text or not is_strict(text):
                    failed.append((odd, door, status, text))
    figure(f"what is no JSON, or no number, beside a good answer: {tries} tries, {tries - len(failed)} held")
    assert failed == []


def is_strict(text: str) -> bool:
    """Whatever is JSON in it is what the standard takes."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    for line in re.split(r"\r?\n", text):
        data = line.removeprefix("data:").strip()
        if data.startswith("{") and not data.startswith("{'"):  # the headers are Python's
            try:
                json.loads(data, parse_constant=refuse)
            except ValueError:
                return False
    return True


GUESTS: list[dict[str, Any]] = [
    {"keys": {"groq": "gsk_0123456789abcdef0123456789"}},
    {"name": "all", "models": ["*"]},
    {"name": "few", "models": ["gg", "auto", "m"]},
]
OWNERS = ["lab/m", "claude/m", "ollama/llama", "cursor/auto", "gg", "m", "auto", "claude-sonnet-4-5", ""]


async def test_no_door_leads_a_guest_to_what_is_the_owners(home: Path) -> None:
    tries = 0
    async with ScriptedRouter() as lab:
        lab.models(["m"])
        home.mkdir()
        (home / "config.toml").write_text(
            f'[routers.lab]\nurl = "{lab.url}"\nmodels = ["m"]\n'
            f'[routers.claude]\nurl = "{lab.url}"\nmodels = ["m"]\ndialect = "anthropic"\n'
            '[groups.gg]\nmodels = ["lab/m", "ollama/llama"]\n'
        )
        places = {"OLLAMA_BASE_URL": lab.base, "CURSOR_ADAPTER_URL": lab.base, "CHOMP_AGENT_MODEL": "lab/m"}
        chosen = {"LLM_DEFAULT_MODEL": "lab/m", "LLM_FALLBACKS": "lab,ollama/llama", "GATEWAY_RATE_RPS": "0"}
        settings = Settings.load({**environment(home, {}), **places, **chosen})
        async with serving(replace(settings, open_registration=True)) as served:
            for guest in GUESTS:
                token = (await served.http.post("/api/keys", json=guest)).json()["token"]
                headers = {"authorization": f"Bearer {token}"}
                async with asking(served, headers) as told:
                    for ref in OWNERS if LONG else OWNERS[::4]:
                        tries += len(await told(ref)) + 2
                        for path, body in {"embeddings": {"input": "x"}, "completions": {"prompt": "x"}}.items():
                            await served.http.post(f"/v1/{path}", json={"model": ref, **body}, headers=headers)
        asked = [each.path for each in lab.requests if each.path not in ("/v1/models", "/api/tags")]
    figure(f"a guest and what needs no key, which is the owner's: {tries} tries, {tries - len(asked)} held")
    assert asked == []


PATHS = [
    *(path for path, _ in doors("mock/echo").values()),
    *("/mcp", "/mcp/", "/messages/", "/api/keys", "/api/tokens", "/v1/embeddings", "/v1/completions"),
    *("/v1/messages/count_tokens", "/nowhere", "/keys/abc", "/", "/healthz", "/docs", "/v1/models", "/metrics"),
]
HOSTS = ["127.0.0.1\r\nHost: evil", "evil", "127.0.0.1, evil", "127.0.0.1@evil", ""]


async def said(port: int, head: str) -> bytes:
    """The first line of the answer; after 20 s without one that there is none."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{head}\r\n\r\n".encode())
    line = b"no answer"
    with suppress(TimeoutError):
        async with asyncio.timeout(20):
            line = await reader.readline()
    writer.close()
    return line


async def test_no_path_takes_two_hosts_or_a_foreign_one(home: Path) -> None:
    tries, failed = 0, []
    async with gateway(home) as (served, _):
        port = served.chomp.settings.port
        for path in dict.fromkeys(PATHS):
            for host in HOSTS:
                tries += 1
                line = await said(port, f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0")
                if line.split()[1] not in {b"400", b"403", b"421"}:
                    failed.append((path, host, line))
    figure(f"two Hosts, a foreign one, none: {tries} tries, {tries - len(failed)} held")
    assert failed == []


async def test_no_path_reads_the_body_of_whoever_has_no_token(home: Path) -> None:
    tries, failed = 0, []
    async with gateway(home, GATEWAY_HOST="0.0.0.0", GATEWAY_AUTH_TOKEN="the-owners-own-token") as (served, _):
        port = served.chomp.settings.port
        for path in dict.fromkeys(PATHS):
            for token in ("", "Authorization: Bearer chomp_nobodys\r\n"):
                for body in ("Content-Length: 30000000", "Transfer-Encoding: chunked"):
                    tries += 1  # of the body comes nothing: whoever waits for it does not answer
                    line = await said(port, f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{token}{body}")
                    if not line.split()[1].startswith(b"4"):
                        failed.append((path, token, body, line))
    figure(f"a body of 30 MB without a token, or with nobody's: {tries} tries, {tries - len(failed)} held")
    assert failed == []
