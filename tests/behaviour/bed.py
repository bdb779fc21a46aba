"""Settings put where a user puts them, and the doors behind which they must change something."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import anyio.to_thread
import httpx2
from anyio.abc import Process
from mcp import Client, StdioServerParameters

from chomp_mcp.settings import Settings
from tests.behaviour.other_process import ROOT, command, needed
from tests.support.scripted import ScriptedRouter
from tests.support.serving import Served, serving
from tests.support.world import environment

__all__ = ["HELLO", "Bed"]

HELLO = [{"role": "user", "content": "hi"}]


class Bed:
    """`one` is the router behind groq, `two` the one behind cerebras; both list `m`."""

    def __init__(self, home: Path, one: ScriptedRouter, two: ScriptedRouter) -> None:
        self.home = home
        self.one = one
        self.two = two
        self.env = environment(home, {"groq": one, "cerebras": two})
        for upstream in (one, two):
            upstream.models(["m"])

    def put(self, place: str, name: str, value: str, other: str) -> None:
        """Set `name` to `value` at this place; `other` is what must not count."""
        self.env.pop(name, None)
        if place != "environment":
            self.write(f"{name} = {json.dumps(value if place == 'config.toml' else other)}\n")
        if place != "config.toml":
            self.env[name] = value

    def write(self, config: str) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / "config.toml").write_text(config, encoding="utf-8")

    async def run(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        """The finished command."""
        return await anyio.to_thread.run_sync(lambda: command(arguments, {**self.env, **env}))

    @asynccontextmanager
    async def http(self, **env: str) -> AsyncIterator[Served]:
        """The HTTP doors, in this process."""
        async with serving(Settings.load({**self.env, **env})) as served:
            yield served

    async def chat(self, *models: str, stream: bool = False, **env: str) -> httpx2.Response:
        """The last answer to chats with these models, one after the other; "" names none."""
        async with self.http(**env) as served:
            for model in models or ("",):
                named = {"model": model} if model else {}
                answer = await served.http.post(
                    "/v1/chat/completions", json={"messages": HELLO, "stream": stream, **named}
                )
        return answer

    @asynccontextmanager
    async def mcp(self) -> AsyncIterator[Client]:
        """The MCP door, over stdio."""
        server = StdioServerParameters(command=sys.executable, args=["-m", "chomp_mcp"], env=self.env)
        async with Client(server) as client:
            yield client

    @asynccontextmanager
    async def served(self, *arguments: str, **env: str) -> AsyncIterator[tuple[Process, str]]:
        """`chomp-mcp serve` as a process, and the first line that it says on stderr."""
        line = [sys.executable, "-m", "chomp_mcp", "serve", *arguments]
        async with await anyio.open_process(line, cwd=ROOT, env={**needed(), **self.env, **env}) as process:
            assert process.stderr
            try:
                with anyio.fail_after(20):
                    said = (await process.stderr.receive()).decode()
                yield process, said.splitlines()[0]
            finally:
                with suppress(ProcessLookupError):
                    process.terminate()
