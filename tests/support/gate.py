"""A served gateway with scripted routers behind real router ids, asked by the official `openai` client."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio.lowlevel
from openai import AsyncOpenAI

from chomp_mcp.app import Chomp
from chomp_mcp.settings import Settings
from tests.support.scripted import ScriptedRouter
from tests.support.serving import Served, serving
from tests.support.world import Reports, environment

__all__ = ["HELLO", "Gate", "gate"]

HELLO = [{"role": "user", "content": "hi"}]


@dataclass(frozen=True)
class Gate:
    """`gate.groq` is the scripted router behind the id `groq`; `reports` what the observers were told."""

    served: Served
    routers: dict[str, ScriptedRouter]
    reports: Reports
    client: AsyncOpenAI

    def __getattr__(self, name: str) -> ScriptedRouter:
        return self.routers[name]

    async def chat(self, model: str, *, token: str = "none", **fields: Any) -> Any:
        """A whole `ChatCompletion`; its `chomp` field is the receipt."""
        client = self.client.with_options(api_key=token)
        return await client.chat.completions.create(model=model, messages=HELLO, **fields)

    async def chunks(self, model: str, *, token: str = "none", **fields: Any) -> list[Any]:
        """A streamed answer's chunks; the last one holds usage and receipt."""
        options = {"stream": True, "stream_options": {"include_usage": True}, **fields}
        return [chunk async for chunk in await self.chat(model, token=token, **options)]

    async def receipt(self, model: str, *, stream: bool = False, **fields: Any) -> dict[str, Any]:
        """What the answer's `chomp` field tells."""
        if stream:
            told: dict[str, Any] = (await self.chunks(model, **fields))[-1].chomp
            return told
        return dict((await self.chat(model, **fields)).chomp)

    async def spend(self, token: str = "") -> dict[str, Any]:
        """The caller's `spend` as the status tells it."""
        chomp = self.served.chomp
        caller = await chomp.keyring.find(token) if token else None
        status = await (chomp.status(caller) if caller else chomp.status())
        spend: dict[str, Any] = status["spend"]
        return spend

    async def saw_report(self, count: int = 1) -> None:
        """Wait until so many exchanges are settled, also those whose caller is gone."""
        with anyio.fail_after(5):
            while len(self.reports) < count:
                await anyio.lowlevel.checkpoint()

    async def token(self, **keys: str) -> str:
        """Another caller, with these keys of their own."""
        answer = await self.served.http.post("/api/keys", json={"keys": keys})
        return str(answer.json()["token"])


@asynccontextmanager
async def gate(home: Path, *names: str, clock: Callable[[], float] = time.time, **settings: str) -> AsyncIterator[Gate]:
    """`async with gate(home, "groq", LLM_DAILY_BUDGET_USD="1") as g: await g.chat("groq/m")`."""
    async with AsyncExitStack() as stack:
        routers = {name: await stack.enter_async_context(ScriptedRouter()) for name in names}
        reports = Reports()
        chosen = Settings.load(environment(home, routers, **{"GATEWAY_RATE_RPS": "0", **settings}))
        made = partial(Chomp, clock=clock, observers=[reports])
        served = await stack.enter_async_context(serving(chosen, chomp=made))
        client = AsyncOpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0)
        yield Gate(served, routers, reports, await stack.enter_async_context(client))
