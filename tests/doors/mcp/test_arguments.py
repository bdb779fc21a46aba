"""Arguments as hosts and models send them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from mcp import Client

from chomp_mcp.doors.mcp.server import build_server
from tests.support.mcp_doors import MODES, call, running, text_of
from tests.support.scripted import ScriptedRouter

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def upstream() -> AsyncIterator[ScriptedRouter]:
    async with ScriptedRouter() as router:
        yield router


@pytest.fixture(scope="module", params=MODES)
async def client(
    request: pytest.FixtureRequest, upstream: ScriptedRouter, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Client]:
    """One for all arguments: they change nothing."""
    async with (
        running(tmp_path_factory.mktemp("home"), upstream) as chomp,
        Client(build_server(chomp), mode=request.param) as client,
    ):
        yield client


@pytest.mark.parametrize(
    ("tool", "arguments", "says"),
    [
        ("ask", {"prompt": ""}, "The prompt is empty. Say what to ask."),
        ("ask", {"prompt": "x" * 10_000_000}, "The prompt has 10.0 MB"),
        ("ask", {}, "prompt is missing"),
        ("ask", {"prompt": True}, "prompt is not text"),
        ("ask", {"prompt": "x", "options": "hot"}, "options is not an object"),
        ("ask", {"prompt": "x", "options": [1]}, "options is not an object"),
        ("ask", {"prompt": "x", "options": {"messages": "no"}}, "options.messages is not a list"),
        ("ask", {"prompt": "x", "temperature": 1}, "go into options"),
        ("ask", {"prompt": "x", "router": "grok"}, "groq"),
        ("ask", {"prompt": "x", "model": "groq/llama"}, "chomp-mcp keys add groq"),
        ("ask", {"prompt": "x", "model": "scripted-smol"}, "lab/scripted-small"),
        ("dispatch", {"prompt": " "}, "The prompt is empty."),
        ("result", {"job_id": "job_nope"}, "There is no job 'job_nope'. Ids come from dispatch or ask"),
        ("result", {"job_id": "../../etc"}, "There is no job"),
        ("result", {"job_id": "x", "wait_seconds": "long"}, "wait_seconds is not a number"),
        ("list_models", {"router": "grok"}, "groq"),
        ("list_models", {"limit": 0}, "limit is below 1. Give 1 to"),
        ("list_models", {"cursor": "?"}, "cursor"),
        ("register_keys", {"keys": {"grok": "k"}}, "groq"),
        ("register_keys", {"keys": {"groq": "two words"}}, "groq"),
        ("register_keys", {"keys": {"ollama": "k"}}, "needs no key"),
        ("register_keys", {"keys": {"groq": 7}}, "keys.groq is not text"),
        ("register_keys", {"keys": {"openrouter": "a"}, "openrouter_key": "b"}, "Give one of them"),
        ("list_models", {"routr": "groq"}, "list_models takes no routr"),
    ],
)
async def test_bad_input_is_an_error_that_names_the_next_step(
    client: Client, tool: str, arguments: dict[str, object], says: str
) -> None:
    result = await client.call_tool(tool, arguments)
    assert result.is_error
    assert says in text_of(result)
    assert "pydantic" not in text_of(result)
    assert "Traceback" not in text_of(result)


async def test_null_for_an_optional_parameter_means_its_default(client: Client) -> None:
    result = await client.call_tool("ask", {"prompt": "x", "router": "lab", "system": None, "options": None})
    assert not result.is_error


async def test_an_object_in_a_string_is_read_as_an_object(client: Client, upstream: ScriptedRouter) -> None:
    await call(client, "ask", prompt="x", router="lab", options='{"temperature": 0.25}')
    assert upstream.chats[-1].json["temperature"] == 0.25
