"""Every setting changes what a door does, wherever it stands; a wrong one stops the start and is named."""

from __future__ import annotations

import json
import re
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import anyio
import httpx2
import pytest

from chomp_mcp import settings
from chomp_mcp.app import Chomp
from chomp_mcp.errors import InvalidSetting
from chomp_mcp.messages import OWNER, ChatRequest, JobStatus
from chomp_mcp.routers import catalog
from chomp_mcp.settings import Settings
from tests.behaviour.bed import HELLO, Bed
from tests.behaviour.other_process import ROOT, needed
from tests.support.gemini_answers import content

pytestmark = pytest.mark.anyio

PRICED = "groq/openai/gpt-oss-120b"


@dataclass(frozen=True)
class Case:
    """`works` sees through a door that the setting is `value`, and neither its default nor `other`."""

    value: str
    other: str
    works: Callable[[Bed, str], Awaitable[None]]
    wrong: tuple[str, ...]
    starts: tuple[str, ...] = ()
    """What must refuse a wrong value; by default the stdio server."""
    places: tuple[str, ...] = ("config.toml", "both")
    """Both: the variable wins over the file, which has `other`."""
    needs_redis: bool = False
    """It says something of a shared store alone."""


# What each of them does.


async def asks_the_provider_first(bed: Bed, _value: str) -> None:
    assert (await bed.chat("auto")).headers["x-chomp-router"] == "cerebras"
    assert (await bed.chat("auto", LLM_PROVIDER="auto")).headers["x-chomp-router"] == "groq"


async def asks_the_default_model(bed: Bed, value: str) -> None:
    answer = await bed.chat("")
    assert f"{answer.headers['x-chomp-router']}/{answer.headers['x-chomp-model']}" == value
    assert (await bed.chat("groq/m")).headers["x-chomp-router"] == "groq"


