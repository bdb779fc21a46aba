"""The six tools, by the SDK's own client in memory, in both protocol generations, against a scripted router."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest
from mcp import Client

from chomp_mcp.app import Chomp
from chomp_mcp.doors.caller import current_caller
from chomp_mcp.doors.mcp.server import build_server
from chomp_mcp.messages import Caller
from chomp_mcp.settings import Settings
from tests.support.mcp_doors import MODES, call, environment, partial, running, text_of
from tests.support.scripted import ScriptedRouter, completion

pytestmark = pytest.mark.anyio
GROQ_KEY = "gsk_abcdefghijklmnop4f2a"


async def test_all_tools_together_are_at_most_3000_bytes_for_the_model(client: Client) -> None:
    size = 0
    for tool in (await client.list_tools()).tools:
        told = tool.model_dump(by_alias=True, exclude_none=True)
        size += len(json.dumps({name: told[name] for name in ("name", "description", "inputSchema")}))
    assert size <= 3000


async def test_names_parameters_and_defaults_are_those_of_the_contract(client: Client) -> None:
    ask = {"prompt": ..., "model": "auto", "router": "auto", "system": "", "options": {}, "files": [], "save_to": ""}
    tools = (await client.list_tools()).tools
    assert {
        tool.name: {name: its.get("default", ...) for name, its in tool.input_schema["properties"].items()}
        for tool in tools
    } == {
        "ask": ask,
        "dispatch": ask,
        "result": {"job_id": ..., "wait_seconds": 0},
        "list_models": {"router": "auto", "query": "", "free_only": False, "needs": [], "limit": 50, "cursor": ""},
        "register_keys": {"router": "", "keys": {}, "openrouter_key": ""},
        "status": {},
    }


async def test_options_say_that_they_are_open(client: Client) -> None:
    for tool in (await client.list_tools()).tools[:2]:
        assert tool.input_schema["properties"]["options"]["additionalProperties"] is True


async def test_every_tool_says_what_it_changes_and_whom_it_reaches(client: Client) -> None:
    hints = {
        tool.name: (
            tool.annotations.read_only_hint,
            tool.annotations.destructive_hint,
            tool.annotations.idempotent_hint,
            tool.annotations.open_world_hint,
        )
        for tool in (await client.list_tools()).tools
        if tool.annotations
    }
    assert hints == {
        "ask": (False, False, False, True),
        "dispatch": (False, False, False, True),
        "result": (True, False, True, False),
        "list_models": (True, False, True, True),
        "register_keys": (False, True, True, False),
        "status": (True, False, True, False),
    }


async def test_ask_gives_the_answer_then_one_receipt_line(client: Client, upstream: ScriptedRouter) -> None:
    upstream.answer("four", usage=(7, 3))
    result = await client.call_tool("ask", {"prompt": "2+2?", "router": "lab"})
    (block,) = result.content
    assert block.type == "text"
    answer, blank, receipt = block.text.split("\n")
    assert (answer, blank) == ("four", "")
    assert receipt.startswith("lab/scripted-small · 7 in, 3 out · price unknown")
    told = result.structured_content or {}
    assert (told["status"], told["text"], told["job_id"]) == ("done", "four", "")
    assert told["receipt"]["served"] == "lab/scripted-small"
    assert [row["outcome"] for row in told["receipt"]["attempts"]] == ["ok"]
    assert told["receipt"]["usage"] == {"input_tokens": 7, "output_tokens": 3, "cached_tokens": 0}
    assert told["receipt"]["cost_usd"] is None


async def test_options_pass_to_the_router_untouched(client: Client, upstream: ScriptedRouter) -> None:
    history = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    options = {"temperature": 0.5, "seed": 7, "messages": history}
    await call(client, "ask", prompt="c", model="lab/scripted-large", system="Be brief.", options=options)
    sent = upstream.chats[-1].json
    assert (sent["model"], sent["temperature"], sent["seed"]) == ("scripted-large", 0.5, 7)
    assert sent["messages"] == [
        {"role": "system", "content": "Be brief."},
        *history,
        {"role": "user", "content": "c"},
    ]


async def test_progress_counts_the_characters_that_came(client: Client, upstream: ScriptedRouter) -> None:
    told_first = anyio.Event()
    upstream.stream(["Hello", told_first, " world"])
    seen: list[tuple[float, str | None]] = []

    async def progress(amount: float, total: float | None, message: str | None) -> None:
        assert total is None
        seen.append((amount, message))
        told_first.set()

    with anyio.fail_after(5):
        result = await client.call_tool("ask", {"prompt": "hi", "router": "lab"}, progress_callback=progress)
    assert text_of(result).startswith("Hello world")
    assert seen[0] == (5, "5 characters so far")


async def test_a_cancelled_call_hangs_up_on_the_router(client: Client, upstream: ScriptedRouter) -> None:
    upstream.hang(after=["Hel"])
    async with anyio.create_task_group() as group:
        group.start_soon(client.call_tool, "ask", {"prompt": "hi", "router": "lab"})
        await upstream.saw_request()
        group.cancel_scope.cancel()
    await upstream.saw_disconnect()


@pytest.mark.parametrize("mode", MODES)
async def test_at_the_deadline_ask_becomes_a_job_that_goes_on(
    tmp_path: Path, upstream: ScriptedRouter, mode: str
) -> None:
    rest = anyio.Event()
    upstream.stream(["Hello", rest, " world"])
    async with (
        running(tmp_path, upstream, CHOMP_DEADLINE_SECONDS="0.5") as chomp,
        Client(build_server(chomp), mode=mode) as client,
    ):
        result = await client.call_tool("ask", {"prompt": "hi", "router": "lab"})
        told = result.structured_content or {}
        assert not result.is_error
        assert len(result.content) == 1
        assert text_of(result).startswith(f"Still running as job {told['job_id']}. Call result(")
        assert (told["status"], told["receipt"]) == ("running", None)
        assert told["text"] in {"", "Hello"}  # what had come by then
        assert f'result(job_id="{told["job_id"]}"' in text_of(result)
        await partial(client, told["job_id"], "Hello")
        rest.set()
        whole = await call(client, "result", job_id=told["job_id"], wait_seconds=5)
        assert (whole["status"], whole["text"], whole["error"]) == ("done", "Hello world", None)
        assert whole["receipt"]["served"] == "lab/scripted-small"


async def test_a_dispatched_job_is_collected_later(client: Client, upstream: ScriptedRouter) -> None:
    asked_for = anyio.Event()
    upstream.stream([asked_for.wait, "in a ", "while"])
    job = await call(client, "dispatch", prompt="hi", model="lab/scripted-large")
    assert (job["status"], job["model"], job["router"]) == ("running", "lab/scripted-large", "lab")
    asked_for.set()
    collected = await call(client, "result", job_id=job["job_id"], wait_seconds=5)
    assert (collected["job_id"], collected["status"], collected["text"]) == (job["job_id"], "done", "in a while")


async def test_a_failed_job_keeps_its_text_and_says_why(client: Client, upstream: ScriptedRouter) -> None:
    upstream.cut(["Hel", "lo"])
    job = await call(client, "dispatch", prompt="hi", model="lab/scripted-large")
    result = await client.call_tool("result", {"job_id": job["job_id"], "wait_seconds": 5})
    told = result.structured_content or {}
    assert (told["status"], told["text"]) == ("error", "Hello")
    assert text_of(result).startswith(f"Job {job['job_id']} failed: {told['error']}")
    assert text_of(result).endswith(f"Its text so far, unfinished:\nHello\n\n(job {job['job_id']}: error)")
    assert len(result.content) == 1


@pytest.mark.parametrize("script", ["html", "empty", "garbage", "fail"])
async def test_a_router_that_talks_nonsense_is_named(client: Client, upstream: ScriptedRouter, script: str) -> None:
    getattr(upstream, script)()
    result = await client.call_tool("ask", {"prompt": "x", "model": "lab/scripted-small"})
    assert result.is_error
    assert "lab" in text_of(result)
    assert len(text_of(result)) < 1000
    await call(client, "status")


async def test_half_an_emoji_does_not_break_the_stream(client: Client, upstream: ScriptedRouter) -> None:
    event = json.dumps({"choices": [{"index": 0, "delta": {"content": "a\ud83d"}, "finish_reason": None}]})
    upstream.stream([f"data: {event}\n\n".encode()])
    told = await call(client, "ask", prompt="x", router="lab")
    assert told["text"] == "a\ufffd"


async def test_models_come_in_pages_and_a_router_that_fails_is_named(tmp_path: Path, upstream: ScriptedRouter) -> None:
    async with (
        ScriptedRouter() as broken,
        running(tmp_path, upstream, CHOMP_ROUTER_GROQ_URL=broken.url, GROQ_API_KEY=GROQ_KEY) as chomp,
        Client(build_server(chomp)) as client,
    ):
        broken.models({"error": "no list today"})
        first = await call(client, "list_models", limit=1)
        assert [row["id"] for row in first["models"]] == ["lab/scripted-small"]
        assert set(first["models"][0]) == {"id", "context_length", "max_output", "free", "price_in", "price_out"}
        assert list(first["errors"]) == ["groq"]
        rest = await client.call_tool("list_models", {"limit": 5, "cursor": first["next_cursor"]})
        told = rest.structured_content or {}
        assert [row["id"] for row in told["models"]] == ["lab/scripted-large"]
        assert told["next_cursor"] == ""
        assert "groq: " in text_of(rest)


async def test_a_model_has_the_price_that_its_receipt_would_have_and_a_quota_the_model_that_it_is_of(
    client: Client, chomp: Chomp, upstream: ScriptedRouter
) -> None:
    upstream.models(["openai/gpt-oss-120b", "nobody-knows-it"])
    upstream.headers = {"x-ratelimit-limit-requests": "1000", "x-ratelimit-remaining-requests": "999"}
    await chomp.register_keys({"groq": GROQ_KEY})
    listed = await client.call_tool("list_models", {"router": "groq"})
    known, unknown = (listed.structured_content or {})["models"]
    asked = await call(client, "ask", prompt="hi", model="groq/openai/gpt-oss-120b", options={"max_tokens": 3})
    assert float(asked["receipt"]["cost_usd"]) == pytest.approx((known["price_in"] * 7 + known["price_out"] * 3) / 1e6)
    assert unknown["price_in"] is None
    assert f"${known['price_in']} in, ${known['price_out']} out per million" in text_of(listed)
    await call(client, "ask", prompt="hi", model="groq/nobody-knows-it")
    told = text_of(await client.call_tool("status", {}))
    for model in ("openai/gpt-oss-120b", "nobody-knows-it"):
        assert f"{model}: 999 requests left a day (headers)" in told


async def test_given_keys_are_stored_and_answered_with_masked_previews(
    client: Client, chomp: Chomp, upstream: ScriptedRouter
) -> None:
    result = await client.call_tool("register_keys", {"keys": {"groq": GROQ_KEY}})
    assert (result.structured_content or {})["routers"] == {"groq": "gsk_…4f2a"}
    assert GROQ_KEY not in result.model_dump_json()
    await call(client, "ask", prompt="hi", model="groq/scripted-small")
    assert upstream.chats[-1].key == GROQ_KEY
    removed = await call(client, "register_keys", keys={"groq": ""})
    assert removed["routers"] == {}


async def test_the_old_form_of_a_key_still_works(client: Client) -> None:
    told = await call(client, "register_keys", openrouter_key="sk-or-v1-0123456789")
    assert told["routers"] == {"openrouter": "sk-o…6789"}


async def test_a_read_only_home_is_told_and_nothing_else_breaks(tmp_path: Path, upstream: ScriptedRouter) -> None:
    async with running(tmp_path / "a", upstream) as _:
        settings = environment(tmp_path / "a", upstream)
    settings["CHOMP_HOME"] = str(tmp_path / "file" / "home")
    from chomp_mcp.settings import Settings

    loaded = Settings.load(settings)
    (tmp_path / "file").write_text("not a folder, from now on")
    async with Chomp(loaded) as chomp, Client(build_server(chomp)) as client:
        result = await client.call_tool("register_keys", {"keys": {"groq": GROQ_KEY}})
        assert result.is_error
        assert "CHOMP_HOME" in text_of(result)
        assert GROQ_KEY not in text_of(result)


async def test_status_tells_keys_spend_and_jobs(client: Client, chomp: Chomp) -> None:
    await chomp.register_keys({"groq": GROQ_KEY})
    job = await call(client, "dispatch", prompt="hi", router="lab")
    await call(client, "result", job_id=job["job_id"], wait_seconds=5)
    result = await client.call_tool("status", {})
    told = result.structured_content or {}
    assert told["routers"]["groq"]["key"] is True
    assert told["routers"]["zen"]["key"] is False
    assert told["spend"]["daily_budget_usd"] == "50"
    assert [row["job_id"] for row in told["jobs"]] == [job["job_id"]]
    assert "groq: ready" in text_of(result)
    assert "No key: zen" in text_of(result)
    assert "Spent today $0 of $50, this month $0 of $500." in text_of(result)


async def test_the_instructions_stay_short(client: Client) -> None:
    assert client.instructions
    assert len(client.instructions) <= 300
    assert client.server_info
    assert client.server_info.name == "chomp"


async def test_an_answer_of_tool_calls_alone_is_told_as_json(client: Client, upstream: ScriptedRouter) -> None:
    calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    upstream.reply(200, completion("", tool_calls=calls))
    told = await call(client, "ask", prompt="x", router="lab")
    assert json.loads(told["text"])["tool_calls"][0]["function"]["name"] == "f"


async def test_whoever_is_not_the_owner_is_not_told_where_the_store_lies(home: Path) -> None:
    (home / "state.db").mkdir(parents=True)
    before = current_caller.set(Caller("a-guest"))
    try:
        async with Chomp(Settings.load()) as chomp, Client(build_server(chomp)) as guest:
            refused = await guest.call_tool("dispatch", {"prompt": "hi", "model": "mock/echo"})
    finally:
        current_caller.reset(before)
    async with Chomp(Settings.load()) as chomp, Client(build_server(chomp)) as owner:
        told = await owner.call_tool("dispatch", {"prompt": "hi", "model": "mock/echo"})

    assert (refused.is_error, told.is_error) == (True, True)
    assert str(home) in text_of(told)
    assert str(home) not in text_of(refused)
    assert "whoever runs the gateway finds more in its log" in text_of(refused)
