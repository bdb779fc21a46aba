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

Tell = Callable[[str, str], None]
"""A step's name (empty: still the same), and what was seen."""
FAILOVER = {"LLM_DEFAULT_MODEL": "mock/500", "LLM_FALLBACKS": "mock/echo"}
"""A first choice that always fails, and a second that always answers."""
SHOWN_ROUTERS = 6
SHOWN = 100
"""Characters of an answer that are shown."""


def demo(args: argparse.Namespace) -> None:
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
            cause = error
            while isinstance(cause, ExceptionGroup):
                cause = cause.exceptions[0]
            is_our_stdout = isinstance(cause, OSError) and cause.errno in {errno.EPIPE, *CANNOT_BE_WRITTEN}
            if is_our_stdout or isinstance(cause, ChompError):
                raise cause from None
            raise UpstreamFailed(f"The server could not be used: {cause}.", hint="Run chomp-mcp doctor.") from None
    ours, claude = launch.typed_command(), CLIENTS["claude-desktop"]
    entry = install.snippet(claude, settings)
    keys = [
        {"router": router.id, "command": f"{ours} keys add {router.id}", "keys_page": router.keys_page}
        for router in catalog.load(settings).values()
        if router.needs_key and not router.deprecated
    ]
    if args.json:
        show_json({**seen, "next": {"setup": f"{ours} setup", "keys": keys, "entry": json.loads(entry)}})
        return
    print("\nWith a key, the same calls reach real models. Each is typed once, hidden:")
    for key in keys[:SHOWN_ROUTERS]:
        print(f"  {key['command']:<{len(ours) + 21}} {key['keys_page']}")
    if more := len(keys) - SHOWN_ROUTERS:
        print(f"  and {more} more, several with a free tier: {ours} keys list")
    print(f"\n`{ours} setup` is a guided walk: a key, your clients, the first question.")
    print(f"\nPaste this into Claude Desktop ({claude.path()}) and Cursor (~/.cursor/mcp.json),")
    print(f"or run `{ours} install claude-desktop` and `{ours} install cursor`:\n\n{entry}")


async def _walk(settings: Settings, tell: Tell) -> dict[str, Any]:
    """What was seen: {server, tools, models, errors, answers, job, failover}."""
    async with _client({**settings.environment, "CHOMP_HOME": str(settings.home)}) as client:
        command, info, protocol = launch.command(), client.server_info, str(client.protocol_version)
        name = f"{info.name} {info.version}" if info else "the server"
        tell("start", f"`{' '.join(command)}` over stdio, as an MCP client starts it: {name}, MCP {protocol}")
        tools = [tool.name for tool in (await client.list_tools()).tools]
        tell("tools", ", ".join(tools))
        listed = await _call(client, "list_models", {"limit": 50})
        ids = [model["id"] for model in listed["models"]]
        tell("models", f"{len(ids)}{' and more' if listed['next_cursor'] else ''}, such as {', '.join(ids[:3])}")
        for router, why in listed["errors"].items():
            tell("", f"{router} could not be asked: {why}")
        answers = [await _ask(client, "mock/echo", "Hello from the demo", tell)]
        routers = dict.fromkeys(model.partition("/")[0] for model in ids if not model.startswith("mock/"))
        answers += [await _ask(client, f"{router}/auto", "Say hello in five words.", tell) for router in routers]
        job = await _call(client, "dispatch", {"prompt": "Take your time", "model": "mock/slow?seconds=3"})
        tell("dispatch", f"{job['model']} in the background: {job['job_id']} is {job['status']}")
        started = time.monotonic()
        job = await _call(client, "result", {"job_id": job["job_id"], "wait_seconds": 45})
        tell("result", f"{job['status']} after {time.monotonic() - started:.1f} s: {plain(job['text'])[:SHOWN]}")
    # A home of its own: what fails on purpose must not rest the breakers of the real one.
    with tempfile.TemporaryDirectory(prefix="chomp-demo-") as home:
        async with _client({**launch.client_environment(os.environ), "CHOMP_HOME": home, **FAILOVER}) as client:
            tell("failover", "a second server, set up with " + " ".join(f"{k}={v}" for k, v in FAILOVER.items()))
            failover = await _call(client, "ask", {"prompt": "Who answers when the first one fails?"})
            _answered(failover, tell)
    return {
        "server": {"command": command, "name": name, "protocol": protocol},
        "tools": tools,
        "models": ids,
        "errors": dict(listed["errors"]),
        "answers": answers,
        "job": job,
        "failover": failover,
    }


def _client(env: Mapping[str, str]) -> Client:
    command = launch.command()
    return Client(StdioServerParameters(command=command[0], args=command[1:], env=dict(env)))


async def _ask(client: Client, model: str, prompt: str, tell: Tell) -> Mapping[str, Any]:
    tell("ask", f"{model}: {prompt}")
    try:
        told = await _call(client, "ask", {"prompt": prompt, "model": model})
    except UpstreamFailed as error:
        tell("", f"no answer: {error}")
        return {"status": "error", "model": model, "error": str(error)}
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
