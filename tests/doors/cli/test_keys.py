from __future__ import annotations

import json
import os
import pty
import stat
import subprocess

import pytest

from tests.support.commands import COMMAND

KEY = "gsk_abcdefghijklmnop4f2a"


def test_a_piped_key_is_stored_and_only_its_ends_are_shown(run, home):
    done = run("keys", "add", "groq", stdin=f"{KEY}\n")
    assert (done.returncode, done.stdout) == (0, "groq: gsk_…4f2a\n")
    assert KEY not in done.stderr
    assert json.loads((home / "keys.json").read_text())["user:owner"]["keys"] == {"groq": KEY}
    assert stat.S_IMODE((home / "keys.json").stat().st_mode) == 0o600


def test_a_typed_key_is_not_echoed(home):
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "keys", "add", "groq"], stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    seen = b""
    while b"typed hidden: " not in seen:
        seen += os.read(ours, 1024)
    os.write(ours, f"{KEY}\n".encode())
    output, _ = process.communicate(timeout=20)
    assert (process.returncode, output.decode()) == (0, "groq: gsk_…4f2a\n")
    assert KEY.encode() not in seen + os.read(ours, 1024)
    os.close(ours)


def test_the_stored_key_is_what_the_router_gets(run, keyed):
    keyed.answer("hello")
    run("keys", "add", "lab", stdin="lab-key-0123456789")
    assert run("ask", "hi", "-m", "lab/m").stdout == "hello\n"
    assert keyed.chats[0].key == "lab-key-0123456789"


def test_the_list_shows_where_each_key_is_from(run):
    run("keys", "add", "groq", stdin=KEY)
    env = {"CEREBRAS_API_KEY": "csk-0123456789abcdef"}
    lines = {line.split()[0]: line for line in run("keys", env=env).stdout.splitlines()}
    assert "gsk_…4f2a" in lines["groq"]
    assert "csk-…cdef (environment)" in lines["cerebras"]
    assert "OPENROUTER_API_KEY" in lines["openrouter"]
    assert json.loads(run("keys", "list", "--json", env=env).stdout) == {
        "cerebras": "csk-…cdef (environment)",
        "groq": "gsk_…4f2a",
    }


def test_a_removed_key_is_gone(run):
    run("keys", "add", "groq", stdin=KEY)
    assert run("keys", "remove", "groq").stdout == "groq: removed\n"
    assert json.loads(run("keys", "list", "--json").stdout) == {}


def test_removing_what_was_never_stored_says_so(run):
    assert run("keys", "remove", "groq").stdout == "groq: no key was stored\n"
    done = run("keys", "remove", "groq", env={"GROQ_API_KEY": "gsk_from_the_environment"})
    assert done.stdout == "groq: no key was stored, gsk_…ment (environment) is what is left\n"


def test_removing_a_key_says_which_one_is_left(run):
    run("keys", "add", "groq", stdin=KEY)
    done = run("keys", "remove", "groq", env={"GROQ_API_KEY": "gsk_from_the_environment"})
    assert done.stdout == "groq: removed, gsk_…ment (environment) is what is left\n"


def test_an_unknown_router_is_refused_before_a_key_is_asked_for(run, home):
    done = run("keys", "add", "grok", stdin=KEY)
    assert done.returncode == 2
    assert "Did you mean groq" in done.stderr
    assert not (home / "keys.json").exists()


def test_a_router_that_needs_no_key_takes_none(run):
    done = run("keys", "add", "ollama", stdin=KEY)
    assert done.returncode == 2
    assert "needs no key" in done.stderr


def test_no_key_at_all_is_refused(run):
    done = run("keys", "add", "groq", stdin="\n")
    assert done.returncode == 2
    assert "No key was given" in done.stderr


def test_a_key_with_spaces_is_refused_without_being_repeated(run):
    done = run("keys", "add", "groq", stdin="gsk_half and_half\n")
    assert done.returncode == 2
    assert "half" not in done.stderr


