"""One gateway with any scripted routers behind real router ids, asked by the official clients at every door."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx2
from mcp import Client
from openai import AsyncOpenAI

from chomp_mcp.doors.mcp.server import build_server
from chomp_mcp.messages import OWNER, ChatRequest
from chomp_mcp.settings import Settings
from tests.support.scripted import ScriptedRouter
from tests.support.serving import Served, serving
from tests.support.world import environment

__all__ = ["HELLO", "Wires", "wires"]

HELLO = [{"role": "user", "content": "hi"}]


@dataclass
class Wires:
    """`wires.groq` is the scripted router behind the id `groq`."""

    routers: Mapping[str, ScriptedRouter]
    served: Served
    openai: AsyncOpenAI

    def __getattr__(self, name: str) -> ScriptedRouter:
        return self.routers[name]

    async def chat(self, model: str, **body: Any) -> Any:
        """A whole answer to the official client."""
        with anyio.fail_after(20):
            return await self.openai.chat.completions.create(model=model, **{"messages": HELLO, **body})

    async def streamed(self, model: str, **body: Any) -> Any:
        """What the official client has added up at the end of a stream."""
        with anyio.fail_after(20):
            wanted = {"messages": HELLO, **body}
            async with self.openai.chat.completions.stream(model=model, **wanted) as stream:
                return await stream.get_final_completion()

    async def deltas(self, model: str, **body: Any) -> list[Any]:
        """The chunks themselves."""
        with anyio.fail_after(20):
            stream = await self.openai.chat.completions.create(model=model, stream=True, **{"messages": HELLO, **body})
            return [chunk async for chunk in stream]

    async def ask(self, model: str, prompt: str = "hi", **arguments: Any) -> Any:
        """The result of the MCP tool."""
        with anyio.fail_after(20):
            async with Client(build_server(self.served.chomp)) as client:
                return await client.call_tool("ask", {"prompt": prompt, "model": model, **arguments})

    async def job(self, model: str, **fields: Any) -> dict[str, Any]:
        """A dispatched job, when it has ended."""
        with anyio.fail_after(20):
            posted = await self.served.http.post("/api/dispatch", json={"prompt": "hi", "model": model, **fields})
            found = await self.served.http.get(f"/api/result/{posted.json()['id']}?wait=10")
            return dict(found.json())

    async def v1_chat(self, model: str, **body: Any) -> dict[str, Any]:
        """The older API's whole answer."""
        answer = await self.served.http.post("/v1/chat", json={"messages": HELLO, "model": model, **body})
        return dict(answer.json())

    async def v1_chat_stream(self, model: str, **body: Any) -> str:
        """The text that the older API's stream says."""
        answer = await self.served.http.post("/v1/chat/stream", json={"messages": HELLO, "model": model, **body})
        events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
        return "".join(event.get("content", "") for event in events)

    async def python(self, model: str, **body: Any) -> str:
        """The Python door's text."""
        chomp = self.served.chomp
        async with chomp.gateway.exchange(OWNER, ChatRequest(body={"messages": HELLO, **body}, model=model)) as reply:
            return (await reply.completion()).text

    async def raw(self, model: str, **body: Any) -> httpx2.Response:
        """The HTTP answer, whatever it is."""
        return await self.served.http.post("/v1/chat/completions", json={"messages": HELLO, "model": model, **body})


@asynccontextmanager
async def wires(home: Path, *names: str, config: str = "", **settings: str) -> AsyncIterator[Wires]:
    """`async with wires(home, "groq", "lab") as w:`; `lab` is a row of the user's own, with `config` below it."""
    async with AsyncExitStack() as stack:
        routers = {name: await stack.enter_async_context(ScriptedRouter()) for name in names}
        built_in = {name: router for name, router in routers.items() if name != "lab"}
        variables = environment(home, built_in, **{"GATEWAY_RATE_RPS": "0", **settings})
        if "lab" in routers:
            _write(home, f'[routers.lab]\nurl = "{routers["lab"].url}"\n{config}')
        if "ollama" in routers:
            variables["OLLAMA_BASE_URL"] = routers["ollama"].base
        if "cursor" in routers:
            variables["CURSOR_ADAPTER_URL"] = routers["cursor"].base
        for router in routers.values():
            router.models(["m"])
        served = await stack.enter_async_context(serving(Settings.load(variables)))
        client = await stack.enter_async_context(
            AsyncOpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0)
        )
        yield Wires(routers, served, client)


def _write(home: Path, config: str) -> None:
    home.mkdir(parents=True, exist_ok=True)
    (home / "config.toml").write_text(config, encoding="utf-8")
