"""Every parser of what strangers send, as a function of bytes that may raise what it documents, and nothing else.

`test_targets.py` plays them for a moment with hypothesis; by hand, as long as one likes (CPython 3.11 or 3.12):

    pip install atheris && python -m tests.fuzz sse -max_total_time=600
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from chomp_mcp import wire
from chomp_mcp.dialects import DIALECTS
from chomp_mcp.dialects.anthropic.door_count import estimate
from chomp_mcp.dialects.anthropic.door_request import chat_of as chat_of_messages
from chomp_mcp.dialects.gemini.door_request import chat_of as chat_of_gemini
from chomp_mcp.dialects.responses.door_request import to_chat
from chomp_mcp.dialects.stream.framing import Either, Events, Objects
from chomp_mcp.doors.cli import edits
from chomp_mcp.doors.cli.edits import jsonc, toml, yaml
from chomp_mcp.doors.http.chat import chat_request
from chomp_mcp.doors.mcp.incoming import read as read_line
from chomp_mcp.errors import ChompError, InvalidRequest, RequestError
from chomp_mcp.messages import ChatRequest, Route
from chomp_mcp.policy import key_shape, routing
from chomp_mcp.policy.outward import Scanner, redacted
from chomp_mcp.policy.secrets import masked
from chomp_mcp.policy.shown import one_line, shown
from chomp_mcp.routers import catalog, failures, quota_headers
from chomp_mcp.settings import Settings

__all__ = ["CORPUS", "TARGETS", "TREES"]

CORPUS = Path(__file__).parent / "corpus"
"""A folder for each target: what once found something, and what reaches far."""
NOW = 1_763_800_000.0
ROUTERS = catalog.load(Settings(home=Path("nowhere")))
ROUTES = [Route(ROUTERS[name], "m", "key") for name in ("groq", "openrouter", "anthropic", "ollama", "cursor")]


def _frames(make: Callable[[], Any]) -> Callable[[bytes], None]:
    def target(data: bytes) -> None:
        """However the bytes are cut, the same events come out."""
        at = data[0] % len(data) if data else 0
        ways = [data], [data[:at], data[at:]], [bytes([byte]) for byte in data]
        outcomes = []
        for chunks in ways:
            frames = make()
            events = [event for chunk in chunks for event in frames.feed(chunk)]
            outcomes.append((events + frames.close(), bytes(frames.body or b"")))
        assert outcomes[1] == outcomes[2] == outcomes[0]

    return target


def _stream(data: bytes) -> None:
    """A router's stream, and its whole answer, in each dialect."""
    for route in ROUTES:
        dialect = DIALECTS[route.router.dialect]
        decoder = dialect.decoder()
        for delta in [*decoder.feed(data), *decoder.close()]:
            wire.dumps(delta.chunk)
        dialect.decode(data)
        with suppress(ValueError):
            dialect.decode_list(route.router, data)


def _answer(data: bytes) -> None:
    failures.judge(400, {}, data, NOW)
    failures.judge(429, {"retry-after": data[:40].decode("latin-1")}, data, NOW)


def _headers(data: bytes) -> None:
    lines = (line.partition(":") for line in data.decode("latin-1").splitlines())
    headers = {name.strip().lower(): value.strip() for name, _, value in lines}
    quota_headers.read(headers, NOW)
    wait = quota_headers.retry_after(headers, NOW)
    assert wait is None or 0 <= wait < 10**9


def _ref(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    with suppress(InvalidRequest):
        routing.named_router(text, ROUTERS)
    key_shape.why_no_key(text)
    key_shape.cleaned_keys(text)


def _config(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    try:
        found = tomllib.loads(text)
    except (ValueError, RecursionError):
        return
    rows = found.get("routers", {})
    with suppress(ChompError):
        catalog.load(Settings(home=Path("nowhere"), router_rows=rows if isinstance(rows, Mapping) else {"x": rows}))


def _edit(module: Any) -> Callable[[bytes], None]:
    def target(data: bytes) -> None:
        """What is put in is there, and what stood beside it stays; or the file is refused as it stands."""
        text = data.decode("utf-8", "replace")
        try:
            before = module.read(text)
            after = module.read(
                edits.merge(module, text, ("mcpServers", "chomp"), {"command": "chomp-mcp", "args": []})
            )
        except edits.CannotEdit:
            return
        assert after["mcpServers"]["chomp"]["command"] == "chomp-mcp"
        assert {**after, "mcpServers": 0} == {**before, "mcpServers": 0}

    return target


def _body(read: Callable[[dict[str, Any]], Any]) -> Callable[[bytes], None]:
    def target(data: bytes) -> None:
        """A client's JSON is translated, or refused as the client's mistake."""
        try:
            body = wire.loads(data)
        except ValueError:
            return
        if not isinstance(body, dict):
            return
        with suppress(RequestError):
            read(body)

    return target


def _chat(body: dict[str, Any]) -> None:
    request: ChatRequest = chat_request(body)
    for route in ROUTES:
        with suppress(RequestError):
            wire.loads(DIALECTS[route.router.dialect].encode(route, request).body)


def _guard(data: bytes) -> None:
    scanner = Scanner(["a-key-of-ours-0123456789"])
    redacted(data, scanner.scan(data))
    text = data.decode("utf-8", "replace")
    masked(text)
    assert "\x1b" not in shown(text)
    assert len(one_line(text).splitlines()) <= 1


TARGETS: Mapping[str, Callable[[bytes], Any]] = {
    "sse": _frames(Events),
    "ndjson": _frames(Objects),
    "either": _frames(Either),
    "stream": _stream,
    "answer": _answer,
    "headers": _headers,
    "refs": _ref,
    "config": _config,
    "jsonrpc": lambda data: read_line(data.decode("utf-8", "replace")),
    "chat": _body(_chat),
    "messages": _body(lambda body: (chat_of_messages(body), estimate(body))),
    "responses": _body(to_chat),
    "gemini": _body(chat_of_gemini),
    "jsonc": _edit(jsonc),
    "toml": _edit(toml),
    "yaml": _edit(yaml),
    "guard": _guard,
}

TREES = frozenset({"chat", "messages", "responses", "gemini", "jsonrpc", "config"})
"""Those whose inputs hold JSON or TOML: what is changed is that, so that it comes through the parser."""
