from __future__ import annotations

import json

import pytest

DAMAGED = b"this is no database, whatever its name says " * 40


@pytest.fixture
def damaged(home, run, keyed):
    keyed.models(["m"])
    keyed.answer("hello")
    run("keys", "add", "lab", "--no-check", stdin="lab-key-0123456789")
    for path in home.glob("state.db*"):
        path.unlink()
    (home / "state.db").write_bytes(DAMAGED)
    return home


def test_what_needs_no_state_is_answered_and_what_is_missing_is_told(run, damaged):
    done = run("ask", "hi", "-m", "mock/echo")
    assert (done.returncode, done.stdout) == (0, "hi\n")
    assert "Breakers, rests and quotas are not known. Let `chomp-mcp doctor --repair` move it away" in done.stderr
    assert run("ask", "hi", "-m", "lab/m").stdout == "hello\n"
    assert run("keys", "list", "--json").returncode == 0
    assert run("dispatch", "hi", "-m", "mock/echo").returncode == 5
    assert (damaged / "state.db").read_bytes() == DAMAGED, "nothing was overwritten"


def test_repair_moves_the_damaged_file_aside_and_nothing_else(run, damaged):
    keys = (damaged / "keys.json").read_bytes()
    rows = json.loads(run("doctor", "--repair", "--json").stdout)
    assert rows[0]["name"] == "repair"
    assert "state.db was damaged" in rows[0]["detail"]
    (aside,) = damaged.glob("state.db.damaged-*")
    assert aside.read_bytes() == DAMAGED
    assert (damaged / "keys.json").read_bytes() == keys
    assert run("dispatch", "hi", "-m", "mock/echo").returncode == 0
    again = json.loads(run("doctor", "--repair", "--json").stdout)
    assert again[0]["detail"] == "state.db is not damaged"


def test_status_tells_the_routers_and_what_is_not_known(run, damaged):
    told = json.loads((done := run("status", "--json")).stdout)
    assert done.returncode == 5
    assert told["routers"]["lab"]["key"] is True
    assert told["spend"]["calls_today"] == 0
    assert "doctor --repair" in told["trouble"]
    shown = run("status")
    assert shown.returncode == 5
    assert "What was spent and dispatched before is not known: " in shown.stdout
    assert "doctor --repair" in shown.stdout


def test_a_folder_in_the_place_of_the_state_is_moved_aside_too(run, damaged):
    (damaged / "state.db").unlink()
    (damaged / "state.db").mkdir()
    assert run("ask", "hi", "-m", "lab/m").stdout == "hello\n"
    assert "doctor --repair" in run("dispatch", "hi", "-m", "mock/echo").stderr
    assert "state.db was damaged" in json.loads(run("doctor", "--repair", "--json").stdout)[0]["detail"]
    assert run("status").returncode == 0


def test_ids_that_could_pass_for_a_text_of_ours_are_not_listed(run, keyed):
    keyed.models(["good", "bad\u2028model", "esc\x1b[31m", "bidi\u202e", "two\nlines", "c1\x9b"])
    listed = run("models", "lab", "--json", env={"LAB_API_KEY": "lab-key-0123456789"})
    assert "good" in listed.stdout
    assert not [part for part in ("bad", "esc", "bidi", "two", "c1") if part in listed.stdout]


def test_json_on_stdout_holds_no_control_characters(run, keyed):
    keyed.models(["m"])
    keyed.answer("a\x1b]0;title\x07b\x9bc\u202ed")
    done = run("ask", "hi", "-m", "lab/m", "--json", env={"LAB_API_KEY": "lab-key-0123456789"})
    assert json.loads(done.stdout)["text"] == "a\x1b]0;title\x07b\x9bc\u202ed"
    assert not set(done.stdout) & {"\x1b", "\x07", "\x9b", "\u202e"}
