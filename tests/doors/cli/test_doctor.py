from __future__ import annotations

import json

import pytest

pytestmark = [
    pytest.mark.timeout(180),  # each doctor starts several servers
    pytest.mark.usefixtures("no_clients"),
]


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


def test_a_wrong_setting_is_told_and_ends_with_2(run, home):
    home.mkdir()
    (home / "config.toml").write_text('LLM_DAILY_BUDGET_USD = "lots"')
    done = run("doctor")
    assert done.returncode == 2
    assert "LLM_DAILY_BUDGET_USD" in done.stdout
