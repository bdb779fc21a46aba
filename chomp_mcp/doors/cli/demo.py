"""`demo`: start the server as an MCP client does, use every kind of call once, and say what happened."""

from __future__ import annotations

import argparse
import errno
import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

import anyio
from mcp import Client, StdioServerParameters

from chomp_mcp.doors.cli import CANNOT_BE_WRITTEN, install, launch
from chomp_mcp.doors.cli.clients import CLIENTS
from chomp_mcp.doors.cli.output import plain, show_json
from chomp_mcp.doors.cli.status_line import StatusLine
from chomp_mcp.doors.cli.stores import try_stores
from chomp_mcp.errors import ChompError, UpstreamFailed
from chomp_mcp.routers import catalog
from chomp_mcp.settings import Settings

__all__ = ["demo"]

Tell = Callable[[str, str], None]
"""A step's name (empty: still the same), and what was seen."""
FAILOVER = {"LLM_DEFAULT_MODEL": "mock/500", "LLM_FALLBACKS": "mock/echo"}
"""A first choice that always fails, and a second that always answers."""
SHOWN_ROUTERS = 6
SHOWN = 100
"""Characters of an answer that are shown."""


def demo(args: argparse.Namespace) -> int:
    """Offline on the mock router; on the caller's real routers too, where there are keys."""
    settings = Settings.load()
    for found in anyio.run(try_stores, settings):
        if isinstance(found, ChompError):
            raise found
    doing = "starting the server"
    with StatusLine(lambda: doing) as line:

        def tell(step: str, what: str) -> None:
            nonlocal doing
            doing = f"at {step}" if step else doing
            if not args.json:
                line.tell(f"{step:<9} {what}")

        try:
            seen = anyio.run(_walk, settings, tell)
        except Exception as error:  # noqa: BLE001 - the task groups of the SDK wrap whatever it was
            cause = _cause(error)
            if isinstance(cause, OSError) and cause.errno in {errno.EPIPE, *CANNOT_BE_WRITTEN}:  # of our own stdout
                raise cause from None
            raise _as_ours(cause) from None
    if args.json:
        show_json({**seen, "next": _next(settings)})
    else:
        _next_steps(settings)
    return 0


