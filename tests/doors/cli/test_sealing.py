from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from tests.support.commands import COMMAND

GROQ, CEREBRAS = "gsk_abcdefghijklmnop4f2a", "csk-zyxwvutsrqponm9876"
ONE, TWO = {"CHOMP_MASTER_KEY": "the first master key"}, {"CHOMP_MASTER_KEY": "the second master key"}
ROOT = Path(__file__).parents[3]


def keychain(folder: Path, backend: str = "Keychain") -> dict[str, str]:
    return {
        "PYTHON_KEYRING_BACKEND": f"tests.support.keychain.{backend}",
        "PYTHONPATH": str(ROOT),
        "TEST_KEYCHAIN": str(folder / "keychain.json"),
    }


def stored(home: Path) -> dict:
    return json.loads((home / "keys.json").read_text())


def listed(run, env=None) -> dict:
    done = run("keys", "list", "--json", env=env)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def two_keys(run):
    run("keys", "add", "groq", stdin=GROQ)
    run("keys", "add", "cerebras", stdin=f"{CEREBRAS},{CEREBRAS}2")


BOTH = {"groq": "gsk_…4f2a", "cerebras": "csk-…9876, csk-…8762"}


def test_open_keys_are_read_and_sealed_by_command_with_a_key_file_where_there_is_no_keychain(run, home, two_keys):
    assert "chomp-mcp keys encrypt" in run("status").stdout
    done = run("keys", "encrypt")
    assert done.returncode == 0
    assert done.stdout == f"3 router keys sealed with the key file {home / 'master.key'}\n"
    assert "no OS keychain" in done.stderr.lower() or "No OS keychain" in done.stderr
    assert "reads both" in done.stderr

    text = (home / "keys.json").read_text()
    assert GROQ not in text
    assert CEREBRAS not in text
    record = json.loads(text)["user:owner"]
    assert record["keys"]["groq"].startswith("sealed:")
    assert [key.startswith("sealed:") for key in record["keys"]["cerebras"]] == [True, True]
    for path in (home / "keys.json", home / "master.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert listed(run) == BOTH
    for line in (run("status").stdout, run("doctor").stdout):
        assert f"sealed with the key file {home / 'master.key'}" in line


def test_a_sealed_key_is_what_the_router_gets(run, keyed):
    keyed.answer("hello")
    run("keys", "add", "lab", stdin="lab-key-0123456789", env=ONE)
    assert run("ask", "hi", "-m", "lab/m", env=ONE).stdout == "hello\n"
    assert keyed.chats[0].key == "lab-key-0123456789"


def test_with_a_master_key_there_the_next_write_seals_all(run, home, two_keys):
    assert listed(run, ONE) == BOTH
    assert GROQ in (home / "keys.json").read_text(), "reading changes nothing"
    run("keys", "add", "sambanova", stdin="11111111-2222-3333-4444-555555555555", env=ONE)
    text = (home / "keys.json").read_text()
    assert not [key for key in (GROQ, CEREBRAS, "1111") if key in text]
    assert listed(run, ONE) == {**BOTH, "sambanova": "1111…5555"}


REFUSED = [
    # command, stdin
    (("keys",), ""),
    (("keys", "add", "groq"), "gsk_another_one"),
    (("keys", "remove", "groq"), ""),
    (("keys", "encrypt"), ""),
    (("keys", "rotate"), "a new master key"),
    (("keys", "decrypt"), ""),
    (("ask", "hi", "-m", "mock/echo"), ""),
]


@pytest.mark.parametrize("env", [None, TWO], ids=["none", "wrong"])
def test_without_the_right_master_key_nothing_is_read_and_nothing_changed(run, home, two_keys, env):
    run("keys", "encrypt", env=ONE)
    before = (home / "keys.json").read_bytes()
    for command, stdin in REFUSED:
        done = run(*command, stdin=stdin, env=env)
        assert done.returncode == 5, command
        assert "CHOMP_MASTER_KEY" in done.stderr, command
        assert ("the one here is" if env else "none is here") in done.stderr, command
        assert "Traceback" not in done.stderr, command
        assert (home / "keys.json").read_bytes() == before, command
        assert not (home / "master.key").exists(), f"{command} made a second key beside the one that is missing"
    assert listed(run, ONE) == BOTH
    doctor = run("doctor", env=env)
    rows = {line[4:26].strip(): line for line in doctor.stdout.splitlines()}
    assert rows["keys at rest"].startswith("!!")
    assert "sealed with the master key" in rows["keys at rest"]
    assert {"settings", "key file", "store", "server", "tools", "stdout"} <= rows.keys()
    assert doctor.returncode == 5


def test_rotate_takes_the_new_key_of_the_variable_of_stdin_or_makes_and_prints_one(run, home, two_keys):
    run("keys", "encrypt", env=ONE)
    done = run("keys", "rotate", env={**ONE, "CHOMP_NEW_MASTER_KEY": TWO["CHOMP_MASTER_KEY"]})
    assert (done.returncode, done.stdout) == (0, "")
    assert listed(run, TWO) == BOTH

    assert run("keys", "rotate", stdin="a third master key\n", env=TWO).returncode == 0
    third = {"CHOMP_MASTER_KEY": "a third master key"}
    assert listed(run, third) == BOTH

    short = run("keys", "rotate", stdin="short\n", env=third)
    assert (short.returncode, short.stderr[:60]) == (2, "chomp-mcp: The master key on stdin has fewer than 8 characte")
    made = run("keys", "rotate", env=third).stdout.strip()
    assert len(made) == 43
    assert listed(run, {"CHOMP_MASTER_KEY": made}) == BOTH
    assert run("keys", env=third).returncode == 5


def test_rotating_a_key_file_keeps_only_the_new_key(run, home, two_keys):
    run("keys", "encrypt")
    before = (home / "master.key").read_text()
    done = run("keys", "rotate")
    assert done.stdout == f"3 router keys sealed with a new key in the key file {home / 'master.key'}\n"
    after = (home / "master.key").read_text()
    assert before.strip() not in after
    assert len(after.split()) == 1
    assert listed(run) == BOTH


def test_a_rotation_that_was_killed_half_way_loses_nothing(run, home, two_keys):
    run("keys", "encrypt")
    old = (home / "master.key").read_text()
    (home / "master.key").write_text("a new key that was kept first\n" + old)
    assert listed(run) == BOTH
    assert run("keys", "rotate").returncode == 0
    assert len((home / "master.key").read_text().split()) == 1
    assert listed(run) == BOTH


def test_decrypt_puts_all_back_in_the_open_and_forgets_the_key_file(run, home, two_keys):
    before = stored(home)
    run("keys", "encrypt")
    assert run("keys", "decrypt").returncode == 0
    assert stored(home) == before
    assert not (home / "master.key").exists()


def test_a_keychain_keeps_the_master_key_where_there_is_one(run, home, tmp_path, two_keys):
    env = keychain(tmp_path)
    assert run("keys", "encrypt", env=env).stdout == "3 router keys sealed with the OS keychain\n"
    assert not (home / "master.key").exists()
    assert listed(run, env) == BOTH
    assert "sealed with the OS keychain" in run("status", env=env).stdout
    assert run("keys", "rotate", env=env).returncode == 0
    assert listed(run, env) == BOTH
    assert run("keys", "decrypt", env=env).returncode == 0
    assert json.loads(Path(env["TEST_KEYCHAIN"]).read_text()) == {}
    assert listed(run) == BOTH


def test_where_the_keychain_cannot_be_reached_that_is_said(run, home, tmp_path, two_keys):
    run("keys", "encrypt", env=keychain(tmp_path))
    locked = keychain(tmp_path, "Locked")
    done = run("keys", env=locked)
    assert done.returncode == 5
    assert "none is here" in done.stderr
    for told in (run("status", env=locked), run("doctor", env=locked)):
        assert "keychain does not answer" in told.stdout + told.stderr


def test_a_moved_or_changed_sealed_key_is_refused(run, home, two_keys):
    run("keys", "encrypt")
    document = stored(home)
    document["user:owner"]["keys"]["sambanova"] = document["user:owner"]["keys"]["groq"]
    (home / "keys.json").write_text(json.dumps(document))
    done = run("keys")
    assert done.returncode == 5
    assert "sambanova" in done.stderr


@pytest.mark.parametrize("kept", ["file", "variable"])
def test_processes_that_rotate_at_once_lose_nothing(run, home, two_keys, kept):
    env = {} if kept == "file" else ONE
    run("keys", "encrypt", env=env)
    processes = [
        subprocess.Popen(
            [*COMMAND, "keys", *words],
            env={**os.environ, **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for words in [("rotate",)] * 4 + [("add", "fireworks")]
    ]
    for process in processes:
        assert process.stdin
    ends = [
        process.communicate("fw_0123456789abcdef\n" if "add" in process.args else "", timeout=50)
        for process in processes
    ]
    *rotated, added = [process.returncode for process in processes]
    assert set(rotated) <= {0, 5}
    assert 0 in rotated
    if kept == "file":
        assert rotated == [0] * 4, ends
        env = {}
    else:
        assert rotated.count(0) == 1, "a process whose key is no longer the right one changes nothing"
        env = {"CHOMP_MASTER_KEY": ends[rotated.index(0)][0].strip()}
    found = listed(run, env)
    assert {**BOTH, "fireworks": found.get("fireworks")} == {**found, "fireworks": found.get("fireworks")}
    assert ("fireworks" in found) == (added == 0)
