"""`serve --workers N` with real processes; stopping one of two decides which of them answers."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import ElicitResult

from chomp_mcp.doors.http import app as http
from chomp_mcp.errors import InvalidSetting
from tests.support.mcp_doors import agreeable, call
from tests.support.scripted import ScriptedRouter
from tests.support.serving import process, serving, settings_for, url_of

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for the workers in /proc"),
]

ASK = {"model": "mock/echo", "messages": [{"role": "user", "content": "Say hello."}]}
SPAWNED = (
    "import multiprocessing; from chomp_mcp.doors.http.server import workers; from chomp_mcp.doors.cli import main; "
    "workers.CONTEXT = multiprocessing.get_context('spawn'); raise SystemExit(main())"
)

CRAMPED = (
    "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (80, 80)); from chomp_mcp.doors.cli import main; "
    "raise SystemExit(main())"
)


@dataclass
class Crew:
    """A parent with two workers."""

    parent: Any
    url: str

    @property
    def pids(self) -> list[int]:
        return sorted(pid for pid, parent in processes() if parent == self.parent.pid)

    async def complete(self, without: int = 0) -> list[int]:
        """The two workers, once both are there."""
        found: list[int] = []

        def are_there() -> bool:
            found[:] = self.pids
            return len(found) == 2 and without not in found

        await until(are_there)
        return found

    @contextmanager
    def only(self, pid: int) -> Iterator[None]:
        """For as long as the block lasts nobody but this worker answers."""
        others = [other for other in self.pids if other != pid]
        for other in others:
            os.kill(other, signal.SIGSTOP)
        try:
            yield
        finally:
            for other in others:
                with suppress(ProcessLookupError):
                    os.kill(other, signal.SIGCONT)

    async def post(self, path: str, body: dict[str, Any]) -> httpx2.Response:
        async with self.client() as client:
            return await client.post(path, json=body)

    async def get(self, path: str) -> httpx2.Response:
        async with self.client() as client:
            return await client.get(path)

    def client(self) -> httpx2.AsyncClient:
        """Each request on a connection of its own, which any worker may take."""
        return httpx2.AsyncClient(
            base_url=self.url, timeout=10, trust_env=False, limits=httpx2.Limits(max_keepalive_connections=0)
        )


def processes() -> Iterator[tuple[int, int]]:
    """Id and parent's id of whatever runs, but for the helper that multiprocessing starts for spawned processes."""
    for pid in filter(str.isdecimal, (path.name for path in Path("/proc").iterdir())):
        with suppress(OSError):
            state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[:2]
            if state != "Z" and b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes():
                yield int(pid), int(parent)


async def until(is_so: Callable[[], bool]) -> None:
    with anyio.fail_after(20):
        while not is_so():  # noqa: ASYNC110 - processes tell nobody
            await anyio.sleep(0.02)


@asynccontextmanager
async def crew(home: Path, *start: str, **environ: str) -> AsyncIterator[Crew]:
    quiet = {"GATEWAY_RATE_RPS": "0", "CHOMP_LOG": "off", **environ}
    workers: set[int] = set()
    async with process(home, "--port", "0", "--workers", "2", start=start, **quiet) as parent:
        both = Crew(parent, await url_of(parent))
        yield both
        workers.update(both.pids)
    await until(lambda: not workers & {pid for pid, _ in processes()})  # killed with the parent, by themselves


@pytest.mark.parametrize("start", [(), ("-c", SPAWNED, "serve")], ids=["forked", "spawned"])
async def test_what_one_worker_dispatched_the_other_tells(home, start):
    async with crew(home, *start) as both:
        one, other = await both.complete()
        with both.only(one):
            job = (await both.post("/api/dispatch", {"prompt": "hi", "model": "mock/echo"})).json()["id"]
            assert (await both.get(f"/api/result/{job}?wait=5")).json()["status"] == "done"
        with both.only(other):
            assert (await both.get(f"/api/result/{job}")).json()["result"] == "hi"
            assert [each["id"] for each in (await both.get("/api/jobs")).json()] == [job]


async def test_metrics_are_the_sum_whoever_answers_and_survive_a_worker(home):
    async with crew(home) as both:
        one, other = await both.complete()
        for pid in (one, other):
            with both.only(pid):
                assert (await both.post("/v1/chat/completions", ASK)).status_code == 200
        for pid in (one, other):
            with both.only(pid):
                assert exchanges((await both.get("/metrics")).text) == 2
        os.kill(one, signal.SIGKILL)
        await both.complete(without=one)
        assert exchanges((await both.get("/metrics")).text) == 2


def exchanges(metrics: str) -> float:
    return sum(map(float, re.findall(r"^chomp_requests_total\{.*\} (.*)$", metrics, re.MULTILINE)))


