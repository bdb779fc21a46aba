"""Five hundred streams at once through one process; `CHOMP_TEST_LONG=1` plays more rounds of them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import anyio
import pytest

from tests.support.scripted import ScriptedRouter, chunk, sse
from tests.support.serving import process, url_of

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

STREAMS = 500
ROUNDS = 10 if os.environ.get("CHOMP_TEST_LONG") else 3
FRAMES = [sse(chunk(f"word {number} ")) for number in range(40)]
SLACK_KIB = 12 * 1024
"""What allocators may keep between rounds; 500 answers held back would be ten times as much."""


async def one(port: int) -> bytes:
    """A stream to its end, on a connection of its own, with no HTTP client in the way."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = json.dumps(
        {"model": "groq/m", "stream": True, "messages": [{"role": "user", "content": "x" * 2000}]}
    ).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {len(body)}"
    writer.write(head.encode() + b"\r\n\r\n" + body)
    got = await reader.read()
    writer.close()
    return got


def resident_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
async def test_five_hundred_streams_end_well_and_leave_no_memory_behind(home):
    many_sockets()
    environ = {"GROQ_API_KEY": "gsk_1", "GATEWAY_RATE_RPS": "0", "CHOMP_LOG": "off"}
    resident = []
    async with ScriptedRouter() as upstream:
        environ["CHOMP_ROUTER_GROQ_URL"] = upstream.url
        async with process(home, "--port", "0", **environ) as started:
            port = int((await url_of(started)).rpartition(":")[2])
            for _ in range(ROUNDS):
                all_here = anyio.Event()
                upstream.clear()
                upstream.requests.clear()
                upstream.stream([FRAMES[0], all_here, *FRAMES[1:]])
                with anyio.fail_after(60):
                    tasks = [asyncio.create_task(one(port)) for _ in range(STREAMS)]
                    await wait_for_all(upstream)
                    all_here.set()
                    answers = await asyncio.gather(*tasks)
                assert {answer.count(b"data: {") for answer in answers} == {len(FRAMES) + 1}
                assert all(b"data: [DONE]\n\n" in answer[-30:] for answer in answers)
                resident.append(resident_kib(started.pid))
    assert resident[-1] - resident[1] < SLACK_KIB, resident


async def wait_for_all(upstream: ScriptedRouter) -> None:
    """Until every stream is open at the same time."""
    while len(upstream.chats) < STREAMS:  # noqa: ASYNC110 - saw_request is less patient
        await asyncio.sleep(0.01)


def many_sockets() -> None:
    """A test process holds both ends: clients and router."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
