"""Every key tried on its router, as the doctor tells it."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from tests.support.commands import COMMAND
from tests.support.scripted import ScriptedRouter

KEY = "lab-key-0123456789"
pytestmark = [
    pytest.mark.timeout(180),  # each doctor starts several servers
    pytest.mark.usefixtures("no_clients"),
]


def by_name(done):
    return {check["name"]: check for check in json.loads(done.stdout)}


def test_a_stored_key_is_tried_on_its_router_and_told_masked(run, keyed):
    run("keys", "add", "lab", stdin=KEY)
    done = run("doctor", "--json")
    check = by_name(done)["key lab"]
    assert check["ok"]
    assert "lab-…6789" in check["detail"]
    assert KEY not in done.stdout
    assert keyed.requests[0].key == KEY


def test_a_key_that_only_this_shell_has_is_told_with_the_way_to_store_it(run, keyed):
    done = run("doctor", "--json", env={"LAB_API_KEY": KEY})
    check = by_name(done)["key lab"]
    assert done.returncode == 2
    assert not check["ok"]
    assert "lab-…6789 (environment)" in check["detail"]
    assert "only this shell has LAB_API_KEY" in check["detail"]
    assert "chomp-mcp keys add lab" in check["detail"]
    assert keyed.requests[0].key == KEY


def test_a_key_in_a_clients_entry_is_one_that_its_server_has(run, keyed):
    run("install", "cursor", "--env", "LAB_API_KEY", env={"LAB_API_KEY": KEY})
    assert by_name(run("doctor", "--json"))["key lab"]["ok"]


def test_a_refused_key_is_told_and_ends_with_4(run, keyed):
    keyed.on(path="/models").fail(401)
    done = run("doctor", env={"LAB_API_KEY": KEY})
    assert done.returncode == 4
    row = next(line for line in done.stdout.splitlines() if "key lab" in line)
    assert row.startswith("!!")
    assert "Replace it with: chomp-mcp keys add lab" in row
    assert KEY not in done.stdout


def test_a_bad_key_is_found_where_everybody_gets_the_list(run, keyed):
    keyed.models(["m"])
    run("keys", "add", "lab", stdin=KEY)
    keyed.fail(401, {"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}})
    done = run("doctor", "--json")
    check = by_name(done)["key lab"]
    assert check["exit_code"] == 4
    assert "Incorrect API key" in check["detail"]
    assert {request.json["max_tokens"] for request in keyed.chats} == {1}


def test_a_key_with_nothing_left_is_a_key_all_the_same(run, keyed):
    keyed.models(["m"])
    keyed.fail(429, {"error": {"message": "Rate limit reached"}})
    run("keys", "add", "lab", stdin=KEY)
    check = by_name(run("doctor", "--json"))["key lab"]
    assert check["ok"]
    assert "Rate limit reached" in check["detail"]


def test_an_account_page_tells_more_than_a_list(run, keyed, home):
    keyed.on(path="/key").fail(401)
    env = {"CHOMP_ROUTER_OPENROUTER_URL": keyed.url, "OPENROUTER_API_KEY": "sk-or-0123456789abcdef"}
    check = by_name(run("doctor", "--json", env=env))["key openrouter"]
    assert not check["ok"]
    assert check["exit_code"] == 4


def test_rows_come_while_another_router_hangs(keyed, home, tmp_path):
    with ScriptedRouter() as deaf:
        deaf.on(path="/models").hang()
        row = f'\n[routers.deaf]\nurl = "{deaf.url}"\nkey = "DEAF_API_KEY"\n'
        (home / "config.toml").write_text((home / "config.toml").read_text() + row)
        env = {**os.environ, "HOME": str(tmp_path), "LAB_API_KEY": KEY, "DEAF_API_KEY": KEY}
        with subprocess.Popen([*COMMAND, "doctor"], env=env, stdout=subprocess.PIPE, text=True) as process:
            rows = iter(process.stdout.readline, "")
            assert any("key lab" in row for row in rows)
            assert process.poll() is None
            assert [row.split()[2] for row in rows if "no answer in" in row] == ["deaf"]
            assert process.wait(30) == 4


def test_a_key_file_that_others_can_read_is_told_with_the_way_to_close_it(run, home):
    run("keys", "add", "groq", stdin="gsk_abcdefghijklmnop4f2a")
    (home / "keys.json").chmod(0o644)
    done = run("doctor", env={"CHOMP_ROUTER_GROQ_URL": "http://127.0.0.1:9/v1"})
    assert done.returncode == 5
    assert f"chmod 600 {home / 'keys.json'}" in done.stdout
