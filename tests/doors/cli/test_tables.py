from __future__ import annotations

import json
from decimal import Decimal
from operator import mul

import pytest

from chomp_mcp.doors.cli.output import table


def test_models_is_a_table_of_everything_within_reach(run, upstream):
    upstream.models([{"id": "m", "context_length": 8192, "pricing": {"prompt": "0.000001", "completion": "0.000002"}}])
    header, row, *_ = run("models", "lab").stdout.splitlines()
    assert header.split()[:2] == ["MODEL", "CONTEXT"]
    assert row.split() == ["lab/m", "8192", "-", "1", "2", "no"]


def test_models_as_json_has_the_shape_of_the_tool(run, upstream):
    told = json.loads(run("models", "--json").stdout)
    assert told["errors"] == {}
    assert told["models"][0] == {
        "id": "lab/m",
        "context_length": None,
        "max_output": None,
        "free": False,
        "price_in": None,
        "price_out": None,
    }


def test_a_router_that_fails_is_named_on_stderr_and_ends_with_4_where_no_other_was_there(run, upstream):
    upstream.models({"error": "no"})
    done = run("models", "--json")
    assert done.returncode == 4
    assert json.loads(done.stderr)["error"]["message"].startswith("lab: ")
    assert set(json.loads(done.stdout)["errors"]) == {"lab"}


def test_the_named_router_that_fails_ends_with_4_and_the_reason(run, upstream):
    upstream.on(path="/models").fail(500, "out of order")
    for more in ([], ["--json"]):
        done = run("models", "lab", *more)
        assert done.returncode == 4
        assert "lab: " in done.stderr
        assert "out of order" in done.stderr


def test_the_models_of_a_router_without_a_key_end_with_the_way_to_add_one(run):
    done = run("models", "groq")
    assert (done.returncode, done.stdout) == (2, "")
    assert "chomp-mcp keys add groq" in done.stderr


def test_no_model_that_fits_is_no_missing_key(run, upstream):
    done = run("models", "lab", "-q", "nothing like it")
    assert (done.returncode, done.stderr) == (0, "No model fits.\n")


def test_only_free_models_on_request(run, upstream):
    upstream.models(["a:free", "b"])
    assert [m["id"] for m in json.loads(run("models", "lab", "--free", "--json").stdout)["models"]] == ["lab/a:free"]


def test_only_models_that_can_on_request(run, upstream):
    upstream.models([{"id": "a", "capabilities": {"vision": True}}, {"id": "b"}])
    done = run("models", "lab", "--needs", "vision", "--json")
    assert [(m["id"], m["can"]) for m in json.loads(done.stdout)["models"]] == [("lab/a", ["vision"])]
    assert json.loads(done.stdout)["unknown"] == 1
    assert run("models", "lab", "--needs", "vision").stderr == "1 more do not say whether they can.\n"
    assert run("models", "--needs", "eyes").returncode == 2


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
    assert f"is at {shown} (OLLAMA_BASE_URL)" in [check["detail"] for check in json.loads(checked.stdout)]
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


def test_a_price_that_receipts_reckon_with_shows_among_the_models(run, upstream):
    env = {"GROQ_API_KEY": "gsk_0123456789abcdef", "CHOMP_ROUTER_GROQ_URL": upstream.url}
    upstream.models(["openai/gpt-oss-120b"])
    told = json.loads(run("models", "groq", "--json", env=env).stdout)["models"][0]
    asked = json.loads(run("ask", "hi", "-m", "groq/openai/gpt-oss-120b", "--json", env=env).stdout)
    usage = asked["receipt"]["usage"]
    per_million = [Decimal(told[name]) for name in ("price_in", "price_out")]
    tokens = [usage["input_tokens"], usage["output_tokens"]]
    assert Decimal(asked["receipt"]["cost_usd"]) * 1_000_000 == sum(map(mul, per_million, tokens))


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
def test_tables_fit_a_terminal_and_cut_no_address_and_no_price(columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    url = "https://cloud.sambanova.ai/apis/of/a/long/path"
    row = ("sambanova", "abcd…efgh (environment)", "SAMBANOVA_API_KEY", url)
    table(("ROUTER", "KEY", "VARIABLE", "GET ONE AT"), [row], droppable=("VARIABLE",))
    rows = [("groq/" + "m" * 50, 131072, "0.15"), ("a/b", 8, "10")]
    table(("MODEL", "CONTEXT", "$/M IN"), rows, droppable=("CONTEXT",))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    assert any(url in line for line in lines)
    assert any(line.endswith("0.15") for line in lines)
