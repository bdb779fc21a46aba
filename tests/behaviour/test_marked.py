# ruff: noqa: ASYNC240 - a test may wait for its disk
"""Keys and tokens with a mark in them go through every door and every error; then the mark is looked for everywhere."""

from __future__ import annotations

import asyncio
import base64
import io
import itertools
import json
import logging
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from chomp_mcp.doors.cli import main
from chomp_mcp.settings import Settings
from chomp_mcp.telemetry.log import LogObserver, configure
from tests.support.scripted import Recorded, ScriptedRouter, Wire
from tests.support.serving import Served, serving
from tests.support.world import environment

pytestmark = pytest.mark.anyio

MARK = "xmarkedx"
KEYS = {
    "groq": f"gsk_{MARK}0123456789abcdefghij",
    "openrouter": f"sk-or-v1-{MARK}0123456789abcdef0123456789",
    "lab": f"plain/secret+{MARK}=1",
}
HEADER = f"Tok&en<of>{MARK}-row"
OWNER, MASTER, WRONG = f"owner-{MARK}-" + "t0" * 16, f"master key {MARK}", f"chomp_{MARK}" + "0" * 56
PASSWORD = f"pass{MARK}word"
CLIENTS = ("httpx2", "httpcore2", "mcp.client")
"""Loggers of the test's own clients, which run beside the gateway in one process."""
SPELLINGS = (
    str,
    str.upper,
    lambda text: quote(text, safe=""),
    lambda text: text.replace("&", "&amp;").replace("<", "&lt;"),
)
Ask = Callable[..., Awaitable[httpx2.Response]]
HI = [{"role": "user", "content": "hi"}]
CHAT = "/v1/chat/completions"
POSTS: dict[str, dict[str, Any]] = {
    CHAT: {"messages": HI},
    "/v1/messages": {"messages": HI, "max_tokens": 9},
    "/v1/messages/count_tokens": {"messages": HI},
    "/v1/responses": {"input": "hi"},
    "/v1/embeddings": {"input": "hi"},
    "/v1/completions": {"prompt": "hi"},
    "/v1/chat": {"agent_id": "a", "messages": HI},
    "/v1/chat/stream": {"agent_id": "a", "messages": HI},
    "/api/dispatch": {"prompt": "hi"},
}
STREAMED = (CHAT, "/v1/messages", "/v1/responses")
GETS = (
    *("/", "/v1/models", "/v1/models/groq/m", "/v1/models/nobody/m", "/v1/providers", "/metrics", "/api/keys"),
    *("/api/tokens", "/api/jobs", "/api/models/groq", "/api/models/free", "/healthz", "/readyz", "/nowhere"),
    *("/openapi.json", "/docs", "/.well-known/oauth-protected-resource/mcp", f"/v1/models?key={OWNER}", "/keys/x"),
)
SOFT, HARD = (400, 500, 422, 200, 413), (401, 402, 403, 404, 408, 429, 503)
"""What leaves a router in the plan, and what gives key or model a rest."""
COMMANDS = (
    *(
        ["keys", "list"],
        ["keys", "list", "--json"],
        ["tokens", "list", "--json"],
        ["jobs", "--json"],
        ["logs", "--json"],
    ),
    *(["status", "--json"], ["models", "groq", "--json"], ["ask", "hi", "-m", "groq/m"], ["explain", "groq/m"]),
)


def marked_in(data: bytes | str) -> list[str]:
    """Where the mark stands, in any case, escaped, or inside base64."""
    text = data.decode("latin-1") if isinstance(data, bytes) else data
    shifted = (base64.b64encode(b" " * n + MARK.encode()).decode()[4:10] for n in range(3))
    wanted = "|".join([re.escape(MARK), *map(re.escape, shifted)])
    return [text[max(0, f.start() - 60) : f.end() + 30] for f in re.finditer(wanted, unquote(text), re.IGNORECASE)]