async def stands_in_for_claude(bed: Bed, value: str) -> None:
    body = {"model": "claude-opus-5-5", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    async with bed.http() as served:
        answer = await served.http.post("/v1/messages", json=body)
    assert f"{answer.headers['x-chomp-router']}/{answer.headers['x-chomp-model']}" == value
    assert (await bed.chat("claude-opus-5-5")).status_code == 404, "the OpenAI API takes names as they are"


async def falls_back(bed: Bed, _value: str) -> None:
    bed.one.fail(500)
    default = {"LLM_DEFAULT_MODEL": "groq/m"}
    answer = await bed.chat("", **default)
    assert (answer.headers["x-chomp-router"], answer.headers["x-chomp-model"]) == ("cerebras", "reserve")
    assert (await bed.chat("groq/m", **default)).status_code == 502, "a named router is a promise"


async def binds_the_host(bed: Bed, value: str) -> None:
    async with bed.served("--port", "0") as (_, line):
        assert line.startswith(f"chomp-mcp serves http://{value}:")


async def binds_the_port(bed: Bed, value: str) -> None:
    async with bed.served() as (_, line), httpx2.AsyncClient() as http:
        assert line.endswith(f":{value}")
        assert (await http.get(f"http://127.0.0.1:{value}/healthz")).status_code == 200


async def serves_with_processes(bed: Bed, _value: str) -> None:
    async with bed.served("--port", "0") as (_, line), httpx2.AsyncClient(timeout=60) as http:
        sessions = await http.get(f"{line.split()[-1]}/sse")
        assert sessions.status_code == 501, "only one process has sessions"


async def asks_for_the_token(bed: Bed, value: str) -> None:
    async with bed.http() as served:
        for token, status in {"": 401, "something else": 401, value: 200}.items():
            headers = {"authorization": f"Bearer {token}"} if token else {}
            answer = await served.http.get("/v1/providers", headers=headers)
            assert answer.status_code == status


async def limits_the_rate(bed: Bed, _value: str) -> None:
    answer = await bed.chat("groq/m", "groq/m", GATEWAY_RATE_BURST="1")
    assert answer.status_code == 429
    assert 900 < int(answer.headers["retry-after"]) <= 1000


async def lets_a_burst_pass(bed: Bed, _value: str) -> None:
    slow = {"GATEWAY_RATE_RPS": "0.001"}
    assert (await bed.chat("groq/m", "groq/m", **slow)).status_code == 200
    assert (await bed.chat("groq/m", "groq/m", "groq/m", **slow)).status_code == 429


async def keeps_the_budget(bed: Bed, window: str) -> None:
    bed.one.answer(usage=(1_000_000, 500_000))
    answer = await bed.chat(PRICED, PRICED)
    assert answer.status_code == 429
    assert f"budget for the {window}" in answer.text


async def keeps_the_daily_budget(bed: Bed, _value: str) -> None:
    await keeps_the_budget(bed, "day")


async def keeps_the_monthly_budget(bed: Bed, _value: str) -> None:
    await keeps_the_budget(bed, "month")


async def opens_the_breaker(bed: Bed, _value: str) -> None:
    bed.one.fail(500)
    assert (await bed.chat("groq/m")).status_code == 502
    assert (await bed.chat("groq/m")).status_code == 502
    assert (await bed.chat("groq/m")).status_code == 503
    assert len(bed.one.chats) == 4


async def keeps_the_breaker_open(bed: Bed, value: str) -> None:
    bed.one.fail(500)
    answer = await bed.chat("groq/m", "groq/m", CIRCUIT_FAILURE_THRESHOLD="1")
    assert answer.status_code == 503
    told = re.search(r"Try again in (\d+) s,", answer.text)
    assert told
    assert int(value) - 10_000 < 1000 * int(told[1]) <= int(value)


async def lets_a_page_read(bed: Bed, value: str) -> None:
    async with bed.http() as served:
        for origin, status in {value: 200, "https://evil.example": 403}.items():
            answer = await served.http.get("/healthz", headers={"origin": origin})
            assert answer.status_code == status
            allowed = answer.headers.get("access-control-allow-origin")
            assert allowed == (origin if status == 200 else None)


async def keeps_everything_in_redis(bed: Bed, _value: str) -> None:
    refused = await bed.run("dispatch", "hi", "-m", "groq/m")
    assert refused.returncode == 2
    assert "export CHOMP_MASTER_KEY=" in refused.stderr, "the command that makes one"
    bed.env["CHOMP_MASTER_KEY"] = "a-master-key-for-a-test"
    done = await bed.run("dispatch", "hi", "-m", "groq/m")
    assert done.returncode == 0, done.stderr
    waited = await bed.run("result", done.stdout.strip(), "--wait", "20")
    assert waited.stdout == "hello\n"
    assert not (bed.home / "state.db").exists()


async def asks_no_job_again(bed: Bed, _value: str) -> None:
    bed.one.hang(after=["so far"])
    async with bed.http() as served:
        job = (await served.http.post("/api/dispatch", json={"prompt": "hi", "model": "groq/m"})).json()
        with anyio.fail_after(10):
            await bed.one.saw_request()
    async with bed.http() as served:
        told = (await served.http.get(f"/api/result/{job['id']}")).json()
    assert told["status"] == "error"
    assert "stopped" in told["error"]
    assert len(bed.one.chats) == 1


async def takes_over_soon(bed: Bed, _value: str) -> None:
    async with Chomp(Settings.load(bed.env)) as chomp:
        job = await chomp.jobs.enqueue(OWNER, ChatRequest.from_prompt("hi", model="groq/m"), prompt="hi")
        left = replace(job, status=JobStatus.RUNNING, process="of-a-replica-that-died", starts=1)
        await chomp.jobs.store.save(left)
    async with bed.http() as served:
        told = (await served.http.get(f"/api/result/{job.id}?wait=8")).json()
    assert (told["status"], told["result"]) == ("done", "hello")


async def keeps_secrets_here(bed: Bed, _value: str) -> None:
    done = await bed.run("ask", "AKIAIOSFODNN7EXAMPLE", "-m", "groq/m")
    assert (done.returncode, bed.one.chats) == (2, [])
    assert "an AWS access key (sha256:" in done.stderr


async def seals_router_keys(bed: Bed, value: str) -> None:
    async with Chomp(Settings.load(bed.env)) as chomp:
        await chomp.register_keys({"openrouter": "sk-or-0123456789"})
        assert (await chomp.status())["keys"]["master_key"] == "CHOMP_MASTER_KEY"
    assert "sk-or" not in (bed.home / "keys.json").read_text()
    del bed.env["CHOMP_MASTER_KEY"]
    told = await bed.run("keys")
    assert (told.returncode, "CHOMP_MASTER_KEY" in told.stderr) == (5, True)


async def makes_a_job_of_a_slow_answer(bed: Bed, _value: str) -> None:
    bed.one.hang(after=["so far"])
    async with bed.mcp() as client:
        with anyio.fail_after(20):
            asked = await client.call_tool("ask", {"prompt": "hi", "model": "groq/m"})
        assert asked.structured_content
        assert asked.structured_content["status"] == "running"


async def gives_a_silent_router_up(bed: Bed, _value: str) -> None:
    bed.one.hang()
    with anyio.fail_after(10):
        assert (await bed.chat("groq/m")).status_code == 504


async def logs_nothing(bed: Bed, _value: str) -> None:
    assert '"event":"exchange"' not in await logged_by_serve(bed)
    assert '"event":"exchange"' in await logged_by_serve(bed, CHOMP_LOG="info")
    assert '"event":"exchange"' in await logged_by_stdio(bed, CHOMP_LOG="info")
    assert '"event":"exchange"' not in await logged_by_stdio(bed)


async def logged_by_serve(bed: Bed, **env: str) -> str:
    async with bed.served("--port", "0", **env) as (process, line), httpx2.AsyncClient() as http:
        url = line.rpartition(" ")[2]
        await http.post(f"{url}/v1/chat/completions", json={"model": "groq/m", "messages": HELLO})
        process.send_signal(signal.SIGTERM)
        assert process.stderr
        return b"".join([chunk async for chunk in process.stderr]).decode()


CALLS = [
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        },
    },
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
    {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "ask", "arguments": {"prompt": "hi"}}},
]


