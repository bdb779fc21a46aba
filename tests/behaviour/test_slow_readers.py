"""Callers that read an answer slower than its router sends it, or not at all: what they cost, and when that ends.

`CHOMP_TEST_LONG=1 pytest -s` plays 200 of them.
"""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import suppress
from pathlib import Path

import anyio

from tests.behaviour.test_overload import HI, LONG, MODEL, crowded, figure, pytestmark
from tests.support.processes import unsent_bytes
from tests.support.scripted import Recorded, Wire, chunk, sse

__all__ = ["pytestmark"]

READERS = 200 if LONG else 16
WAYS = ("trickles", "stalls")
# So many share two cores that who reads slowly may not come to it for seconds.
PATIENCE_SECONDS = 10.0 if LONG else 1.0
SHORT_PATIENCE = (
    f"import sys; from chomp_mcp.doors.http.server import http1; http1.STALLED_SECONDS = {PATIENCE_SECONDS}; "
    "from chomp_mcp.__main__ import main; sys.argv[1:1] = ['serve']; main()"
)
PIECE = "x" * 65_536


def request(user: str) -> bytes:
    ask = {"model": MODEL, "messages": HI, "stream": True, "user": user}
    body = json.dumps(ask).encode()
    return b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


async def test_who_reads_slowly_costs_little_and_who_reads_nothing_is_cut_off(home: Path) -> None:
    loop = asyncio.get_running_loop()
    # As many answers without an end hold more than the budget of a day.
    no_budget = {"LLM_DAILY_BUDGET_USD": "0", "LLM_MONTHLY_BUDGET_USD": "0"}
    async with crowded(home, start=("-c", SHORT_PATIENCE), CHOMP_MAX_REQUESTS="1000", **no_budget) as crowd:
        assert (await crowd.chat()).status_code == 200
        enough = anyio.Event()

        async def pushing(asked: Recorded, wire: Wire) -> None:
            """As fast as it is taken, so that the systems in between cannot hold all of it."""
            await wire.head(200, {"content-type": "text/event-stream"})
            while not enough.is_set():
                await wire.send(sse(chunk(PIECE, asked.model)))
                await asyncio.sleep(0)
            await wire.send(sse(chunk(model=asked.model, finish="stop")) + sse("[DONE]"))
            await wire.end()

        crowd.router.clear()
        crowd.router.play(pushing)
        port = int(crowd.url.rpartition(":")[2])
        before, peak, held = crowd.resident_mib(), 0.0, 0.0
        readers = []
        for number in range(READERS):
            reader = socket.socket()
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32_768)  # else the systems in between hold much
            reader.setblocking(False)
            await loop.sock_connect(reader, ("127.0.0.1", port))
            await loop.sock_sendall(reader, request(f"{WAYS[number % 2]} {number}"))
            readers.append(reader)

        async def trickle(reader: socket.socket) -> None:
            with suppress(OSError):
                while not enough.is_set() and await loop.sock_recv(reader, 16_384):  # noqa: ASYNC110 - slowly
                    await asyncio.sleep(0.05)

        def cut() -> list[str]:
            return [way for each in crowd.router.disconnects if (way := each.json["user"].split()[0])]

        with anyio.fail_after(600):
            trickling = [asyncio.create_task(trickle(reader)) for reader in readers[::2]]
            while cut().count("stalls") < READERS // 2:
                peak, held = max(peak, crowd.resident_mib()), max(held, unsent_bytes(port) / 2**20)
                await asyncio.sleep(0.02)
            figure(
                f"{READERS} callers of an endless stream, half of them reading slowly and half nothing: "
                f"{peak - before:.0f} MiB more at the most, {held:.0f} in the system; "
                f"all {READERS // 2} that read nothing were cut off, "
                f"{READERS // 2 - cut().count('trickles')} that read slowly went on"
            )
            enough.set()
            await asyncio.gather(*trickling)
        for reader in readers:
            reader.close()
        assert peak - before < 32 + READERS * 3, "some buffers each, and not the answer"
        assert held < READERS, "nor does the system hold it"