class Echo:
    """A router that answers all that it was sent in its errors, each time with another status and spelling."""

    def __init__(self) -> None:
        self.count = 0

    async def play(self, request: Recorded, wire: Wire) -> None:
        self.count += 1
        statuses = SOFT if self.count < 60 else HARD
        spell, status = SPELLINGS[self.count % len(SPELLINGS)], statuses[self.count % len(statuses)]
        sent = " ".join(spell(value) for name, value in request.headers.items() if name not in {"host", "accept"})
        error = {"message": f"no: {sent}", "type": sent, "code": sent, "metadata": {"raw": sent}}
        if self.count % 5 == 0:
            await wire.head(200, {"content-type": "text/event-stream", "x-echo": "1"})
            await wire.send(f'data: {{"error": {{"message": {sent!r}}}}}\n\n'.encode())
            wire.cut()
        body: Any = {"error": error} if self.count % 3 else f"<html>{sent}</html>"
        await wire.whole(status, body.encode() if isinstance(body, str) else json.dumps(body).encode())


async def test_no_marked_key_or_token_is_found_anywhere_after_a_run_through_every_door(
    home: Path, monkeypatch, caplog, capsys
) -> None:
    exporter, log = InMemorySpanExporter(), io.StringIO()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    caplog.set_level(logging.DEBUG)
    told: list[tuple[str, bytes | str]] = []
    async with ScriptedRouter() as groq, ScriptedRouter() as openrouter, ScriptedRouter() as lab:
        routers = {"groq": groq, "openrouter": openrouter, "lab": lab}
        home.mkdir()
        (home / "config.toml").write_text(
            f'[routers.lab]\nurl = "{lab.url}"\nkey = "LAB_API_KEY"\nheaders = {{ X-Auth = "{HEADER}" }}\n'
        )
        place = groq.url.replace("//", f"//user:{PASSWORD}@")
        env = environment(
            home,
            {"groq": groq, "openrouter": openrouter},
            CHOMP_MASTER_KEY=MASTER,
            CHOMP_ROUTER_GROQ_URL=place,
            GATEWAY_AUTH_TOKEN=OWNER,
            GATEWAY_RATE_RPS="0",
            CHOMP_LOG="debug",
            CIRCUIT_FAILURE_THRESHOLD="1000000",
        )
        env = {name: value for name, value in env.items() if not name.endswith("_API_KEY")}
        for router in routers.values():
            router.models(["m", "n"])
            router.play(Echo().play)
        configure("debug", log)
        for handler in logging.getLogger().handlers:  # what the test's own clients say is not the gateway's
            handler.addFilter(lambda record: not record.name.startswith(CLIENTS))
        async with serving(Settings.load(env), chomp=_observed) as served:
            token = await _through_http(served, told)
            await _through_mcp(served, token, told)
            spans = " ".join(span.to_json() for span in exporter.get_finished_spans())
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        for words in COMMANDS:
            await asyncio.get_running_loop().run_in_executor(None, _command, words)
        written = capsys.readouterr()
        assert len(spans) > 10_000
        assert len(log.getvalue()) > 10_000
        assert sum(len(router.chats) for router in routers.values()) > 50
        wire = [(f"sent to {name}", _sent(name, request)) for name, r in routers.items() for request in r.requests]
    files = [
        (str(path), path.read_bytes()) for path in home.rglob("*") if path.is_file() and path.name != "config.toml"
    ]
    told += [*files, *wire, ("log", log.getvalue()), ("spans", spans), ("stdout", written.out), ("stderr", written.err)]
    ours = [record for record in caplog.records if not record.name.startswith(CLIENTS)]
    told += [("logging", f"{record.name} {record.getMessage()} {record.exc_text or ''}") for record in ours]
    found = {place: hits[:3] for place, text in told if (hits := _but_tokens(place, text, token))}
    assert found == {}, f"of {len(told)} places"
    assert len(told) > 300


def _observed(settings: Settings) -> Any:
    from chomp_mcp.app import Chomp

    return Chomp(settings, observers=[LogObserver()])


def _but_tokens(place: str, text: bytes | str, token: str) -> list[str]:
    plain = text.decode("latin-1") if isinstance(text, bytes) else text
    return marked_in(text) + (
        [f"the token in {place}"] if token[6:] in plain and place != "POST /api/keys, once" else []
    )


