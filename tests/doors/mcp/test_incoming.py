"""What hosts send that no specification foresaw: raw lines over stdio, raw bodies over HTTP, in both eras."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp.types import JSONRPCError

from chomp_mcp.doors.mcp.incoming import read
from tests.doors.mcp.test_stdio import INITIALIZE, started
from tests.doors.mcp.test_stdio_lines import ENVELOPE, talk
from tests.support.serving import Served, serving, settings_for

pytestmark = pytest.mark.anyio
BOM = "\ufeff"
ACCEPT = {"accept": "application/json, text/event-stream", "content-type": "application/json"}


def asking(arguments: Any, request_id: Any = 2, tool: str = "ask", **params: Any) -> dict[str, Any]:
    call = {"name": tool, "arguments": arguments, **params}
    return {"jsonrpc": "2.0", "id": request_id, "method": "tools/call", "params": call}


def _is_hi(answer: dict[str, Any]) -> bool:
    return bool(answer["result"]["structuredContent"]["text"] == "hi")


ECHO = {"prompt": "hi", "model": "mock/echo"}
ODD: dict[str, tuple[dict[str, Any], Callable[[dict[str, Any]], bool]]] = {
    "an id of 1.0": (asking(ECHO, 2.0), lambda answer: answer["id"] == 2 and _is_hi(answer)),
    "an id of text": (asking(ECHO, "a"), lambda answer: answer["id"] == "a" and _is_hi(answer)),
    "no id": (asking(ECHO, None), lambda answer: answer["id"] is None and answer["error"]["code"] == -32600),
    "half an id": (asking(ECHO, 1.5), lambda answer: answer["error"]["code"] == -32600),
    "a list as id": (asking(ECHO, [1]), lambda answer: answer["error"]["code"] == -32600),
    "true as id": (asking(ECHO, True), lambda answer: answer["error"]["code"] == -32600),
    "half a token": (asking(ECHO, _meta={"progressToken": 1.5}), _is_hi),
    "a token of null": (asking(ECHO, _meta={"progressToken": None}), _is_hi),
    "a list as token": (asking(ECHO, _meta={"progressToken": [1]}), _is_hi),
    "a list as _meta": (asking(ECHO, _meta=[]), _is_hi),
    "a list as arguments": (asking([], tool="status"), lambda answer: not answer["result"].get("isError")),
    "null as arguments": (asking(None, tool="status"), lambda answer: not answer["result"].get("isError")),
    "text as arguments": (asking('{"prompt": "hi", "model": "mock/echo"}'), _is_hi),
    "an empty text as arguments": (asking("", tool="list_models"), lambda answer: "result" in answer),
    "an empty text as options": (asking({**ECHO, "options": ""}), _is_hi),
    "null in words as options": (asking({**ECHO, "options": "null"}), _is_hi),
    "a list as options": (asking({**ECHO, "options": []}), _is_hi),
    "a list in text as options": (asking({**ECHO, "options": "[]"}), _is_hi),
    "a list as keys": (
        asking({"keys": [], "openrouter_key": ""}, tool="register_keys"),
        lambda answer: "keys add" in answer["result"]["content"][0]["text"],
    ),
    "a number as prompt": (
        asking({"prompt": 42, "model": "mock/echo"}),
        lambda answer: answer["result"]["structuredContent"]["text"] == "42",
    ),
    "a number as cursor": (
        asking({"cursor": 3, "router": "mock"}, tool="list_models"),
        lambda answer: not answer["result"].get("isError"),
    ),
    "a number as query": (
        asking({"query": 120, "router": "mock"}, tool="list_models"),
        lambda answer: answer["result"]["structuredContent"]["models"] == [],
    ),
    "empty texts as numbers": (
        asking({"limit": "", "free_only": "", "router": "mock"}, tool="list_models"),
        lambda answer: not answer["result"].get("isError"),
    ),
    "n8n's four": (
        asking({**ECHO, "sessionId": "s", "action": "sendMessage", "chatInput": "hi", "toolCallId": "t"}),
        _is_hi,
    ),
    "Cursor's own": (asking({"random_string": "dummy"}, tool="status"), lambda answer: "result" in answer),
    "anything where nothing is due": (
        asking({"toolCallId": "x", "verbose": True}, tool="status"),
        lambda answer: not answer["result"].get("isError"),
    ),
    "a typo": (
        asking({**ECHO, "modle": "x"}),
        lambda answer: "takes no modle" in answer["result"]["content"][0]["text"],
    ),
    "half an emoji": (
        asking({**ECHO, "prompt": "cut \ud83d"}),
        lambda answer: answer["result"]["structuredContent"]["text"] == "cut \ufffd",
    ),
    "half an emoji in a name": (
        asking({**ECHO, "model": "mock/\ud83d"}),
        lambda answer: bool(answer["result"]["isError"]),
    ),
    "half an emoji in a wrong name": (asking({**ECHO, "\ud83d": 1}), lambda answer: bool(answer["result"]["isError"])),
    "a list as params": (
        {"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": []},
        lambda answer: len(answer["result"]["tools"]) == 6,
    ),
    "a number as the protocol's cursor": (
        {"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {"cursor": 3}},
        lambda answer: "id" in answer,
    ),
    "a number in a prompt": (
        {
            "jsonrpc": "2.0",
            "id": 2,
            "method": "prompts/get",
            "params": {"name": "second_opinion", "arguments": {"question": 42}},
        },
        lambda answer: "42" in answer["result"]["messages"][0]["content"]["text"],
    ),
}
CASES = pytest.mark.parametrize(("message", "is_right"), ODD.values(), ids=list(ODD))


def modern(message: dict[str, Any]) -> dict[str, Any]:
    params = message["params"] or {}
    meta = params.get("_meta") or {}
    return {**message, "params": {**params, "_meta": {**meta, **ENVELOPE}}}


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    async with serving(settings_for(tmp_path_factory.mktemp("served"))) as served:
        yield served


@pytest.fixture(scope="module")
def _home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module", params=["legacy", "modern"])
def line(request: pytest.FixtureRequest, _home: Path) -> Iterator[Callable[[dict[str, Any]], dict[str, Any]]]:
    """Send a message over stdio, to one server for all of them, and read its answer."""
    with started(_home) as server:
        assert server.stdin
        assert server.stdout
        say, hear = server.stdin, server.stdout

        def exchange(message: dict[str, Any]) -> dict[str, Any]:
            say.write(json.dumps(message if request.param == "legacy" else modern(message)) + "\n")
            say.flush()
            answer = json.loads(hear.readline())
            assert isinstance(answer, dict)
            return answer

        if request.param == "legacy":
            exchange(INITIALIZE)
        yield exchange
        server.communicate("", timeout=20)


@CASES
def test_over_stdio(
    line: Callable[[dict[str, Any]], dict[str, Any]],
    message: dict[str, Any],
    is_right: Callable[[dict[str, Any]], bool],
) -> None:
    answer = line(message)
    assert is_right(answer), answer


async def posted(gateway: Served, message: dict[str, Any], **headers: str) -> dict[str, Any]:
    content = (BOM + json.dumps(message)).encode()
    answer = await gateway.http.post("/mcp", content=content, headers={**ACCEPT, **headers})
    lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: {")]
    told = json.loads(lines[-1] if lines else answer.text)
    assert isinstance(told, dict)
    return told


@CASES
async def test_over_http(gateway: Served, message: dict[str, Any], is_right: Callable[[dict[str, Any]], bool]) -> None:
    hello = await gateway.http.post("/mcp", json=INITIALIZE, headers=ACCEPT)
    session = {"mcp-session-id": hello.headers["mcp-session-id"], "mcp-protocol-version": "2025-11-25"}
    ready = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    await gateway.http.post("/mcp", json=ready, headers={**ACCEPT, **session})
    answer = await posted(gateway, message, **session)
    assert is_right(answer), answer


@CASES
async def test_over_stateless_http(
    gateway: Served, message: dict[str, Any], is_right: Callable[[dict[str, Any]], bool]
) -> None:
    name = {"mcp-name": message["params"]["name"]} if "name" in message["params"] else {}
    routed = {"mcp-protocol-version": "2026-07-28", "mcp-method": message["method"], **name}
    answer = await posted(gateway, modern(message), **routed)
    assert is_right(answer), answer


def test_php_says_hello_with_lists_for_objects_after_a_bom(tmp_path: Path) -> None:
    params = {
        "protocolVersion": "2025-11-25",
        "capabilities": {"roots": [], "elicitation": []},
        "clientInfo": {"name": "php", "version": 1.5},
    }
    hello = {"jsonrpc": "2.0", "id": 1.0, "method": "initialize", "params": params}
    with started(tmp_path) as server:
        answers = talk(server, BOM + json.dumps(hello), json.dumps(asking(ECHO)))
    assert [answer["id"] for answer in answers] == [1, 2]
    assert answers[0]["result"]["protocolVersion"] == "2025-11-25"  # type: ignore[index]
    assert _is_hi(answers[1])


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(INITIALIZE),
        json.dumps(asking(ECHO)),
        '{"jsonrpc":"2.0","id":12345678901234567890123,"method":"ping"}',
        '{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x"}}',
        '{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"x"}}',
        "[]",
        "no json",
        "",
    ],
)
def test_what_is_right_or_no_message_stays_as_it_is(text: str) -> None:
    assert read(text) == text


def test_an_id_that_cannot_be_answered_is_refused_without_one() -> None:
    answer = read('{"jsonrpc":"2.0","id":{},"method":"ping"}')
    assert isinstance(answer, JSONRPCError)
    assert (answer.id, answer.error.code) == (None, -32600)
