"""`demo`: start the server as an MCP client does, use every kind of call once, and say what happened."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Mapping
from typing import Any

import anyio
from mcp import Client, StdioServerParameters

from chomp_mcp.doors.cli import install, launch
from chomp_mcp.doors.cli.clients import CLIENTS
from chomp_mcp.doors.cli.output import plain
from chomp_mcp.doors.cli.stores import try_stores
from chomp_mcp.errors import ChompError, UpstreamFailed
from chomp_mcp.routers import catalog
from chomp_mcp.settings import Settings

__all__ = ["demo"]

FAILOVER = {"LLM_DEFAULT_MODEL": "mock/500", "LLM_FALLBACKS": "mock/echo"}
"""A first choice that always fails, and a second that always answers."""
SHOWN = 100
"""Characters of an answer that are shown."""


def demo(_args: argparse.Namespace) -> int:
    """Offline on the mock router; on the caller's real routers too, where there are keys."""
    settings = Settings.load()
    anyio.run(try_stores, settings)
    try:
        anyio.run(_walk, settings)
    except Exception as error:  # noqa: BLE001 - the SDK's task groups wrap whatever it was
        raise _cause(error) from None
    _next_steps(settings)
    return 0


def _cause(error: BaseException) -> ChompError:
    """The one error at the bottom of the SDK's task groups, as ours."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, ChompError):
        return error
    return UpstreamFailed(f"The server could not be used: {error}.", hint="Run chomp-mcp doctor.")


async def _walk(settings: Settings) -> None:
    async with _client({**settings.environment, "CHOMP_HOME": str(settings.home)}) as client:
        routers = await _look_around(client)
        await _ask(client, "mock/echo", "Hello from the demo")
        for router in routers:
            await _ask(client, f"{router}/auto", "Say hello in five words.")
        await _dispatch(client)
    with tempfile.TemporaryDirectory(prefix="chomp-demo-") as home:
        async with _client({**launch.client_environment(os.environ), "CHOMP_HOME": home, **FAILOVER}) as client:
            await _fail_over(client)


def _client(env: Mapping[str, str]) -> Client:
    command = launch.command()
    return Client(StdioServerParameters(command=command[0], args=command[1:], env=dict(env)))


async def _look_around(client: Client) -> list[str]:
    """The tools and the models; returns the keyed routers that listed some."""
    info = client.server_info
    name = f"{info.name} {info.version}" if info else "the server"
    _tell("start", f"`{' '.join(launch.command())}` over stdio, as an MCP client starts it: {name}, MCP "
          f"{client.protocol_version}")  # fmt: skip
    tools = (await client.list_tools()).tools
    _tell("tools", ", ".join(tool.name for tool in tools))
    listed = await _call(client, "list_models", {"limit": 50})
    ids = [model["id"] for model in listed["models"]]
    _tell("models", f"{len(ids)}{' and more' if listed['next_cursor'] else ''}, such as {', '.join(ids[:3])}")
    for router, why in listed["errors"].items():
        _tell("", f"{router} could not be asked: {why}")
    routers = dict.fromkeys(model.partition("/")[0] for model in ids)
    return [router for router in routers if router != "mock"]


async def _ask(client: Client, model: str, prompt: str) -> None:
    _tell("ask", f"{model}: {prompt}")
    try:
        told = await _call(client, "ask", {"prompt": prompt, "model": model})
    except UpstreamFailed as error:
        _tell("", f"no answer: {error}")
        return
    _answered(told)


async def _dispatch(client: Client) -> None:
    job = await _call(client, "dispatch", {"prompt": "Take your time", "model": "mock/slow?seconds=3"})
    _tell("dispatch", f"{job['model']} in the background: {job['job_id']} is {job['status']}")
    started = time.monotonic()
    told = await _call(client, "result", {"job_id": job["job_id"], "wait_seconds": 45})
    _tell("result", f"{told['status']} after {time.monotonic() - started:.1f} s: {plain(told['text'])[:SHOWN]}")


async def _fail_over(client: Client) -> None:
    _tell("failover", "a second server, set up with " + " ".join(f"{k}={v}" for k, v in FAILOVER.items()))
    _answered(await _call(client, "ask", {"prompt": "Who answers when the first one fails?"}))


def _answered(told: Mapping[str, Any]) -> None:
    receipt = told["receipt"]
    tries = ", ".join(f"{a['router']}/{a['model']} {a['outcome']}" for a in receipt["attempts"])
    _tell("", f"→ {plain(told['text'])[:SHOWN]}")
    cost = "price unknown" if receipt["cost_usd"] is None else f"${receipt['cost_usd']}"
    _tell("", f"  served by {receipt['served']} · tries: {tries} · {cost} · {receipt['latency_ms']} ms")


async def _call(client: Client, tool: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """One tool call's structured result; a tool error ends in the words the model would have read."""
    result = await client.call_tool(tool, dict(arguments))
    if result.is_error or not isinstance(result.structured_content, dict):
        raise UpstreamFailed(" ".join(getattr(block, "text", "") for block in result.content))
    return result.structured_content


def _tell(step: str, what: str) -> None:
    print(f"{step:<9} {what}", flush=True)


def _next_steps(settings: Settings) -> None:
    routers = [router for router in catalog.load(settings).values() if router.needs_key and not router.deprecated]
    ours = launch.typed_command()
    print("\nWith a key, the same calls reach real models. Each is typed once, hidden:")
    for router in routers:
        print(f"  {ours} keys add {router.id:<11} {router.keys_page}")
    claude = CLIENTS["claude-desktop"]
    print(f"\nPaste this into Claude Desktop ({claude.path()}) and Cursor (~/.cursor/mcp.json),")
    print(f"or run `{ours} install claude-desktop` and `{ours} install cursor`:\n")
    print(install.snippet(claude, settings))
