"""A small server inside a process that serves something else."""

from __future__ import annotations

import signal

import httpx2
import pytest
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from chomp_mcp.doors.http.server.listener import Listener

pytestmark = pytest.mark.anyio


async def test_it_listens_on_this_machine_alone_from_its_start_to_its_end_and_leaves_the_signals_alone():
    before = signal.getsignal(signal.SIGINT)
    listener = Listener([Route("/", lambda _: PlainTextResponse("hello"))])
    await listener.stop()
    url = await listener.start()
    assert url == await listener.start()
    assert url.startswith("http://127.0.0.1:")
    async with httpx2.AsyncClient(trust_env=False) as browser:
        assert (await browser.get(url)).text == "hello"
        assert signal.getsignal(signal.SIGINT) is before
        await listener.stop()
        await listener.stop()
        with pytest.raises(httpx2.ConnectError):
            await browser.get(url)
    assert await listener.start()
    await listener.stop()
