"""What is under way: counted, and capped before it fills the memory."""

from __future__ import annotations

from dataclasses import replace

import anyio
import pytest

from tests.doors.http.test_guard import announced
from tests.support.serving import serving, settings_for

pytestmark = pytest.mark.anyio
CHAT = "/v1/chat/completions"
PROBE = {"model": "mock/echo", "messages": [{"role": "user", "content": "hi"}]}


async def status_of(reader) -> bytes:
    with anyio.fail_after(10):
        return (await reader.readline())[9:12]


async def test_more_bytes_than_may_be_under_way_are_refused_before_they_come(home):
    settings = replace(settings_for(home), max_request_bytes=5_000_000)
    async with serving(settings) as gateway:
        async with announced(gateway, CHAT, 4_000_000), announced(gateway, CHAT, 4_000_000) as second:
            assert await status_of(second) == b"503"
            head = await second.readuntil(b"\r\n\r\n")
            assert b"retry-after: 1\r\n" in head
        with anyio.fail_after(10):
            while (await gateway.http.post(CHAT, json={**PROBE, "user": "x" * 4_000_000})).status_code == 503:
                pass  # until the first is known to have left


async def test_bytes_that_nobody_announced_count_as_they_come(home):
    async def pieces():
        for _ in range(20):
            yield b" " * 100_000

    async with serving(replace(settings_for(home), max_request_bytes=1_000_000)) as gateway:
        answer = await gateway.http.post(CHAT, content=pieces())
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "overloaded")
        assert (await gateway.http.post(CHAT, json=PROBE)).status_code == 200


async def test_more_requests_than_may_be_under_way_are_told_to_come_back(home, upstream):
    upstream.hang()
    settings = replace(settings_for(home, lab=upstream.url), max_requests=2)
    async with serving(settings) as gateway, anyio.create_task_group() as group:
        for _ in range(2):
            group.start_soon(gateway.chat)
        for _ in range(2):
            await upstream.saw_request()
        refused = await gateway.chat()
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "overloaded")
        assert refused.headers["retry-after"] == "1"
        assert "CHOMP_MAX_REQUESTS" in refused.json()["error"]["message"]
        assert (await gateway.http.get("/healthz")).status_code == 200
        assert len(upstream.chats) == 2
        group.cancel_scope.cancel()


async def test_one_caller_leaves_room_for_the_others(home, upstream):
    upstream.hang()
    settings = replace(settings_for(home, lab=upstream.url), max_requests=4)
    settings = replace(settings, router_rows={"lab": {"url": upstream.url, "key": "LAB_API_KEY"}})
    async with serving(settings) as gateway, anyio.create_task_group() as group:
        told = (await gateway.http.post("/api/keys", json={"keys": {"lab": "sk-of-this-caller"}})).json()
        headers = {"authorization": f"Bearer {told['token']}"}
        body = {**PROBE, "model": "lab/m"}
        for _ in range(2):
            group.start_soon(lambda: gateway.http.post(CHAT, json=body, headers=headers))
        for _ in range(2):
            await upstream.saw_request()
        theirs = await gateway.http.post(CHAT, json=body, headers=headers)
        assert theirs.status_code == 503
        assert (await gateway.http.post(CHAT, json=PROBE)).status_code == 200
        group.cancel_scope.cancel()
