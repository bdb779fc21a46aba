"""Claude Code itself, on a router that speaks chat completions only. One of 2.1.197 does not compact at an overflow."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.support.scripted import Recorded, ScriptedRouter, Wire, chunk, sse
from tests.support.serving import Served, serving, settings_for

pytestmark = [pytest.mark.anyio, pytest.mark.hosts, pytest.mark.timeout(500)]

PRICES = {"m": {"input": Decimal(3), "output": Decimal(15)}}
TURNS = 20


@pytest.fixture
async def gateway(home: Path, upstream: ScriptedRouter) -> AsyncIterator[Served]:
    settings = settings_for(home, environ={"CHOMP_AGENT_MODEL": "lab/m"})
    rows = {"lab": {"url": upstream.url, "prices": PRICES}}
    async with serving(replace(settings, router_rows=rows)) as served:
        yield served


@pytest.fixture
def claude(installed, run_host, gateway: Served):
    program = installed("@anthropic-ai/claude-code@2.1.332", "claude")
    quiet = {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1", "IS_SANDBOX": "1"}
    where = {"ANTHROPIC_BASE_URL": gateway.url, "ANTHROPIC_AUTH_TOKEN": "none"}

    async def run(*arguments: str, **environment: str) -> dict[str, Any]:
        flags = ("--permission-mode", "acceptEdits", "--output-format", "json")
        done = await run_host(program, "-p", *arguments, *flags, **quiet, **where, **environment)
        assert done.code == 0, done.out + done.err
        return json.loads(done.out)

    return run


def call(number: int, name: str, **arguments: Any) -> dict[str, Any]:
    """One tool call as a chat router streams it: a head, then the arguments in two pieces."""
    given = json.dumps(arguments)
    return chunk(
        tool_calls=[
            {"index": 0, "id": f"call_{number}", "type": "function", "function": {"name": name, "arguments": given}}
        ]
    )


def content_of(path: str) -> str:
    return Path(path).read_text()


async def test_twenty_turns_of_tools_edit_a_file_and_cost_what_the_router_billed(claude, gateway, upstream, tmp_path):
    path = str(tmp_path / "work" / "a.txt")
    usage = (1000, 100)
    upstream.stream([call(0, "Write", file_path=path, content="0\n")], finish="tool_calls", usage=usage)
    for turn in range(1, TURNS):
        edit = call(turn, "Edit", file_path=path, old_string=f"{turn - 1}\n", new_string=f"{turn}\n")
        upstream.stream([f"Step {turn}. ", edit], finish="tool_calls", usage=usage)
    upstream.stream(["all ", "done"], usage=usage)
    told = await claude("count")
    assert (told["result"], told["num_turns"]) == ("all done", TURNS + 1)
    assert content_of(path) == f"{TURNS - 1}\n"
    last = upstream.chats[-1].json["messages"]
    assert [m["tool_call_id"] for m in last if m["role"] == "tool"] == [f"call_{n}" for n in range(TURNS)]
    assert "Error" not in json.dumps([m for m in last if m["role"] == "tool"])
    await gateway.is_quiet()
    spent = (await gateway.http.get("/v1/providers")).json()["cost"]["daily_spend_usd"]
    billed = len(upstream.chats) * (usage[0] * PRICES["m"]["input"] + usage[1] * PRICES["m"]["output"]) / 1_000_000
    assert Decimal(str(spent)) == billed
    assert told["usage"]["input_tokens"] == usage[0] * (TURNS + 1)


async def test_an_overflow_leads_to_compaction_and_the_work_goes_on(claude, upstream, tmp_path):
    overflow = {"error": {"message": "maximum context length is 8192 tokens, you requested 10250 tokens"}}
    state = {"overflows": 0, "summaries": 0}
    path = str(tmp_path / "work" / "b.txt")

    async def play(request: Recorded, wire: Wire) -> None:
        text = json.dumps(request.json["messages"])
        if "summary of the conversation" in text.rpartition('"role": "user"')[2]:
            state["summaries"] += 1
            pieces = ["<summary>We wrote the file; all is done.</summary>"]
        elif state["summaries"]:
            pieces = ["after the summary"]
        elif '"role": "tool"' not in text:
            pieces = [call(1, "Write", file_path=path, content="x\n")]
        else:
            state["overflows"] += 1
            await wire.whole(400, json.dumps(overflow).encode())
            return
        await wire.head(200, {"content-type": "text/event-stream"})
        finish = "stop" if isinstance(pieces[0], str) else "tool_calls"
        for piece in pieces:
            await wire.send(sse(chunk(piece) if isinstance(piece, str) else piece))
        await wire.send(sse(chunk(finish=finish)) + sse("[DONE]"))
        await wire.end()

    upstream.play(play)
    told = await claude("write")
    assert state["overflows"] >= 1
    assert state["summaries"] == 1
    assert told["result"] == "after the summary"


async def test_a_router_that_fails_before_its_first_word_goes_unnoticed(installed, run_host, home, tmp_path):
    async with ScriptedRouter() as bad, ScriptedRouter() as good:
        bad.fail(503)
        path = str(tmp_path / "work" / "c.txt")
        good.stream([call(1, "Write", file_path=path, content="x\n")], finish="tool_calls")
        good.stream(["done"])
        environ = {"LLM_DEFAULT_MODEL": "bad/m", "LLM_FALLBACKS": "good/m"}
        async with serving(settings_for(home, environ=environ, bad=bad.url, good=good.url)) as gateway:
            done = await run_host(
                installed("@anthropic-ai/claude-code@2.1.332", "claude"),
                *("-p", "write", "--permission-mode", "acceptEdits", "--output-format", "json"),
                ANTHROPIC_BASE_URL=gateway.url,
                ANTHROPIC_AUTH_TOKEN="none",
                CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
                IS_SANDBOX="1",
            )
        assert json.loads(done.out)["result"] == "done"
        assert content_of(path) == "x\n"
        assert len(good.chats) == 2
        assert bad.chats
