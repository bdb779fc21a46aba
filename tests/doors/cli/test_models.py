"""models: everything within reach."""

from __future__ import annotations

import json
from decimal import Decimal
from operator import mul

from chomp_mcp.doors.cli import main


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


def test_where_no_router_has_a_key_the_way_to_add_one_is_told(home, capsys):
    assert main(["models"]) == 0
    told = capsys.readouterr()
    assert {row.split()[0].partition("/")[0] for row in told.out.splitlines()[1:]} == {"mock"}
    assert told.err == "That is the built-in router alone. Add a key with: chomp-mcp keys add ROUTER\n"
    assert main(["models", "mock"]) == 0
    assert capsys.readouterr().err == ""


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


def test_a_price_that_receipts_reckon_with_shows_among_the_models(run, upstream):
    env = {"GROQ_API_KEY": "gsk_0123456789abcdef", "CHOMP_ROUTER_GROQ_URL": upstream.url}
    upstream.models(["openai/gpt-oss-120b"])
    told = json.loads(run("models", "groq", "--json", env=env).stdout)["models"][0]
    asked = json.loads(run("ask", "hi", "-m", "groq/openai/gpt-oss-120b", "--json", env=env).stdout)
    usage = asked["receipt"]["usage"]
    per_million = [Decimal(told[name]) for name in ("price_in", "price_out")]
    tokens = [usage["input_tokens"], usage["output_tokens"]]
    assert Decimal(asked["receipt"]["cost_usd"]) * 1_000_000 == sum(map(mul, per_million, tokens))