async def test_a_burst_of_connections_is_shared_by_the_workers(home):
    async with crew(home) as both:
        pids = await both.complete()
        for pid in pids:
            with both.only(pid):
                assert (await both.get("/healthz")).status_code == 200
        before = [sockets_of(pid) for pid in pids]
        port = int(both.url.rpartition(":")[2])
        connections = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", port) for _ in range(60)))
        await until(lambda: sum(map(sockets_of, pids)) - sum(before) >= 55)
        shares = [sockets_of(pid) - one for pid, one in zip(pids, before, strict=True)]
        for _, writer in connections:
            writer.close()
    assert min(shares) >= 20


async def test_workers_without_room_for_another_connection_go_on_when_there_is_some(home):
    async with crew(home, "-c", CRAMPED, "serve") as both:
        await both.complete()
        port = int(both.url.rpartition(":")[2])
        connections = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", port) for _ in range(200)))
        await until(lambda: min(map(sockets_of, both.pids)) > 40)
        for _, writer in connections:
            writer.close()
        assert (await both.get("/healthz")).status_code == 200


def sockets_of(pid: int) -> int:
    with suppress(OSError):
        return sum(each.readlink().name.startswith("socket:") for each in Path(f"/proc/{pid}/fd").iterdir())
    return -1


async def test_a_killed_worker_is_replaced(home):
    async with crew(home) as both:
        one, other = await both.complete()
        os.kill(one, signal.SIGKILL)
        successor = next(pid for pid in await both.complete(without=one) if pid != other)
        with both.only(successor):
            assert (await both.post("/v1/chat/completions", ASK)).status_code == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_lets_the_answers_of_all_workers_finish(home, number):
    go = anyio.Event()
    async with ScriptedRouter() as upstream:
        upstream.stream(["Hel", go, "lo"])
        environ = {"CHOMP_ROUTER_GROQ_URL": upstream.url, "GROQ_API_KEY": "gsk_1"}
        async with crew(home, **environ) as both, both.client() as client:
            one, other = await both.complete()
            body = {**ASK, "model": "groq/m", "stream": True}
            streams = [client.stream("POST", "/v1/chat/completions", json=body) for _ in range(2)]
            with both.only(one):
                first = await streams[0].__aenter__()
            with both.only(other):
                second = await streams[1].__aenter__()
            both.parent.send_signal(number)
            with anyio.fail_after(15):
                while await answers(both):
                    pass
                go.set()
                for answer in (first, second):
                    assert (await answer.aread()).endswith(b"data: [DONE]\n\n")
                assert await both.parent.wait() == 0
            assert both.pids == []
            assert await both.parent.stderr.read() == b""


async def answers(both: Crew) -> bool:
    try:
        await both.get("/healthz")
    except httpx2.TransportError:
        return False
    return True


async def test_workers_do_not_outlive_their_parent(home):
    async with crew(home) as both:
        workers = await both.complete()
        both.parent.kill()
        await until(lambda: not set(workers) & {pid for pid, _ in processes()})


async def test_a_caller_gets_the_rate_of_one_gateway_from_all_workers_together(home):
    async with crew(home, GATEWAY_RATE_RPS="0.001", GATEWAY_RATE_BURST="4") as both:
        statuses = []
        for pid in await both.complete():
            with both.only(pid):
                statuses += [(await both.post("/v1/chat/completions", ASK)).status_code for _ in range(3)]
        assert statuses == [200, 200, 429, 200, 200, 429]


async def test_what_a_client_brings_back_is_read_by_any_worker_and_so_is_the_key_page(home):
    async with crew(home) as both, both.client() as client:
        one, other = await both.complete()

        async def moves_over(context: Any, params: Any) -> ElicitResult:
            turn.close()
            switched.enter_context(both.only(other))
            return await agreeable(context, params)

        with ExitStack() as turn, ExitStack() as switched:
            turn.enter_context(both.only(one))
            connection = streamable_http_client(f"{both.url}/mcp", http_client=client)
            async with Client(connection, mode="auto", elicitation_callback=moves_over) as mcp:
                with anyio.fail_after(20):
                    told = await call(mcp, "register_keys", router="groq")
        assert told["routers"] == {"groq": "gsk_…4f2a"}


async def test_an_older_mcp_client_may_meet_another_worker_with_each_request(home):
    async with crew(home) as both, both.client() as client:
        one, other = await both.complete()
        with ExitStack() as turn, ExitStack() as switched:
            turn.enter_context(both.only(one))
            async with Client(streamable_http_client(f"{both.url}/mcp", http_client=client), mode="legacy") as mcp:
                turn.close()
                switched.enter_context(both.only(other))
                assert (await call(mcp, "ask", prompt="hi", model="mock/echo"))["text"] == "hi"
                switched.close()


async def test_sse_says_where_to_go_instead(home):
    async with serving(replace(settings_for(home), workers=2)) as gateway:
        answer = await gateway.http.get("/sse")
    assert answer.status_code == 501
    assert "/mcp" in answer.json()["error"]["message"]


def test_on_windows_one_process_serves_a_port(home, monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(InvalidSetting, match="GATEWAY_WORKERS"):
        http.serve(replace(settings_for(home), workers=2))
