"""The gateway on a real socket: `serving(settings)` inside the test process, `process(home)` as one of its own."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio
import httpx2
import uvicorn.server

from chomp_mcp.app import Chomp
from chomp_mcp.doors.http.app import build_app
from chomp_mcp.doors.http.server.process import Server, configured
from chomp_mcp.settings import Settings
from tests.support.offline import NOBODY

__all__ = ["Served", "process", "serving", "settings_for", "url_of"]


@dataclass(frozen=True)
class Served:
    """A gateway that answers, and a client on it without a token."""

    chomp: Chomp
    url: str
    http: httpx2.AsyncClient

    async def chat(self, body: Mapping[str, Any] | None = None, **fields: Any) -> httpx2.Response:
        """POST a prompt to the OpenAI API."""
        default = {"model": "lab/m", "messages": [{"role": "user", "content": "hi"}]}
        return await self.http.post("/v1/chat/completions", json={**default, **(body or {}), **fields})

    async def is_quiet(self) -> None:
        """Wait until every exchange has settled."""
        with anyio.fail_after(5):
            while (await self.chomp.metrics_snapshot())["in_flight"]:  # noqa: ASYNC110 - nor has settling
                await asyncio.sleep(0)


class _Impatient:
    """uvicorn's `asyncio`. It looks ten times a second whether it should end, and then whether it could."""

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / 20)


uvicorn.server.asyncio = _Impatient()  # type: ignore[assignment]


class _Quiet(Server):
    """Leaves the signals to pytest."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def settings_for(home: Path, *, environ: Mapping[str, str] | None = None, **routers: str) -> Settings:
    """Settings with a clean environment, no rate limit, and a row that all may use for each scripted router's URL."""
    rows = {name: {"url": url, "shared": True} for name, url in routers.items()}
    settings = Settings.load({"CHOMP_HOME": str(home), **NOBODY, "GATEWAY_RATE_RPS": "0", **(environ or {})})
    return replace(settings, router_rows={**settings.router_rows, **rows})


@asynccontextmanager
async def serving(
    settings: Settings, *, chomp: Callable[[Settings], Chomp] = Chomp, **limits: float
) -> AsyncIterator[Served]:
    """The one app under uvicorn on a free port; leaving the block shuts it down as SIGTERM does, without patience."""
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listening:
        made = chomp(replace(settings, port=listening.getsockname()[1]))
        server = _Quiet(configured(build_app(made, **{"grace_seconds": 0, **limits}), made.settings))
        task = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            with anyio.fail_after(30):
                while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                    await asyncio.sleep(0)
            url = f"http://127.0.0.1:{made.settings.port}"
            async with httpx2.AsyncClient(base_url=url, timeout=10) as http:
                yield Served(made, url, http)
        finally:
            server.should_exit = True
            await task


@asynccontextmanager
async def process(
    home: Path, *arguments: str, start: Sequence[str] = (), **environ: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """`chomp-mcp serve` as a process of its own; killed at the end of the block if it still runs.

    `start` is what Python is to run instead.
    """
    clean = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    started = await asyncio.create_subprocess_exec(
        sys.executable,
        *(*(start or ("-m", "chomp_mcp", "serve")), *arguments),
        env={**clean, "CHOMP_HOME": str(home), **environ},
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.communicate()


async def url_of(started: asyncio.subprocess.Process) -> str:
    """What the process says first: where it listens."""
    if started.stderr is None:
        raise RuntimeError("its stderr is not ours")
    with anyio.fail_after(60):
        line = (await started.stderr.readline()).decode()
    if not line.startswith("chomp-mcp serves http://"):
        raise RuntimeError(line + (await started.stderr.read()).decode())
    return line.split()[-1]