async def logged_by_stdio(bed: Bed, **env: str) -> str:
    line = [sys.executable, "-m", "chomp_mcp"]
    async with await anyio.open_process(line, cwd=ROOT, env={**needed(), **bed.env, **env}) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        await process.stdin.send("".join(json.dumps(call) + "\n" for call in CALLS).encode())
        said = b""
        with anyio.fail_after(20):
            while b'"id":2' not in said.replace(b" ", b""):
                said += await process.stdout.receive()
        await process.stdin.aclose()
        return b"".join([chunk async for chunk in process.stderr]).decode()


async def allows_files_of_the_folder(bed: Bed, value: str) -> None:
    (Path(value) / "a-file").write_text("its words")
    done = await bed.run("ask", "hi", "-m", "groq/m", "-a", f"{value}/a-file")
    assert done.returncode == 0, done.stderr
    assert "its words" in bed.one.chats[-1].json["messages"][-1]["content"]
    assert (await bed.run("ask", "hi", "-m", "groq/m", "-a", __file__)).returncode == 2


async def lets_strangers_register(bed: Bed, _value: str) -> None:
    open_to_all = {"GATEWAY_HOST": "0.0.0.0", "GATEWAY_AUTH_TOKEN": "s3cret-s3cret-s3cret"}
    assert (await registered(bed, **open_to_all)) == 200
    assert (await registered(bed, **open_to_all, CHOMP_OPEN_REGISTRATION="0")) == 403


async def registered(bed: Bed, **env: str) -> int:
    async with bed.http(**env) as served:
        return (await served.http.post("/api/keys", json={"keys": {"groq": "a-key-of-theirs"}})).status_code


async def spends_little_while_redis_is_away(bed: Bed, _value: str) -> None:
    away = {"CHOMP_STORE": "redis://127.0.0.1:1/0"}
    answer = await bed.chat("groq/openai/gpt-oss-120b", **away)
    assert answer.status_code == 503
    assert "CHOMP_AWAY_BUDGET_USD" in answer.text
    assert (await bed.chat("groq/openai/gpt-oss-120b", **away, CHOMP_AWAY_BUDGET_USD="9")).status_code == 200


async def keeps_mcp_sessions(bed: Bed, _value: str) -> None:
    accept = {"accept": "application/json, text/event-stream"}
    async with bed.http() as served:
        assert "mcp-session-id" in (await served.http.post("/mcp", json=CALLS[0], headers=accept)).headers
    async with bed.http(CHOMP_MCP_SESSIONS="0") as served:
        assert "mcp-session-id" not in (await served.http.post("/mcp", json=CALLS[0], headers=accept)).headers


