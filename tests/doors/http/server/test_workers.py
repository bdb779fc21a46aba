"""`serve --workers N` with real processes; a relay, which calls until it is one worker's turn, decides who answers."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import ElicitResult
from starlette.applications import Starlette

from chomp_mcp.doors.http.server.process import Server, configured
from chomp_mcp.doors.http.server.serve import serve
from chomp_mcp.doors.http.server.workers import FROZEN_SECONDS, Worker
from chomp_mcp.errors import InvalidSetting
from tests.support.mcp_doors import agreeable, call
from tests.support.scripted import ScriptedRouter
from tests.support.serving import process, serving, settings_for, url_of

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.timeout(240),  # real processes that load all modules, where other tests want the processors too
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for the workers in /proc"),
]

ASK = {"model": "mock/echo", "messages": [{"role": "user", "content": "Say hello."}]}
CRAMPED = (
    "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (80, 80)); from chomp_mcp.doors.cli import main; "
    "raise SystemExit(main())"
)

NOHUP = (
    "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN); from chomp_mcp.doors.cli import main; "
    "raise SystemExit(main())"
)


@dataclass
class Crew:
    """A parent with two workers."""

    parent: Any
    url: str
    workers: list[int]
    """Their ids; the second is the one that a test leaves alone."""

    @property
    def pids(self) -> list[int]:
        """The workers: all that the parent has started but for the helper of multiprocessing."""
        return sorted(pid for pid, parent in processes() if parent == self.parent.pid)

    async def successor(self, of: int) -> int:
        """The worker that was started in place of one that ended, once the parent says so (with CHOMP_LOG=error)."""
        with anyio.fail_after(90):
            while b" ended with code -9; another was started" not in (line := await self.parent.stderr.readline()):
                assert line, "the parent has ended"
        [started] = set(self.pids) - set(self.workers)
        self.workers = [started if pid == of else pid for pid in self.workers]
        return started

    @asynccontextmanager
    async def only(self, pid: int) -> AsyncIterator[httpx2.AsyncClient]:
        """A client that only this worker answers."""
        async with self.relay(lambda: pid) as url, self.client(url) as client:
            yield client

    @asynccontextmanager
    async def relay(self, pid: Callable[[], int]) -> AsyncIterator[str]:
        """A port whose connections all lead to the worker of that moment."""

        async def relayed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            there, back = await self.connection_to(pid())
            await asyncio.gather(pipe(reader, back), pipe(there, writer))

        async with await asyncio.start_server(relayed, "127.0.0.1", 0) as server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def connection_to(self, pid: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The kernel deals connections out: call until it is this worker's turn."""
        with anyio.fail_after(60):
            while True:
                reader, writer = await self.answered_connection()
                if inode_of(self.port, writer.get_extra_info("sockname")[1]) in inodes_of(pid):
                    return reader, writer
                writer.close()

    async def answered_connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection that a worker holds for certain, because it has answered on it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(re.findall(rb"content-length: (\d+)", head)[0]))
        return reader, writer

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    async def get(self, path: str) -> httpx2.Response:
        async with self.client() as client:
            return await client.get(path)

    def client(self, url: str = "") -> httpx2.AsyncClient:
        """Each request on a connection of its own, which any worker may take."""
        return httpx2.AsyncClient(
            base_url=url or self.url, timeout=60, trust_env=False, limits=httpx2.Limits(max_keepalive_connections=0)
        )


async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while some := await reader.read(65_536):
            writer.write(some)
            await writer.drain()
    writer.close()


def inode_of(port: int, client_port: int) -> str:
    """Of the server's end of a connection on loopback."""
    ends = f"0100007F:{port:04X} 0100007F:{client_port:04X}"
    rows = Path("/proc/net/tcp").read_text().splitlines()
    return next(row.split()[9] for row in rows if ends in row)


def inodes_of(pid: int) -> set[str]:
    found = set()
    with suppress(OSError):
        for each in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                found.add(each.readlink().name.removeprefix("socket:[").removesuffix("]"))
    return found


def processes() -> Iterator[tuple[int, int]]:
    """Id and parent's id of whatever runs, but for the helper that multiprocessing starts for spawned processes."""
    for pid in filter(str.isdecimal, (path.name for path in Path("/proc").iterdir())):
        with suppress(OSError):
            state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[:2]
            if state != "Z" and b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes():
                yield int(pid), int(parent)


