"""status: what can be used, until when, and what it cost."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess

import pytest

from tests.support.commands import COMMAND


def test_status_shows_every_router_and_the_spend_against_the_budgets(run, upstream):
    run("ask", "hi", "-m", "lab/m")
    done = run("status", env={"LLM_DAILY_BUDGET_USD": "7", "LLM_MONTHLY_BUDGET_USD": "0"})
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if line}
    assert rows["lab"].split()[1:4] == ["not", "needed", "closed"]
    assert "no key" in rows["groq"]
    assert "of $7, 1 calls, 1 of unknown price, 7 tokens in, 3 out" in rows["today"]
    assert rows["month"].endswith("no budget")


def test_documented_limits_stand_below_the_table_and_only_of_routers_that_have_a_key(run):
    done = run("status", env={"GROQ_API_KEY": "gsk_0123456789abcdef"})
    table, below = done.stdout.split("\n\n", 1)
    assert max(map(len, table.splitlines())) <= 80
    assert "  groq: free plan" in below
    assert "cerebras" not in below


@pytest.mark.timeout(240)
def test_status_and_doctor_tell_where_a_router_was_moved_and_no_password(run):
    environ = {"OLLAMA_BASE_URL": "http://me:pass-word@127.0.0.1:9"}
    shown = "http://…@127.0.0.1:9"
    status, as_json, checked, failed = (
        run(*words, env=environ)
        for words in (["status"], ["status", "--json"], ["doctor", "--json"], ["ask", "hi", "-r", "ollama"])
    )
    assert f"ollama: {shown} (OLLAMA_BASE_URL)" in status.stdout
    rows = json.loads(as_json.stdout)["routers"]
    assert (rows["ollama"]["url"], rows["ollama"]["url_from"]) == (shown, "OLLAMA_BASE_URL")
    assert "url" not in rows["groq"]
    assert f"is at {shown} (OLLAMA_BASE_URL, of this shell)" in [
        check["detail"] for check in json.loads(checked.stdout)
    ]
    for done in (status, as_json, checked, failed):
        assert "pass-word" not in done.stdout + done.stderr


def test_status_tells_an_open_breaker_and_until_when(run, upstream):
    upstream.fail(500)
    run("ask", "hi", "-m", "lab/m", env={"CIRCUIT_FAILURE_THRESHOLD": "1"})
    row = next(line for line in run("status").stdout.splitlines() if line.startswith("lab "))
    assert "open" in row
    assert "breaker open" in row


def test_status_tells_the_quota_that_the_router_told(run, keyed):
    env = {"LAB_API_KEY": "lab-key-0123456789"}
    keyed.answer("hi", headers={"x-ratelimit-limit-requests": "1000", "x-ratelimit-remaining-requests": "998"})
    run("ask", "hi", "-m", "lab/m", env=env)
    row = next(line for line in run("status", env=env).stdout.splitlines() if line.startswith("lab "))
    assert "998 of 1000 requests" in row
    assert "(headers)" in row


def test_status_as_json_is_what_the_tool_tells(run, upstream):
    told = json.loads(run("status", "--json").stdout)
    assert set(told) == {"routers", "spend", "jobs", "keys"}
    assert told["routers"]["lab"]["key"] is None


def test_status_tells_what_rests_and_until_when(run, keyed):
    env = {"LAB_API_KEY": "lab-key-0123456789"}
    keyed.fail(429, headers={"retry-after": "3600"})
    assert run("ask", "hi", "-m", "lab/m", env=env).returncode == 4
    row = next(line for line in run("status", env=env).stdout.splitlines() if line.startswith("lab "))
    assert "key rests until " in row
    assert "(rate limited)" in row


def test_status_tells_the_credit_of_an_account(run, upstream):
    upstream.on(path="/key").reply(200, {"data": {"limit_remaining": 4.2, "is_free_tier": False, "usage": 1}})
    env = {"OPENROUTER_API_KEY": "sk-or-0123456789", "CHOMP_ROUTER_OPENROUTER_URL": upstream.url}
    row = next(line for line in run("status", env=env).stdout.splitlines() if line.startswith("openrouter "))
    assert "$4.2 of credit (account page)" in row


def test_a_program_that_does_not_run_is_told_as_that(run):
    env = {"OLLAMA_BASE_URL": "http://127.0.0.1:9"}
    for named in (["-r", "ollama"], ["-m", "ollama/llama3"]):
        done = run("ask", "hi", *named, env=env)
        assert (done.returncode, done.stdout) == (4, "")
        assert done.stderr.startswith("chomp-mcp: Ollama is not running at http://127.0.0.1:9. Start it")
    row = next(line for line in run("status", env=env).stdout.splitlines() if line.startswith("ollama "))
    assert "not running" in row
    assert "no key" not in row


def test_a_terminal_has_one_line_for_the_routers_without_a_key(home):
    ours, theirs = pty.openpty()
    command = [*COMMAND, "status"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.DEVNULL):
        os.close(theirs)
        seen = ""
        with contextlib.suppress(OSError):  # the other end is closed: Linux says EIO
            while piece := os.read(ours, 4096):
                seen += piece.decode()
    os.close(ours)
    rows = [line.split()[0] for line in seen.partition("\r\n\r\n")[0].splitlines()]
    assert "mock" in rows
    assert "groq" not in rows
    assert "Without a key: zen, groq, " in seen
