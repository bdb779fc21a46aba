from __future__ import annotations

import json
import sys

import pytest

from chomp_mcp.doors.cli.probe import NoAnswer, Server

NOISY = """
import json
print("hi")
print(json.dumps({"jsonrpc": "2.0", "id": json.loads(input())["id"], "result": {}}))
"""


def by_name(done):
    return {check["name"]: check for check in json.loads(done.stdout)}


def test_a_fresh_installation_is_well(run, home):
    done = run("doctor", "--json")
    checks = by_name(done)
    assert done.returncode == 0
    assert [name for name, check in checks.items() if not check["ok"] or check["exit_code"]] == []
    assert not (home / "keys.json").exists()
    assert "answered initialize in" in checks["server"]["detail"]
    assert "ask, dispatch, result, list_models, register_keys, status" in checks["tools"]["detail"]
    assert "chomp-mcp keys add" in checks["keys"]["detail"]


def test_a_key_is_tried_on_its_router_and_told_where_it_is_from(run, keyed):
    done = run("doctor", "--json", env={"LAB_API_KEY": "lab-key-0123456789"})
    check = by_name(done)["key lab"]
    assert check["ok"]
    assert "lab-…6789 (environment)" in check["detail"]
    assert keyed.requests[0].key == "lab-key-0123456789"


def test_a_refused_key_is_told_and_ends_with_4(run, keyed):
    keyed.on(path="/models").fail(401)
    done = run("doctor", env={"LAB_API_KEY": "lab-key-0123456789"})
    assert done.returncode == 4
    row = next(line for line in done.stdout.splitlines() if "key lab" in line)
    assert row.startswith("!!")
    assert "lab-key-0123456789" not in done.stdout


def test_a_key_file_that_others_can_read_is_told_with_the_way_to_close_it(run, home):
    run("keys", "add", "groq", stdin="gsk_abcdefghijklmnop4f2a")
    (home / "keys.json").chmod(0o644)
    done = run("doctor", env={"CHOMP_ROUTER_GROQ_URL": "http://127.0.0.1:9/v1"})
    assert done.returncode == 5
    assert f"chmod 600 {home / 'keys.json'}" in done.stdout


@pytest.mark.parametrize("broken", ["state.db", "keys.json.lock"])
def test_a_store_that_cannot_be_written_is_told_and_ends_with_5(run, home, broken):
    (home / broken).mkdir(parents=True)
    done = run("doctor", "--json")
    check = by_name(done)["store"]
    assert done.returncode == 5
    assert (check["ok"], check["exit_code"]) == (False, 5)
    assert str(home / broken.removesuffix(".lock")) in check["detail"]


def test_a_wrong_setting_is_told_and_ends_with_2(run, home):
    home.mkdir()
    (home / "config.toml").write_text('LLM_DAILY_BUDGET_USD = "lots"')
    done = run("doctor")
    assert done.returncode == 2
    assert "LLM_DAILY_BUDGET_USD" in done.stdout


def test_what_a_server_prints_beside_the_protocol_is_noise():
    with Server([sys.executable, "-c", NOISY], {}) as server:
        assert server.ask("initialize", {}) == {}
    assert server.noise == ["hi"]


def test_a_server_that_ends_at_once_is_told_with_its_last_words():
    with (
        pytest.raises(NoAnswer, match="no module named that"),
        Server([sys.executable, "-c", "raise SystemExit('no module named that')"], {}) as server,
    ):
        server.ask("initialize", {})