def test_a_corrupt_key_file_is_named_and_left_alone(run, home):
    home.mkdir()
    (home / "keys.json").write_text("{half")
    done = run("keys", "add", "groq", stdin=KEY)
    assert done.returncode == 5
    assert "keys.json" in done.stderr
    assert (home / "keys.json").read_text() == "{half"


def test_a_token_is_printed_once_and_kept_as_a_hash_only(run, home):
    token = run("keys", "token").stdout.strip()
    assert token.startswith("chomp_")
    assert len(token) == len("chomp_") + 64
    assert token.removeprefix("chomp_") not in (home / "keys.json").read_text()


def test_a_second_key_is_kept_beside_the_first_unless_it_is_to_replace_it(run, home):
    other = KEY.replace("4f2a", "9x9x")
    run("keys", "add", "groq", stdin=KEY)
    assert run("keys", "add", "groq", stdin=other).stdout == "groq: gsk_…4f2a, gsk_…9x9x\n"
    assert json.loads((home / "keys.json").read_text())["user:owner"]["keys"] == {"groq": [KEY, other]}
    assert run("keys", "add", "groq", "--replace", stdin=other).stdout == "groq: gsk_…9x9x\n"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("https://console.groq.com/keys", "an address"),
        ("x", "only 1 characters"),
        ("YOUR_API_KEY", "placeholder"),
        ("${GROQ_API_KEY}", "placeholder"),
        ("this is no key at all", "blanks"),
        ("csk-0123456789abcdef", "looks like a key of Cerebras"),
    ],
)
def test_what_can_be_no_key_is_refused_with_the_reason_and_not_stored(run, home, given, reason):
    done = run("keys", "add", "groq", stdin=given)
    assert (done.returncode, done.stdout) == (2, "")
    assert reason in done.stderr
    assert not (home / "keys.json").exists()


def test_quotes_and_a_name_around_a_key_are_taken_off(run, home):
    run("keys", "add", "groq", stdin=f'export GROQ_API_KEY="{KEY}"\n')
    assert json.loads((home / "keys.json").read_text())["user:owner"]["keys"] == {"groq": KEY}


def test_a_key_is_tried_and_one_that_is_refused_is_not_stored(run, home, upstream):
    env = {"CHOMP_ROUTER_GROQ_URL": upstream.url}
    upstream.on(path="/models").fail(401, "Invalid API Key")
    done = run("keys", "add", "groq", stdin=KEY, env=env)
    assert (done.returncode, done.stdout) == (4, "")
    assert "Groq refuses this key, and nothing was stored" in done.stderr
    assert KEY not in done.stderr
    assert not (home / "keys.json").exists()
    assert run("keys", "add", "groq", "--no-check", stdin=KEY, env=env).stdout == "groq: gsk_…4f2a\n"


def test_a_key_says_whose_it_is(run, upstream):
    done = run("keys", "add", stdin=KEY, env={"CHOMP_ROUTER_GROQ_URL": upstream.url})
    assert (done.returncode, done.stdout) == (0, "groq: gsk_…4f2a\n")
    assert "30 requests a minute" in done.stderr
    assert run("keys", "add", stdin="nobody-knows-this-one").returncode == 2


def test_the_keys_of_an_env_file_are_taken_each_tried(run, tmp_path, upstream):
    (tmp_path / ".env").write_text(f'# mine\nexport GROQ_API_KEY="{KEY}"\nOTHER=1\nCEREBRAS_API_KEY=  # none\n')
    told = json.loads(run("keys", "import", ".env", "--json", env={"CHOMP_ROUTER_GROQ_URL": upstream.url}).stdout)
    assert [(row["router"], row["key"]) for row in told] == [("groq", "gsk_…4f2a")]
    assert run("keys", "import", "nowhere.env").returncode == 2
