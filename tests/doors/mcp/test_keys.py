"""`register_keys` without keys: the page, by URL elicitation in both protocol generations or by plain text."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client, MCPError
from mcp.types import ElicitResult, ErrorData

from chomp_mcp.app import Chomp
from chomp_mcp.doors.mcp import keys as mcp_keys
from chomp_mcp.doors.mcp.server import build_server
from chomp_mcp.doors.pages.key_page import KeyPages
from chomp_mcp.messages import OWNER
from tests.support.mcp_doors import KEY, MODES, agreeable, running, stdio, text_of, type_key

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("mode", MODES)]

PREVIEW = {"groq": "gsk_…4f2a"}
Person = Callable[[Any, Any], Awaitable[ElicitResult | ErrorData]]


async def thoughtful(_context: Any, _params: Any) -> ElicitResult:
    return ElicitResult(action="accept")


async def unwilling(_context: Any, _params: Any) -> ElicitResult:
    return ElicitResult(action="decline")


async def clumsy(_context: Any, _params: Any) -> ErrorData:
    return ErrorData(code=-32600, message="not now")


@pytest.fixture
async def chomp(tmp_path: Path) -> AsyncIterator[Chomp]:
    async with running(tmp_path) as chomp:
        yield chomp


@pytest.fixture
async def pages(chomp: Chomp) -> AsyncIterator[KeyPages]:
    pages = KeyPages(chomp)
    yield pages
    await pages.close()


async def register(chomp: Chomp, pages: KeyPages | None, mode: str, person: Person | None) -> Any:
    server = build_server(chomp, pages=pages)
    with anyio.fail_after(10):
        async with Client(server, mode=mode, elicitation_callback=person) as client:
            return await client.call_tool("register_keys", {"router": "groq"})


async def test_the_person_types_the_key_on_the_page(chomp: Chomp, pages: KeyPages, mode: str) -> None:
    result = await register(chomp, pages, mode, agreeable)
    assert result.structured_content == {"routers": PREVIEW}
    assert text_of(result).startswith("Saved: groq. Keys: groq gsk_…4f2a.")
    assert KEY not in result.model_dump_json()
    assert await chomp.keyring.previews(OWNER) == PREVIEW


async def test_a_person_who_takes_longer_finds_the_page_still_open(
    chomp: Chomp, pages: KeyPages, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mcp_keys, "PATIENCE_SECONDS", 0.01)
    result = await register(chomp, pages, mode, thoughtful)
    assert not result.is_error
    assert result.structured_content["routers"] == {}
    await type_key(result.structured_content["page_url"])
    assert await chomp.keyring.previews(OWNER) == PREVIEW


async def test_a_person_who_says_no_closes_the_page(chomp: Chomp, pages: KeyPages, mode: str) -> None:
    result = await register(chomp, pages, mode, unwilling)
    assert not result.is_error
    assert "`chomp-mcp keys add groq` in a terminal does the same" in text_of(result)
    assert result.structured_content == {"routers": {}}


async def test_a_client_that_never_answers_is_given_up_and_told_the_page(
    chomp: Chomp, pages: KeyPages, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if mode == "auto":  # is asked by an answer, and nobody waits
        return
    monkeypatch.setattr(mcp_keys, "PATIENCE_SECONDS", 0.05)
    asked, never = anyio.Event(), anyio.Event()

    async def silent(_context: Any, _params: Any) -> ElicitResult:
        asked.set()
        await never.wait()
        raise AssertionError

    result = await register(chomp, pages, mode, silent)
    assert asked.is_set()
    assert result.structured_content["page_url"] in text_of(result)
    assert "`chomp-mcp keys add groq`" in text_of(result)


async def test_a_client_that_opens_no_pages_is_told_the_page_and_the_command(
    chomp: Chomp, pages: KeyPages, mode: str
) -> None:
    result = await register(chomp, pages, mode, None)
    assert not result.is_error
    url = result.structured_content["page_url"]
    assert url in text_of(result)
    assert "`chomp-mcp keys add groq`" in text_of(result)
    assert "Never ask for the key in the chat" in text_of(result)
    await type_key(url)
    assert await chomp.keyring.previews(OWNER) == PREVIEW


async def test_a_client_whose_page_fails_to_open_is_told_it(chomp: Chomp, pages: KeyPages, mode: str) -> None:
    async with Client(build_server(chomp, pages=pages), mode=mode, elicitation_callback=clumsy) as client:
        if mode == "auto":  # the client gives up by itself, and no word of ours reaches it
            with pytest.raises(MCPError, match="not now"):
                await client.call_tool("register_keys", {"router": "groq"})
        else:
            told = await client.call_tool("register_keys", {"router": "groq"})
            assert (told.structured_content or {})["page_url"] in text_of(told)


async def test_a_server_that_others_reach_opens_no_page(chomp: Chomp, mode: str) -> None:
    result = await register(chomp, None, mode, agreeable)
    assert result.is_error
    assert "POST /api/keys" in text_of(result)
    assert "chomp-mcp keys add groq" in text_of(result)


async def test_a_wrong_router_opens_no_page(chomp: Chomp, pages: KeyPages, mode: str) -> None:
    async with Client(build_server(chomp, pages=pages), mode=mode, elicitation_callback=agreeable) as client:
        result = await client.call_tool("register_keys", {"router": "grok"})
    assert result.is_error
    assert "These do: zen, groq" in text_of(result)


async def test_over_stdio_the_page_has_a_listener_of_its_own(tmp_path: Path, mode: str) -> None:
    async with Client(stdio(tmp_path), mode=mode, elicitation_callback=agreeable) as client:
        first = await client.call_tool("register_keys", {"router": "groq"})
        assert first.structured_content == {"routers": PREVIEW}
    async with Client(stdio(tmp_path), mode=mode) as client:
        second = await client.call_tool("register_keys", {"router": "cerebras"})
        told = second.structured_content or {}
        assert told["routers"] == PREVIEW
        assert re.match(r"http://127\.0\.0\.1:\d+/keys/", told["page_url"])