async def keeps_what_was_asked(bed: Bed, _value: str) -> None:
    for env, is_shown in (({}, True), ({"CHOMP_KEEP_BODIES": "0"}, False)):
        async with bed.http(**env) as served:
            await served.chat(model="mock/echo", messages=[{"role": "user", "content": "sesame"}])
            await served.is_quiet()
            assert ("sesame" in (await served.http.get("/")).text) == is_shown


async def serves_that_host(bed: Bed, value: str) -> None:
    async with bed.http() as served:
        assert (await served.http.get("/healthz", headers={"host": f"{value}:8080"})).status_code == 200
        assert (await served.http.get("/healthz", headers={"host": "elsewhere.example"})).status_code == 421


async def serves_so_many_at_once(bed: Bed, _value: str) -> None:
    bed.one.hang()
    async with bed.http() as served, anyio.create_task_group() as group:
        group.start_soon(lambda: served.chat(model="groq/m"))
        await bed.one.saw_request()
        assert (await served.chat(model="groq/m")).status_code == 503
        group.cancel_scope.cancel()


async def serves_one_caller_so_many_at_once(bed: Bed, _value: str) -> None:
    bed.one.hang()
    async with bed.http() as served, anyio.create_task_group() as group:
        token = (await served.http.post("/api/keys", json={"keys": {"groq": "gsk_" + "a1" * 26}})).json()["token"]
        theirs = {"authorization": f"Bearer {token}"}
        ask = {"model": "groq/m", "messages": [{"role": "user", "content": "hi"}]}
        group.start_soon(lambda: served.http.post("/v1/chat/completions", json=ask, headers=theirs))
        await bed.one.saw_request()
        refused = await served.http.post("/v1/chat/completions", json=ask, headers=theirs)
        assert refused.status_code == 503
        assert "CHOMP_MAX_CALLER_REQUESTS" in refused.text
        assert (await served.chat(model="mock/echo")).status_code == 200
        group.cancel_scope.cancel()


async def holds_so_many_bytes(bed: Bed, _value: str) -> None:
    async with bed.http() as served:
        assert (await served.chat(model="mock/echo", user="x" * 2000)).status_code == 503
        assert (await served.chat(model="mock/echo")).status_code == 200


async def lives_in_the_home(bed: Bed, value: str) -> None:
    done = await bed.run("ask", "hi", "-m", "groq/m")
    assert done.returncode == 0, done.stderr
    assert (Path(value) / "state.db").exists()
    assert not (bed.home / "state.db").exists()


async def reaches_ollama(bed: Bed, _value: str) -> None:
    done = await bed.run("ask", "hi", "-m", "ollama/llama")
    assert (done.stdout, done.returncode) == ("hello\n", 0), done.stderr
    assert bed.two.chats[0].path == "/v1/chat/completions"


