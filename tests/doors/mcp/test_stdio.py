"""`chomp-mcp` as a client starts it: a process on stdin and stdout, spoken to by the SDK's client."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
from mcp import Client

from tests.support.mcp_doors import MODES, call, partial, stdio, text_of
from tests.support.processes import job_processes, until
from tests.support.scripted import ScriptedRouter

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("mode", MODES)
async def test_all_six_tools_work(tmp_path: Path, upstream: ScriptedRouter, mode: str) -> None:
    async with Client(stdio(tmp_path, upstream), mode=mode) as client:
        assert client.protocol_version == ("2025-11-25" if mode == "legacy" else "2026-07-28")
        asked = await call(client, "ask", prompt="hi", router="lab")
        assert (asked["status"], asked["text"]) == ("done", "hello")
        job = await call(client, "dispatch", prompt="hi", router="lab")
        collected = await call(client, "result", job_id=job["job_id"], wait_seconds=30)
        assert (collected["status"], collected["text"]) == ("done", "hello")
        listed = await call(client, "list_models", router="lab")
        assert [row["id"] for row in listed["models"]] == ["lab/scripted-small", "lab/scripted-large"]
        keyed = await call(client, "register_keys", keys={"groq": "gsk_abcdefghijklmnop4f2a"})
        assert keyed["routers"] == {"groq": "gsk_…4f2a"}
        told = await call(client, "status")
        assert told["routers"]["groq"]["key"] is True
        assert told["jobs"][0]["job_id"] == job["job_id"]


@pytest.mark.parametrize("mode", MODES)
async def test_a_slow_answer_becomes_a_job_that_another_process_reads(
    tmp_path: Path, upstream: ScriptedRouter, mode: str
) -> None:
    rest = anyio.Event()
    upstream.stream(["Hello", rest, " world"])
    server = stdio(tmp_path, upstream, CHOMP_DEADLINE_SECONDS="0.5")
    async with Client(server, mode=mode) as one, Client(server, mode=mode) as other:
        asked = await call(one, "ask", prompt="hi", router="lab")
        assert asked["status"] == "running"
        await partial(other, asked["job_id"], "Hello")
        rest.set()
        whole = await call(other, "result", job_id=asked["job_id"], wait_seconds=10)
        assert (whole["status"], whole["text"]) == ("done", "Hello world")


@pytest.mark.parametrize("mode", MODES)
async def test_a_dispatched_job_outlives_its_client_and_the_server(
    tmp_path: Path, upstream: ScriptedRouter, mode: str
) -> None:
    rest = anyio.Event()
    upstream.stream(["Hel", rest, "lo"])
    server = stdio(tmp_path, upstream)
    async with Client(server, mode=mode) as client:
        job = await call(client, "dispatch", prompt="hi", router="lab")
        assert (job["status"], job["model"]) == ("queued", "lab/scripted-small")
        await partial(client, job["job_id"], "Hel")
    rest.set()
    async with Client(server, mode=mode) as client:
        told = await call(client, "result", job_id=job["job_id"], wait_seconds=30)
        assert (told["status"], told["text"]) == ("done", "Hello")


@pytest.mark.parametrize("mode", MODES)
async def test_an_ask_that_became_a_job_goes_on_in_a_process_of_its_own_when_its_host_has_gone(
    tmp_path: Path, upstream: ScriptedRouter, mode: str
) -> None:
    rest = anyio.Event()
    upstream.stream(["Hel", rest, "lo"])
    server = stdio(tmp_path, upstream, CHOMP_DEADLINE_SECONDS="0.5")
    async with Client(server, mode=mode) as client:
        job = await call(client, "ask", prompt="hi", router="lab")
        assert job["status"] == "running"
    rest.set()
    async with Client(server, mode=mode) as client:
        told = await call(client, "result", job_id=job["job_id"], wait_seconds=40)
        assert (told["status"], told["text"]) == ("done", "Hello")
        assert "asked again, because the process that asked first was ended" in told["receipt"]["notes"]


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
async def test_many_dispatches_are_few_processes_and_all_are_answered(tmp_path: Path, upstream: ScriptedRouter) -> None:
    rest = anyio.Event()
    upstream.stream(["Hel", rest, "lo"])
    async with Client(stdio(tmp_path, upstream)) as client:
        jobs = [await call(client, "dispatch", prompt="hi", router="lab") for _ in range(12)]
        with anyio.fail_after(40):
            while len(upstream.chats) < 12:  # noqa: ASYNC110 - until all of them ask
                await anyio.sleep(0.05)
        assert 1 <= len(job_processes(tmp_path)) <= 2
        rest.set()
        for job in jobs:
            told = await call(client, "result", job_id=job["job_id"], wait_seconds=40)
            assert (told["status"], told["text"]) == ("done", "Hello")


PARENT = """
import subprocess, sys
print(subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL).pid, flush=True)
sys.stdin = None
import time
time.sleep(100)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_server_whose_parent_was_killed_ends_though_its_pipe_is_held(tmp_path: Path) -> None:
    server = stdio(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, server.command],
        env={"PATH": os.environ["PATH"], **(server.env or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as parent:
        assert parent.stdout
        process = Path("/proc") / parent.stdout.readline().decode().strip()
        until(lambda: is_watching(process))
        parent.kill()
        until(lambda: not is_running(process))


def is_running(process: Path) -> bool:
    """Not gone, and no zombie that nobody has buried."""
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def is_watching(process: Path) -> bool:
    """It has loaded what it needs, and has an event loop."""
    for fd in (process / "fd").iterdir():
        with suppress(FileNotFoundError):  # closed since it was listed
            if "eventpoll" in str(fd.readlink()):
                return True
    return False


async def test_an_ask_that_became_a_job_keeps_its_server_until_it_is_done(
    tmp_path: Path, upstream: ScriptedRouter
) -> None:
    rest = anyio.Event()
    upstream.stream(["Hel", rest, "lo"])
    request = {"name": "ask", "arguments": {"prompt": "hi", "router": "lab"}}
    ask = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": request}
    with started(tmp_path, upstream, CHOMP_DEADLINE_SECONDS="0.5") as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(f"{json.dumps(INITIALIZE)}\n{json.dumps(ask)}\n")
        process.stdin.flush()
        answers = [json.loads(await anyio.to_thread.run_sync(process.stdout.readline)) for _ in range(2)]
        process.stdin.close()
        rest.set()
        assert await anyio.to_thread.run_sync(process.wait, 20) == 0
    async with Client(stdio(tmp_path, upstream)) as client:
        job_id = answers[1]["result"]["structuredContent"]["job_id"]
        told = await call(client, "result", job_id=job_id, wait_seconds=40)
        assert (told["status"], told["text"]) == ("done", "Hello")


@pytest.mark.parametrize("mode", MODES)
async def test_a_cancelled_call_reaches_the_router(tmp_path: Path, upstream: ScriptedRouter, mode: str) -> None:
    upstream.hang(after=["Hel"])
    async with Client(stdio(tmp_path, upstream), mode=mode) as client:
        async with anyio.create_task_group() as group:
            group.start_soon(client.call_tool, "ask", {"prompt": "hi", "router": "lab"})
            await upstream.saw_request()
            group.cancel_scope.cancel()
        await upstream.saw_disconnect()
        upstream.answer("still here")
        assert (await call(client, "ask", prompt="hi", router="lab"))["text"] == "still here"


@pytest.mark.parametrize("mode", MODES)
async def test_progress_reaches_the_client(tmp_path: Path, upstream: ScriptedRouter, mode: str) -> None:
    told = anyio.Event()
    upstream.stream(["Hello", told, " world"])

    async def progress(amount: float, _total: float | None, _message: str | None) -> None:
        assert amount == 5
        told.set()

    async with Client(stdio(tmp_path, upstream), mode=mode) as client:
        with anyio.fail_after(10):
            result = await client.call_tool("ask", {"prompt": "hi", "router": "lab"}, progress_callback=progress)
        assert text_of(result).startswith("Hello world")


@pytest.mark.parametrize("mode", MODES)
async def test_a_prompt_of_ten_megabytes_is_refused_and_the_connection_lives(
    tmp_path: Path, upstream: ScriptedRouter, mode: str
) -> None:
    async with Client(stdio(tmp_path, upstream), mode=mode) as client:
        result = await client.call_tool("ask", {"prompt": "ü" * 5_000_000, "router": "lab"})
        assert result.is_error
        assert "The prompt has 10.0 MB" in text_of(result)
        assert not upstream.requests
        assert (await call(client, "ask", prompt="hi", router="lab"))["text"] == "hello"


def started(home: Path, upstream: ScriptedRouter | None = None, **more: str) -> subprocess.Popen[str]:
    """The server with bare pipes."""
    server = stdio(home, upstream, **more)
    return subprocess.Popen(
        [server.command],
        env={"PATH": os.environ["PATH"], **(server.env or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )


INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}},
}


def test_stdout_holds_nothing_but_the_protocol_and_stdin_ends_it(tmp_path: Path) -> None:
    chatty = tmp_path / "site" / "rich"  # the SDK tries to load it, while the server is being built
    chatty.mkdir(parents=True)
    (chatty / "__init__.py").write_text("print('noise')\nraise ImportError\n")
    with started(tmp_path / "home", PYTHONPATH=str(chatty.parent)) as server:
        out, err = server.communicate(json.dumps(INITIALIZE) + "\n", timeout=20)
    assert [json.loads(line)["id"] for line in out.splitlines()] == [1]
    assert err == "noise\n"
    assert server.returncode == 0
    assert not (tmp_path / "home" / "state.db").exists()
    assert not (tmp_path / "home" / "keys.json").exists()


def test_a_client_that_leaves_before_its_first_word_ends_it_too(tmp_path: Path) -> None:
    with started(tmp_path / "home") as server:
        out, err = server.communicate("", timeout=20)
    assert (out, err, server.returncode) == ("", "", 0)


@pytest.mark.parametrize(
    ("variable", "value"),
    [("CHOMP_DEADLINE_SECONDS", "soon"), ("CHOMP_ROUTER_NOPE_URL", "http://x"), ("CHOMP_STORE", "mysql://x")],
)
def test_a_wrong_setting_ends_the_start_with_its_name_and_code_2(tmp_path: Path, variable: str, value: str) -> None:
    with started(tmp_path, **{variable: value}) as server:
        out, err = server.communicate("", timeout=20)
    assert server.returncode == 2
    assert out == ""
    assert variable in err
    assert "Traceback" not in err


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_on_a_terminal_it_says_what_it_waits_for_and_ctrl_c_ends_it(tmp_path: Path, number: signal.Signals) -> None:
    import pty

    keyboard, terminal = pty.openpty()
    server = stdio(tmp_path)
    with subprocess.Popen(
        [server.command],
        env={"PATH": os.environ["PATH"], **(server.env or {})},
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr
        assert "waits for a client on stdin" in process.stderr.readline()
        os.write(keyboard, (json.dumps(INITIALIZE) + "\n").encode())
        assert process.stdout
        assert json.loads(process.stdout.readline())["id"] == 1
        process.send_signal(number)
        assert process.wait(timeout=10) == 128 + number
    os.close(keyboard)
    os.close(terminal)


def test_a_client_that_goes_before_its_answer_leaves_no_traceback(tmp_path: Path) -> None:
    with started(tmp_path) as process:
        assert process.stdin
        assert process.stdout
        process.stdout.close()
        process.stdin.write(f"{json.dumps(INITIALIZE)}\n")
        process.stdin.close()
        assert process.wait(20) == 141
        assert process.stderr
        assert process.stderr.read() == ""


@pytest.mark.skipif(sys.platform == "win32", reason="there the next answer tells")
def test_a_client_that_closes_our_stdout_alone_is_gone(tmp_path: Path) -> None:
    with started(tmp_path) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(f"{json.dumps(INITIALIZE)}\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["id"] == 1
        process.stdout.close()
        assert process.wait(20) == 141
        assert process.stderr
        assert process.stderr.read() == ""
        process.stdin.close()


def test_a_host_that_never_reads_stderr_is_served_on(tmp_path: Path) -> None:
    call = {"name": "ask", "arguments": {"prompt": "hi", "model": "mock/echo"}}
    with started(tmp_path, CHOMP_LOG="debug") as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(f"{json.dumps(INITIALIZE)}\n")
        for number in range(2, 302):
            ask = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": call}
            process.stdin.write(f"{json.dumps(ask)}\n")
            process.stdin.flush()
        answered = {json.loads(process.stdout.readline())["id"] for _ in range(301)}
        assert answered == set(range(1, 302))
        process.stdin.close()
        assert process.wait(20) == 0