def _sent(name: str, request: Recorded) -> str:
    """All that a router got, without what it is due."""
    headers = {each: value for each, value in request.headers.items() if each not in {"authorization", "x-api-key"}}
    if name == "lab":
        headers.pop("x-auth", None)
    return f"{request.target} {headers} {request.body.decode('latin-1')}"


async def _through_http(served: Served, told: list[tuple[str, bytes | str]]) -> str:
    owner = {"authorization": f"Bearer {OWNER}"}

    async def ask(method: str, path: str, note: str = "", **request: Any) -> httpx2.Response:
        answer = await served.http.request(method, path, **{"headers": owner, **request})
        told.append((note or f"{method} {path}", f"{answer.status_code} {answer.headers} {answer.text}"))
        return answer

    token = await _registered(ask)
    theirs = {"authorization": f"Bearer {token}"}
    rounds = itertools.product(range(2), POSTS, KEYS, (False, True))
    for number, path, router, stream in rounds:
        if path in STREAMED or not stream:
            body = {**POSTS[path], "model": f"{router}/m", "stream": stream}
            await ask("POST", path, json=body, headers=theirs if number % 2 else owner)
    basic = f"Basic {base64.b64encode(OWNER.encode()).decode()}"
    for shown, path in itertools.product(
        (f"Bearer {WRONG}", f"Bearer {MARK}", basic, MARK), (CHAT, "/mcp", "/", "/api/keys")
    ):
        await ask("POST", path, json={"model": "groq/m"}, headers={"authorization": shown, "x-api-key": shown})
    for secret in (*KEYS.values(), OWNER, MASTER):
        said = {"messages": [{"role": "user", "content": f"my key is {secret}"}], "prompt": secret, "input": secret}
        for path, body in POSTS.items():
            await ask("POST", path, json={**body, **said, "model": "openrouter/m"})
        for place in ({"model": f"groq/{secret}"}, {"model": "m", "router": secret}, {"model": secret}):
            await ask("POST", CHAT, json={"messages": HI, **place})
    for path in GETS:
        await ask("GET", path)
    for job in (await ask("GET", "/api/jobs?limit=500")).json():
        await ask("GET", f"/api/result/{job['id']}?wait=20")
    return token


async def _registered(ask: Ask) -> str:
    """The routers' keys are stored, some are refused; the token of another caller."""
    for router, key in KEYS.items():
        assert (await ask("POST", "/api/keys", json={"keys": {router: key}})).status_code == 200
    await ask("POST", "/api/keys", json={"keys": {"cerebras": f"two words {MARK}", "nobody": KEYS["groq"]}})
    made = await ask("POST", "/api/keys", "POST /api/keys, once", json={"name": "ci"})
    return str(made.json()["token"])


async def _through_mcp(served: Served, token: str, told: list[tuple[str, bytes | str]]) -> None:
    headers = {"authorization": f"Bearer {OWNER}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60, trust_env=False) as http,
        Client(streamable_http_client(f"{served.url}/mcp", http_client=http)) as client,
    ):
        calls: Iterator[tuple[str, dict[str, Any]]] = iter(
            [
                ("register_keys", {"keys": {"groq": KEYS["groq"]}}),
                ("register_keys", {"keys": {"groq": KEYS["openrouter"]}}),
                ("register_keys", {"openrouter_key": KEYS["openrouter"]}),
                ("register_keys", {"router": KEYS["groq"]}),
                ("status", {}),
                ("list_models", {}),
                ("list_models", {"router": KEYS["groq"]}),
                *(("ask", {"prompt": "hi", "model": f"{router}/m"}) for router in (*KEYS, *KEYS, *KEYS)),
                *(("ask", {"prompt": f"it is {secret}", "model": "openrouter/m"}) for secret in KEYS.values()),
                ("dispatch", {"prompt": KEYS["lab"], "model": "openrouter/m"}),
                ("result", {"job_id": KEYS["groq"]}),
            ]
        )
        for tool, arguments in calls:
            told.append((f"{tool}", (await client.call_tool(tool, arguments)).model_dump_json()))
        for uri in ("chomp://routers", "chomp://jobs", "chomp://usage", "chomp://models/groq"):
            told.append((uri, (await client.read_resource(uri)).model_dump_json()))


def _command(words: list[str]) -> None:
    with suppress(SystemExit):
        main(words)