def ignores_hangups(pid: int) -> bool:
    [ignored] = re.findall(r"SigIgn:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())
    return bool(int(ignored, 16) & 1 << signal.SIGHUP - 1)


@asynccontextmanager
async def outlived(pids: list[int]) -> AsyncIterator[None]:
    """Leave the block when these processes have ended; the kernel says so."""
    files = []
    for pid in pids:
        with suppress(ProcessLookupError):
            files.append(os.pidfd_open(pid))
    try:
        yield
        with anyio.fail_after(60):
            for file in files:
                await anyio.wait_readable(file)
    finally:
        for file in files:
            os.close(file)


@asynccontextmanager
async def crew(home: Path, *start: str, **environ: str) -> AsyncIterator[Crew]:
    """Both workers are ready; none of them outlives the parent, which is killed at the end of the block."""
    quiet = {"GATEWAY_RATE_RPS": "0", "CHOMP_LOG": "off", **environ}
    async with (
        AsyncExitStack() as ends,
        process(home, "--port", "0", "--workers", "2", start=start, **quiet) as parent,
    ):
        both = Crew(parent, await url_of(parent), [])
        both.workers += both.pids
        assert len(both.workers) == 2
        yield both
        await ends.enter_async_context(outlived(both.workers))


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def both(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Crew]:
    """For tests that leave it as it was."""
    async with crew(tmp_path_factory.mktemp("workers") / "home") as both:
        yield both


async def test_what_one_worker_dispatched_the_other_tells(both):
    one, other = both.workers
    async with both.only(one) as client:
        job = (await client.post("/api/dispatch", json={"prompt": "hi", "model": "mock/echo"})).json()["id"]
        assert (await client.get(f"/api/result/{job}?wait=5")).json()["status"] == "done"
    async with both.only(other) as client:
        assert (await client.get(f"/api/result/{job}")).json()["result"] == "hi"
        assert [each["id"] for each in (await client.get("/api/jobs")).json()] == [job]


async def test_connections_are_shared_by_the_workers(both):
    """Dealt out by a hash: of 400 one of two gets fewer than 120 once in a million million tries."""
    before = [len(inodes_of(pid)) for pid in both.workers]
    connections = await asyncio.gather(*(both.answered_connection() for _ in range(400)))
    shares = [len(inodes_of(pid)) - one for pid, one in zip(both.workers, before, strict=True)]
    for _, writer in connections:
        writer.close()
    assert min(shares) >= 120


async def test_a_port_that_other_workers_serve_is_taken(both, tmp_path):
    async with process(tmp_path / "b", "--port", str(both.port), "--workers", "2") as second:
        with anyio.fail_after(60):
            assert await second.wait() == 2
        assert b"cannot be bound" in await second.stderr.read()


async def test_what_a_client_brings_back_is_read_by_any_worker_and_so_is_the_key_page(both):
    async with both.client() as client:
        pids = list(both.workers)

        async def moves_over(context: Any, params: Any) -> ElicitResult:
            pids.reverse()
            # the page's own address is that of the port, and whoever answers there has it
            return await agreeable(context, params)

        async with both.relay(lambda: pids[0]) as url:
            connection = streamable_http_client(f"{url}/mcp", http_client=client)
            async with Client(connection, mode="auto", elicitation_callback=moves_over) as mcp:
                with anyio.fail_after(60):
                    told = await call(mcp, "register_keys", router="groq")
        assert told["routers"] == {"groq": "gsk_…4f2a"}


async def test_an_older_mcp_client_may_meet_another_worker_with_each_request(both):
    async with both.client() as client:
        pids = list(both.workers)
        async with (
            both.relay(lambda: pids[0]) as url,
            Client(streamable_http_client(f"{url}/mcp", http_client=client), mode="legacy") as mcp,
        ):
            pids.reverse()
            assert (await call(mcp, "ask", prompt="hi", model="mock/echo"))["text"] == "hi"


async def test_metrics_are_the_sum_whoever_answers_and_survive_a_worker_which_is_replaced(home):
    async with crew(home, CHOMP_LOG="error") as both:
        one, other = both.workers
        for pid in (one, other):
            async with both.only(pid) as client:
                assert (await client.post("/v1/chat/completions", json=ASK)).status_code == 200
        for pid in (one, other):
            async with both.only(pid) as client:
                assert exchanges((await client.get("/metrics")).text) == 2
        os.kill(one, signal.SIGKILL)
        async with both.only(await both.successor(one)) as client:
            assert exchanges((await client.get("/metrics")).text) == 2
            assert (await client.post("/v1/chat/completions", json=ASK)).status_code == 200


def exchanges(metrics: str) -> float:
    return sum(map(float, re.findall(r"^chomp_requests_total\{.*\} (.*)$", metrics, re.MULTILINE)))


async def test_workers_without_room_for_another_connection_go_on_when_there_is_some(home):
    async with crew(home, "-c", CRAMPED, "serve") as both:
        connections = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", both.port) for _ in range(200)))

        async def is_full() -> bool:
            with suppress(httpx2.TransportError):  # beyond the few that are told, connections end at once
                answer = await both.get("/healthz")
                return answer.status_code == 503 and answer.headers["retry-after"] == "1"
            return False

        with anyio.fail_after(30):
            while not await is_full():
                pass
        assert max(len(inodes_of(pid)) for pid in both.pids) < 80
        for _, writer in connections:
            writer.close()

        async def is_well() -> bool:
            with suppress(httpx2.TransportError):
                return (await both.get("/healthz")).status_code == 200
            return False

        with anyio.fail_after(30):
            while not await is_well():
                pass


async def test_a_frozen_worker_is_replaced_and_nobody_waits_for_it_for_ever(home):
    async with crew(home, CHOMP_LOG="error") as both:
        one, _ = both.workers
        os.kill(one, signal.SIGSTOP)
        async with both.client() as client, anyio.create_task_group() as group:
            ended = []

            async def ask() -> None:
                try:
                    ended.append((await client.post("/v1/chat/completions", json=ASK)).status_code)
                except httpx2.TransportError:  # the kernel had given it to the frozen one, which was killed
                    ended.append(0)

            with anyio.fail_after(90):
                for _ in range(20):
                    group.start_soon(ask)
                await both.successor(one)
        assert len(ended) == 20
        assert set(ended) <= {200, 0}
        assert 200 in ended
        for pid in both.workers:
            async with both.only(pid) as client:
                assert (await client.post("/v1/chat/completions", json=ASK)).status_code == 200
        both.parent.send_signal(signal.SIGTERM)
        with anyio.fail_after(60):
            assert await both.parent.wait() == 0


async def test_nohup_holds_and_a_worker_that_is_frozen_when_the_server_stops_is_killed(home):
    async with crew(home, "-c", NOHUP, "serve") as both:
        one, _ = both.workers
        assert all(map(ignores_hangups, (both.parent.pid, *both.workers)))
        both.parent.send_signal(signal.SIGTERM)
        os.kill(one, signal.SIGSTOP)
        with anyio.fail_after(90):
            assert await both.parent.wait() == 0
        assert both.pids == []


def test_a_worker_whose_event_loop_is_stuck_does_not_answer_its_supervisor(home):
    server = Server(configured(Starlette(), settings_for(home)))
    stuck = Worker(server.config, [])
    stuck._server = server
    server.started = True
    server._turned_at = time.monotonic() - FROZEN_SECONDS - 1
    stuck.child_conn, stuck.parent_conn = Pipe()
    stuck.parent_conn.send(b"ping")
    stuck.pong()
    assert not stuck.parent_conn.poll(0)
    server._turned_at = time.monotonic()
    stuck.parent_conn.send(b"ping")
    stuck.pong()
    assert stuck.parent_conn.recv() is True


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
async def test_a_signal_lets_the_answers_of_all_workers_finish(home, number):
    go = anyio.Event()
    async with ScriptedRouter() as upstream:
        upstream.stream(["Hel", go, "lo"])
        environ = {"CHOMP_ROUTER_GROQ_URL": upstream.url, "GROQ_API_KEY": "gsk_1"}
        async with crew(home, **environ) as both, both.client() as client:
            one, other = both.workers
            body = {**ASK, "model": "groq/m", "stream": True}
            path = "/v1/chat/completions"
            async with both.relay(lambda: one) as url:
                first = await client.send(client.build_request("POST", f"{url}{path}", json=body), stream=True)
            async with both.relay(lambda: other) as url:
                second = await client.send(client.build_request("POST", f"{url}{path}", json=body), stream=True)
            both.parent.send_signal(number)
            if number == signal.SIGHUP:  # a terminal that is closed tells all of its processes
                for pid in both.workers:
                    os.kill(pid, number)
            with anyio.fail_after(60):
                while await answers(both):  # noqa: ASYNC110 - the port tells nobody that it was closed
                    await anyio.sleep(0.05)
                go.set()
                for answer in (first, second):
                    assert (await answer.aread()).endswith(b"data: [DONE]\n\n")
                assert await both.parent.wait() == 0
            assert both.pids == []
            told = (await both.parent.stderr.read()).decode()
            assert told.startswith("chomp-mcp ends: ") if number == signal.SIGINT else not told


async def answers(both: Crew) -> bool:
    try:
        await both.get("/healthz")
    except httpx2.TransportError:
        return False
    return True


async def test_a_caller_gets_the_rate_of_one_gateway_from_all_workers_which_do_not_outlive_their_parent(home):
    rate = {"GATEWAY_RATE_RPS": "0.001", "GATEWAY_RATE_BURST": "4"}
    async with crew(home, **rate) as both, outlived(both.workers):
        statuses = []
        for pid in both.workers:
            async with both.only(pid) as client:
                statuses += [(await client.post("/v1/chat/completions", json=ASK)).status_code for _ in range(3)]
        assert statuses == [200, 200, 429, 200, 200, 429]
        both.parent.kill()


async def test_sse_says_where_to_go_instead(home):
    async with serving(replace(settings_for(home), workers=2)) as gateway:
        answer = await gateway.http.get("/sse")
    assert answer.status_code == 501
    assert "/mcp" in answer.json()["error"]["message"]


def test_on_windows_one_process_serves_a_port(home, monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(InvalidSetting, match="GATEWAY_WORKERS"):
        serve(replace(settings_for(home), workers=2))