def _cause(error: Exception) -> Exception:
    """The one error at the bottom of the SDK's task groups."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


def _as_ours(error: Exception) -> ChompError:
    if isinstance(error, ChompError):
        return error
    return UpstreamFailed(f"The server could not be used: {error}.", hint="Run chomp-mcp doctor.")


async def _walk(settings: Settings, tell: Tell) -> dict[str, Any]:
    """What was seen: {server, tools, models, errors, answers, job, failover}."""
    async with _client({**settings.environment, "CHOMP_HOME": str(settings.home)}) as client:
        seen = await _look_around(client, tell)
        seen["answers"] = [await _ask(client, "mock/echo", "Hello from the demo", tell)]
        routers = dict.fromkeys(model.partition("/")[0] for model in seen["models"])
        for router in routers:
            if router != "mock":
                seen["answers"].append(await _ask(client, f"{router}/auto", "Say hello in five words.", tell))
        seen["job"] = await _dispatch(client, tell)
    with tempfile.TemporaryDirectory(prefix="chomp-demo-") as home:
        async with _client({**launch.client_environment(os.environ), "CHOMP_HOME": home, **FAILOVER}) as client:
            seen["failover"] = await _fail_over(client, tell)
    return seen


def _client(env: Mapping[str, str]) -> Client:
    command = launch.command()
    return Client(StdioServerParameters(command=command[0], args=command[1:], env=dict(env)))


async def _look_around(client: Client, tell: Tell) -> dict[str, Any]:
    """The server, its tools and the models."""
    info = client.server_info
    name = f"{info.name} {info.version}" if info else "the server"
    command = launch.command()
    tell(
        "start", f"`{' '.join(command)}` over stdio, as an MCP client starts it: {name}, MCP {client.protocol_version}"
    )
    tools = [tool.name for tool in (await client.list_tools()).tools]
    tell("tools", ", ".join(tools))
    listed = await _call(client, "list_models", {"limit": 50})
    ids = [model["id"] for model in listed["models"]]
    tell("models", f"{len(ids)}{' and more' if listed['next_cursor'] else ''}, such as {', '.join(ids[:3])}")
    for router, why in listed["errors"].items():
        tell("", f"{router} could not be asked: {why}")
    server = {"command": command, "name": name, "protocol": str(client.protocol_version)}
    return {"server": server, "tools": tools, "models": ids, "errors": dict(listed["errors"])}


async def _ask(client: Client, model: str, prompt: str, tell: Tell) -> Mapping[str, Any]:
    tell("ask", f"{model}: {prompt}")
    try:
        told = await _call(client, "ask", {"prompt": prompt, "model": model})
    except UpstreamFailed as error:
        tell("", f"no answer: {error}")
        return {"status": "error", "model": model, "error": str(error)}
    _answered(told, tell)
    return told


async def _dispatch(client: Client, tell: Tell) -> Mapping[str, Any]:
    job = await _call(client, "dispatch", {"prompt": "Take your time", "model": "mock/slow?seconds=3"})
    tell("dispatch", f"{job['model']} in the background: {job['job_id']} is {job['status']}")
    started = time.monotonic()
    told = await _call(client, "result", {"job_id": job["job_id"], "wait_seconds": 45})
    tell("result", f"{told['status']} after {time.monotonic() - started:.1f} s: {plain(told['text'])[:SHOWN]}")
    return told


async def _fail_over(client: Client, tell: Tell) -> Mapping[str, Any]:
    tell("failover", "a second server, set up with " + " ".join(f"{k}={v}" for k, v in FAILOVER.items()))
    told = await _call(client, "ask", {"prompt": "Who answers when the first one fails?"})
    _answered(told, tell)
    return told


def _answered(told: Mapping[str, Any], tell: Tell) -> None:
    receipt = told["receipt"]
    tries = ", ".join(f"{a['router']}/{a['model']} {a['outcome']}" for a in receipt["attempts"])
    tell("", f"→ {plain(told['text'])[:SHOWN]}")
    cost = "price unknown" if receipt["cost_usd"] is None else f"${receipt['cost_usd']}"
    tell("", f"  served by {receipt['served']} · tries: {tries} · {cost} · {receipt['latency_ms']} ms")


async def _call(client: Client, tool: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """One tool call's structured result; a tool error ends in the words the model would have read."""
    result = await client.call_tool(tool, dict(arguments))
    if result.is_error or not isinstance(result.structured_content, dict):
        raise UpstreamFailed(" ".join(getattr(block, "text", "") for block in result.content))
    return result.structured_content


def _next(settings: Settings) -> dict[str, Any]:
    """The commands that lead on: {keys: [{router, command, keys_page}], install, entry}."""
    ours = launch.typed_command()
    keys = [
        {"router": router.id, "command": f"{ours} keys add {router.id}", "keys_page": router.keys_page}
        for router in catalog.load(settings).values()
        if router.needs_key and not router.deprecated
    ]
    return {
        "setup": f"{ours} setup",
        "keys": keys,
        "entry": json.loads(install.snippet(CLIENTS["claude-desktop"], settings)),
    }


def _next_steps(settings: Settings) -> None:
    ours = launch.typed_command()
    print("\nWith a key, the same calls reach real models. Each is typed once, hidden:")
    keys = _next(settings)["keys"]
    for key in keys[:SHOWN_ROUTERS]:
        print(f"  {key['command']:<{len(ours) + 21}} {key['keys_page']}")
    if more := len(keys) - SHOWN_ROUTERS:
        print(f"  and {more} more, several with a free tier: {ours} keys list")
    print(f"\n`{ours} setup` is a guided walk: a key, your clients, the first question.")
    claude = CLIENTS["claude-desktop"]
    print(f"\nPaste this into Claude Desktop ({claude.path()}) and Cursor (~/.cursor/mcp.json),")
    print(f"or run `{ours} install claude-desktop` and `{ours} install cursor`:\n")
    print(install.snippet(claude, settings))
