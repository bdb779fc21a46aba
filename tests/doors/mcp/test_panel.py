"""The MCP App: linked for hosts that declare it, unseen by all others, and no byte of it before a model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mcp import Client
from mcp.client.extension import advertise
from mcp.server.apps import APP_MIME_TYPE, EXTENSION_ID

from chomp_mcp.doors.caller import current_caller
from chomp_mcp.doors.mcp.server import build_server
from tests.support.mcp_doors import MODES, running, text_of

pytestmark = pytest.mark.anyio
SHOWS_APPS = advertise(EXTENSION_ID, {"mimeTypes": [APP_MIME_TYPE]})
OTHERS = {"nothing": [], "another kind": [advertise(EXTENSION_ID, {"mimeTypes": ["text/uri-list"]})]}


@pytest.mark.parametrize("mode", MODES)
async def test_a_host_that_declares_it_gets_the_link_the_page_and_what_it_shows(tmp_path: Path, mode: str):
    async with (
        running(tmp_path) as chomp,
        Client(build_server(chomp), mode=mode, extensions=[SHOWS_APPS]) as client,
    ):
        await chomp.ask("sesame", model="mock/echo")
        tools = (await client.list_tools()).tools
        linked = {tool.name: tool.meta["ui"] for tool in tools if tool.meta and "ui" in tool.meta}
        assert linked == {"status": {"resourceUri": "ui://chomp/panel"}}
        seen = [{"name": t.name, "description": t.description, "inputSchema": t.input_schema} for t in tools]
        assert len(json.dumps(seen, separators=(",", ":"))) <= 3000
        assert "ui://chomp/panel" in [str(each.uri) for each in (await client.list_resources()).resources]
        (page,) = (await client.read_resource("ui://chomp/panel")).contents
        assert page.mime_type == APP_MIME_TYPE
        assert "<script>" in page.text
        assert 'src="' not in page.text
        told = await client.call_tool("status", {})
        assert told.meta is not None
        assert "mock/echo → mock/echo" in told.meta["chomp/panel"]
        assert "<section" not in text_of(told) + json.dumps(told.structured_content)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("declared", OTHERS.values(), ids=OTHERS)
async def test_other_hosts_see_nothing_of_it(tmp_path: Path, mode: str, declared: list):
    async with running(tmp_path) as chomp, Client(build_server(chomp), mode=mode, extensions=declared) as client:
        assert not any("ui" in (tool.meta or {}) for tool in (await client.list_tools()).tools)
        assert not [each for each in (await client.list_resources()).resources if str(each.uri).startswith("ui:")]
        assert "chomp/panel" not in ((await client.call_tool("status", {})).meta or {})


async def test_who_is_not_the_owner_sees_their_own_requests_alone(tmp_path: Path):
    async with running(tmp_path, CHOMP_KEEP_BODIES="1") as chomp:
        _, guest = await chomp.issue_token({"name": "guest", "models": ["mock/*"]}, None)
        await chomp.ask("of the owner", model="mock/lorem?tokens=2")
        await chomp.ask("of the guest", model="mock/echo", caller=guest)
        before = current_caller.set(guest)
        async with Client(build_server(chomp), extensions=[SHOWS_APPS]) as client:
            told = await client.call_tool("status", {})
        current_caller.reset(before)
    assert told.meta is not None
    shown = told.meta["chomp/panel"]
    assert "mock/echo → mock/echo" in shown
    assert "mock/lorem" not in shown
    assert "Under way" not in shown
    assert "of the guest" not in shown