async def reaches_the_cursor_adapter(bed: Bed, _value: str) -> None:
    bed.two.on(path="/v1/complete").reply(200, {"status": "completed", "content": "from cursor"})
    done = await bed.run("ask", "hi", "-m", "cursor/auto", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["text"] == "from cursor"


async def reaches_the_router_there(bed: Bed, _value: str) -> None:
    assert (await bed.chat("groq/m")).status_code == 200
    assert (len(bed.one.chats), len(bed.two.chats)) == (0, 1)


TABLE = {
    "LLM_PROVIDER": Case("cerebras", "groq", asks_the_provider_first, ("cerebas", "groq/m")),
    "LLM_DEFAULT_MODEL": Case("cerebras/named", "groq/m", asks_the_default_model, ("groq/", "two words", "/m")),
    "LLM_FALLBACKS": Case("cerebras/reserve, mock", "mock", falls_back, ("cerebas", "groq,,nosuch/m", "groq/")),
    "CHOMP_AGENT_MODEL": Case("cerebras/named", "groq/m", stands_in_for_claude, ("groq/", "two words", "/m")),
    "GATEWAY_HOST": Case(
        "localhost", "127.0.0.1", binds_the_host, ("no-such-host.invalid", "0.0.0.0", "256.1.1.1"), starts=("serve",)
    ),
    "GATEWAY_PORT": Case("{free_port}", "0", binds_the_port, ("70000", "-1", "http", "80.5")),
    "GATEWAY_WORKERS": Case("2", "1", serves_with_processes, ("0", "-1", "65", "two", "1.5"), places=("both",)),
    "GATEWAY_AUTH_TOKEN": Case("s3cret-token", "another", asks_for_the_token, ("s3cret words", "s3crét")),
    "GATEWAY_RATE_RPS": Case("0.001", "0", limits_the_rate, ("-1", "many", "nan", "inf")),
    "GATEWAY_RATE_BURST": Case("2", "9", lets_a_burst_pass, ("-1", "1.5", "many", "9" * 400)),
    "LLM_DAILY_BUDGET_USD": Case("0.10", "0", keeps_the_daily_budget, ("-1", "$5", "nan", "inf", "1e999999")),
    "LLM_MONTHLY_BUDGET_USD": Case("0.10", "0", keeps_the_monthly_budget, ("-1", "5 dollars", "inf")),
    "CIRCUIT_FAILURE_THRESHOLD": Case("2", "9", opens_the_breaker, ("0", "-1", "two", "1.5")),
    "CIRCUIT_RESET_TIME_MS": Case("120000", "1000", keeps_the_breaker_open, ("0", "1m", "0.5", "9" * 400)),
    "CORS_ALLOWED_ORIGINS": Case(
        "https://app.example", "https://other.example", lets_a_page_read, ("app.example", "https://a.example/path")
    ),
    "CHOMP_STORE": Case(
        "{redis}",
        "redis://127.0.0.1:1/0",
        keeps_everything_in_redis,
        (
            "local",
            "http://s3cret@host",
            "redis://s3cret@host:port",
            "redis://s3cret@host/a",
            "redis://h/?timeout=s3cret",
        ),
    ),
    "CHOMP_AWAY_BUDGET_USD": Case(
        "0.0000001", "9", spends_little_while_redis_is_away, ("-1", "nothing", "nan"), needs_redis=True
    ),
    "CHOMP_MCP_SESSIONS": Case("1", "0", keeps_mcp_sessions, ("maybe", "2"), needs_redis=True),
    "CHOMP_KEEP_BODIES": Case("1", "0", keeps_what_was_asked, ("maybe", "2")),
    "CHOMP_SECRETS": Case("block", "off", keeps_secrets_here, ("maybe", "2")),
    "CHOMP_MASTER_KEY": Case(
        "a-master-key-for-a-test",
        "another-key-for-a-test",
        seals_router_keys,
        ("s3cr", "$s3cret_master_key", "<s3cret-master-key>"),
        places=("environment",),
    ),
    "CHOMP_FILES": Case(
        "{folder}",
        str(ROOT),
        allows_files_of_the_folder,
        ("{folder}/a-file", "{folder}/nowhere", "work", "~no-such-user"),
    ),
    "CHOMP_DEADLINE_SECONDS": Case("0.3", "60", makes_a_job_of_a_slow_answer, ("0", "-1", "soon", "nan")),
    "CHOMP_JOB_RETRIES": Case("0", "1", asks_no_job_again, ("-1", "1.5", "many"), needs_redis=True),
    "CHOMP_JOB_TAKEOVER_SECONDS": Case("0.5", "60", takes_over_soon, ("0", "-1", "soon"), needs_redis=True),
    "CHOMP_UPSTREAM_TIMEOUT_SECONDS": Case("0.3", "60", gives_a_silent_router_up, ("0", "-1", "late", "inf")),
    "CHOMP_LOG": Case("off", "debug", logs_nothing, ("loud", "2")),
    "CHOMP_OPEN_REGISTRATION": Case("1", "0", lets_strangers_register, ("maybe", "2")),
    "CHOMP_ALLOWED_HOSTS": Case("box.example", "other.example", serves_that_host, ("two words", "exa$mple", "http://")),
    "CHOMP_MAX_REQUESTS": Case("1", "9", serves_so_many_at_once, ("0", "-1", "many", "1.5")),
    "CHOMP_MAX_CALLER_REQUESTS": Case("1", "9", serves_one_caller_so_many_at_once, ("-1", "many", "1.5")),
    "CHOMP_MAX_REQUEST_BYTES": Case("1000", "100000", holds_so_many_bytes, ("0", "-1", "1 MiB")),
    "CHOMP_HOME": Case(
        "{folder}/new/home",
        "",
        lives_in_the_home,
        ("{folder}/a-file", "{folder}/a-file/below", "~no-such-user/home"),
        places=("environment",),
    ),
    "OLLAMA_BASE_URL": Case("{two.base}", "{one.base}", reaches_ollama, ("ftp://host", "http://", "http://host:port")),
    "CURSOR_ADAPTER_URL": Case(
        "{two.base}", "{one.base}", reaches_the_cursor_adapter, ("ftp://host", "http://", "http://host:port")
    ),
    "CHOMP_ROUTER_GROQ_URL": Case("{two.url}", "{one.url}", reaches_the_router_there, ("ftp://host", "http://", "a b")),
}
"""Every variable but the keys'; `{…}` are facts of the bed."""

KEYED = {router.id: router for router in catalog.load(Settings(Path("home"))).values() if router.key_variable}
CONTRACT = {"CHOMP_HOME", "CHOMP_MASTER_KEY", "OLLAMA_BASE_URL", "CURSOR_ADAPTER_URL", "CHOMP_ROUTER_GROQ_URL"}
"""Variables that are no settings of their own: where all others are, and the catalog's URLs."""


def facts(bed: Bed, request: pytest.FixtureRequest, text: str) -> str:
    """The text with the bed's facts filled in, made only where it names them."""
    if "{" not in text:
        return text
    folder = bed.home.parent
    (folder / "a-file").touch()
    redis = request.getfixturevalue("redis_url") if "{redis}" in text else ""
    return text.format(one=bed.one, two=bed.two, folder=folder, redis=redis, free_port=free_port())


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def test_the_table_covers_every_setting_and_the_docs_tell_them() -> None:
    assert set(TABLE) == set(settings._SETTINGS) | CONTRACT, "each setting has a Case in TABLE: what a door does by it"
    assert "docs/settings.md" in (ROOT / "README.md").read_text(encoding="utf-8")
    pages = (ROOT / "docs" / "settings.md", ROOT / "docs" / "keys.md")
    told = "".join(page.read_text(encoding="utf-8") for page in pages).replace("<ID>", "GROQ")
    names = [*TABLE, *(router.key_variable for router in KEYED.values())]
    assert not [name for name in names if f"`{name}`" not in told]


@pytest.mark.parametrize(("name", "place"), [(name, place) for name, case in TABLE.items() for place in case.places])
async def test_every_setting_changes_what_a_door_does_and_the_environment_wins(
    bed: Bed, request: pytest.FixtureRequest, name: str, place: str
) -> None:
    case = TABLE[name]
    if case.needs_redis:
        store = request.getfixturevalue("redis_url")
        bed.env |= {"CHOMP_STORE": store, "CHOMP_MASTER_KEY": "a-master-key-for-a-test"}
    value = facts(bed, request, case.value)
    bed.put(place, name, value, facts(bed, request, case.other))
    await case.works(bed, value)


def refused(bed: Bed, **env: str) -> str:
    """What the start says of a wrong setting, without a process."""
    with pytest.raises(InvalidSetting) as caught:
        Chomp(Settings.load({**bed.env, **env}))
    assert caught.value.hint
    assert "s3cr" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", TABLE)
async def test_a_wrong_value_stops_the_start_with_an_error_that_names_the_variable(
    bed: Bed, request: pytest.FixtureRequest, name: str
) -> None:
    case = TABLE[name]
    first, *others = [facts(bed, request, wrong) for wrong in case.wrong]
    for value in (first, *others) if case.starts else (first,):
        done = await bed.run(*case.starts, **{name: value})
        assert (done.returncode, done.stdout) == (2, "")
        assert re.fullmatch(r"chomp-mcp: .+[^.]\. .+\.\n", done.stderr), "a message, then the next step"
        assert name in done.stderr
        assert "s3cr" not in done.stderr
    for value in () if case.starts else others:
        assert name in refused(bed, **{name: value})
    if case.places != ("environment",) and not case.starts:
        for value in (first, *others):
            bed.put("config.toml", name, value, "")
            assert name in refused(bed)


@pytest.mark.parametrize("command", [(), ("serve",), ("ask", "hi"), ("status",), ("models",), ("jobs",), ("doctor",)])
async def test_every_command_refuses_a_wrong_setting(bed: Bed, command: tuple[str, ...]) -> None:
    done = await bed.run(*command, LLM_DAILY_BUDGET_USD="five")
    assert done.returncode == 2
    assert "LLM_DAILY_BUDGET_USD" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


async def test_an_empty_variable_is_no_setting(bed: Bed) -> None:
    empty = dict.fromkeys([name for name in TABLE if name not in CONTRACT], "")
    assert (await bed.chat("auto", **empty)).headers["x-chomp-router"] == "groq"


async def test_a_bare_host_and_port_works_for_ollama(bed: Bed) -> None:
    bed.env["OLLAMA_BASE_URL"] = bed.two.base.removeprefix("http://")
    await reaches_ollama(bed, "")


async def test_a_url_for_a_router_that_is_not_there_is_named(bed: Bed) -> None:
    done = await bed.run(CHOMP_ROUTER_NOSUCH_URL="http://127.0.0.1:1")
    assert (done.returncode, done.stdout) == (2, "")
    assert "CHOMP_ROUTER_NOSUCH_URL" in done.stderr


# Keys.


@pytest.mark.parametrize("router", KEYED)
async def test_every_routers_key_is_read_from_its_variable_and_one_in_the_store_wins(bed: Bed, router: str) -> None:
    variable = KEYED[router].key_variable
    bed.env.pop(variable, None)
    bed.env[f"CHOMP_ROUTER_{router.upper()}_URL"] = bed.one.url
    if router == "anthropic":
        bed.one.reply(200, ANTHROPIC)
    if router == "gemini":
        bed.one.reply(200, content("hello"))
    answer = await bed.chat(f"{router}/m")
    assert answer.status_code == 401
    assert variable in answer.text
    bed.env[variable] = "from-the-environment"
    assert (await bed.chat(f"{router}/m")).status_code == 200
    async with bed.http() as served:
        await served.chomp.register_keys({router: "from-the-store"})
    assert (await bed.chat(f"{router}/m")).status_code == 200
    assert [sent.key for sent in bed.one.chats] == ["from-the-environment", "from-the-store"]


ANTHROPIC = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [{"type": "text", "text": "hello"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 7, "output_tokens": 3},
}


@pytest.mark.parametrize("router", KEYED)
async def test_a_wrong_key_stops_the_start_with_an_error_that_names_the_variable_never_the_key(
    bed: Bed, router: str
) -> None:
    variable = KEYED[router].key_variable
    done = await bed.run(**{variable: "s3cret words"})
    assert (done.returncode, done.stdout) == (2, "")
    assert variable in done.stderr
    assert "s3cr" not in done.stderr
    for wrong in ("s3crét", "fine,s3cr\tet"):
        assert variable in refused(bed, **{variable: wrong})
    bed.write(f'{variable} = "s3cret"\n')
    told = refused(bed)
    assert variable in told
    assert "chomp-mcp keys add" in told


# config.toml.

LAB = """
LLM_FALLBACKS = ["lab", "groq/m"]
LLM_DAILY_BUDGET_USD = 5

[routers.lab]
url = "{two.url}"
name = "The Lab"
key = "LAB_API_KEY"
models = ["gone", "preferred", "m"]
headers = {{ X-Team = "a" }}
max_tokens = "max_completion_tokens"
drop = ["seed"]
"""


async def test_a_users_own_router_works_at_every_door(bed: Bed) -> None:
    bed.two.models(["m", "preferred"])
    bed.write(LAB.format(two=bed.two))
    answer = await bed.chat("lab/m")
    assert answer.status_code == 401
    assert "LAB_API_KEY" in answer.text
    bed.env["LAB_API_KEY"] = "key-of-the-lab"
    answer = await bed.chat("auto")
    assert (answer.headers["x-chomp-router"], answer.headers["x-chomp-model"]) == ("lab", "preferred")
    sent = bed.two.chats[-1]
    assert (sent.key, sent.headers["x-team"]) == ("key-of-the-lab", "a")
    async with bed.mcp() as client:
        asked = await client.call_tool(
            "ask", {"prompt": "hi", "model": "lab/any/thing:at-all", "options": {"max_tokens": 5, "seed": 1}}
        )
        assert asked.structured_content
        assert asked.structured_content["receipt"]["served"] == "lab/any/thing:at-all"
    assert bed.two.chats[-1].json["max_completion_tokens"] == 5
    assert "seed" not in bed.two.chats[-1].json
    listed = await bed.run("models", "lab", "--json")
    assert [model["id"] for model in json.loads(listed.stdout)["models"]] == ["lab/m", "lab/preferred"]
    told = json.loads((await bed.run("status", "--json")).stdout)
    assert (told["routers"]["lab"]["name"], told["routers"]["lab"]["key"]) == ("The Lab", True)
    assert told["spend"]["daily_budget_usd"] == "5"


async def test_a_url_is_all_that_a_row_needs(bed: Bed) -> None:
    bed.write(f'[routers.my-lab_2]\nurl = "{bed.two.url}"\n')
    assert (await bed.chat("my-lab_2/m")).status_code == 200
    assert bed.two.chats[0].key == ""
    bed.env["CHOMP_ROUTER_MY_LAB_2_URL"] = bed.one.url
    assert (await bed.chat("my-lab_2/m")).status_code == 200
    assert len(bed.one.chats) == 1


async def test_a_row_for_a_built_in_router_changes_only_what_it_names(bed: Bed) -> None:
    bed.one.models(["m", "openai/gpt-oss-120b"])
    bed.write('[routers.groq]\nmodels = ["m"]\n')
    assert (await bed.chat("groq/auto")).headers["x-chomp-model"] == "m"
    assert bed.one.chats[0].key == "key-groq"


WRONG_ROWS = {
    '[routers.lab]\nname = "Lab"\n': ("lab", "url"),
    '[routers.lab]\nurl = "ftp://host"\n': ("lab", "url"),
    '[routers.lab]\nurl = "http://user:s3cret@host/v1"\n': ("lab", "url"),
    '[routers.lab]\nurl = "http://host/v1"\ncolour = "red"\n': ("lab", "colour"),
    '[routers.lab]\nurl = "http://host/v1"\ndialect = "klingon"\n': ("lab", "dialect"),
    '[routers.lab]\nurl = "http://host/v1"\nkey = "sk-s3cret"\n': ("lab", "key"),
    '[routers.lab]\nurl = "http://host/v1"\nmodels = "one"\n': ("lab", "models"),
    '[routers.lab]\nurl = "http://host/v1"\nheaders = ["a"]\n': ("lab", "headers"),
    '[routers.lab]\nurl = "http://host/v1"\nfree = "yes"\n': ("lab", "free"),
    "[routers.groq]\nurl = 5\n": ("groq", "url"),
    '[routers.auto]\nurl = "http://host/v1"\n': ("auto", "id"),
    '[routers."My Lab"]\nurl = "http://host/v1"\n': ("My Lab", "id"),
    '[routers]\nlab = "http://host/v1"\n': ("lab", "table"),
    'routers = "lab"\n': ("routers", "config.toml"),
    'LLM_PROVIDERS = "groq"\n': ("LLM_PROVIDERS", "config.toml"),
    "LLM_PROVIDER = { a = 1 }\n": ("LLM_PROVIDER", "config.toml"),
    "LLM_PROVIDER = \n": ("config.toml", "TOML"),
}


@pytest.mark.parametrize(("config", "named"), WRONG_ROWS.items())
async def test_a_wrong_row_is_an_error_that_names_row_and_field(bed: Bed, config: str, named: tuple[str, str]) -> None:
    bed.write(config)
    done = await bed.run()
    assert (done.returncode, done.stdout) == (2, "")
    assert all(word in done.stderr for word in named)
    assert re.search(r"[.:] \w.+[.?]\n$", done.stderr), "a message, then the next step"
    assert "Traceback" not in done.stderr
    assert "s3cret" not in done.stderr
