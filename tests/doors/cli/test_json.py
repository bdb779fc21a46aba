"""`--json` on every command, in the shapes that docs/json.md promises; its errors too."""

from __future__ import annotations

import argparse
import io
import json
import re
import sys
from pathlib import Path

import pytest

from chomp_mcp.doors.cli import main
from chomp_mcp.doors.cli.parser import parser

PROMISED = (Path(__file__).parents[3] / "docs" / "json.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| ((?:`[a-z A-Z-]+`(?:, )?)+) \| (.+) \|$", PROMISED, re.MULTILINE)
SHAPES = {name.strip(): shape for names, shape in ROWS for name in re.findall(r"`([a-z ]+)", names)}


def commands(of: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Every command that can be typed, by its words behind `chomp-mcp`."""
    found = {}
    for action in of._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                found[each.prog.removeprefix("chomp-mcp ")] = each
                found |= commands(each)
    return found


@pytest.fixture
def told(home, tmp_path, monkeypatch, capsys):
    """`told("jobs")`: the parsed output of a command in this process."""
    monkeypatch.setenv("HOME", str(tmp_path))

    def told(*words: str, stdin: str = "") -> object:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        capsys.readouterr()
        assert main([*words, "--json"]) == 0, capsys.readouterr().err
        out = capsys.readouterr().out
        return [json.loads(line) for line in out.splitlines()] if words[0] == "chat" else json.loads(out)

    return told


def fields(command: str) -> set[str]:
    shape = SHAPES[command]
    return set(re.findall(r"`(\w+)`", shape.partition(":")[2].partition(";")[0]))


def test_every_command_takes_it_and_has_its_row():
    found = commands(parser())
    assert [name for name, each in found.items() if "--json" not in each._option_string_actions] == []
    groups = {"catalog", "keys", "tokens"}  # without an action they list
    assert set(found) - groups == set(SHAPES), "each command has a row in docs/json.md"


def test_what_is_printed_has_the_promised_fields(told, tmp_path, monkeypatch):
    monkeypatch.setenv("LLM_DEFAULT_MODEL", "mock/echo")
    assert set(told("ask", "hi", "-m", "mock/echo")) == fields("ask")
    assert [set(line) for line in told("chat", "-m", "mock/echo", stdin="one\ntwo\n")] == [fields("ask")] * 2
    assert [set(row) for row in told("logs", "--limit", "1")] == [fields("logs")]
    assert set(told("models", "mock")) == fields("models")
    assert set(told("explain")) == fields("explain")
    assert set(told("catalog")) == set(told("catalog", "show")) == fields("catalog show") == fields("catalog update")
    assert told("keys", "list") == told("keys") == {}
    added = told("keys", "add", "groq", "--no-check", stdin="gsk_0123456789abcdef0123456789abcdef\n")
    assert set(added) == fields("keys add")
    assert set(told("keys", "remove", "groq")) == fields("keys remove")
    assert set(told("keys", "token")) == fields("keys token")
    assert set(told("keys", "encrypt")) == set(told("keys", "rotate")) == set(told("keys", "decrypt"))
    assert set(told("tokens", "add", "ci")) == set(told("tokens", "rotate", "ci")) == fields("tokens add")
    assert "ci" in [row["name"] for row in told("tokens", "list")]
    assert set(told("tokens", "revoke", "ci")) == fields("tokens revoke")
    assert {"routers", "spend"} <= set(told("status"))
    assert set(told("install", "cursor", "--print")) == set(told("uninstall", "cursor")) == fields("install")
    assert set(told("setup")) == fields("setup")
    assert set(told("run", "claude", "--print")) == fields("run")
    assert set(told("completion", "zsh")) == fields("completion")
    assert set(told("help")) == set(told("help", "keys")) == fields("help")


def test_jobs_and_the_demo_have_the_promised_fields_too(run):
    job = json.loads(run("dispatch", "hi", "-m", "mock/slow?seconds=60", "--json").stdout)
    assert set(job) == fields("dispatch")
    assert set(json.loads(run("cancel", job["job_id"], "--json").stdout)) == fields("cancel")
    (listed,) = json.loads(run("jobs", "--json").stdout)
    assert set(listed) == fields("result")
    seen = json.loads(run("demo", "--json").stdout)
    assert set(seen) == fields("demo")
    assert seen["next"]["setup"] == "chomp-mcp setup"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nope"], 2, "there is no command 'nope'"),
        (["keys", "add", "gorq"], 2, "Did you mean groq?"),
        (["ask", "hi", "-m", "gorq/auto"], 2, "Did you mean groq/auto?"),
        (["ask", "hi", "-m", "mock/ecko"], 4, "Did you mean mock/echo?"),
        (["ask", "hi", "-m", "mock/500"], 4, "Try again later"),
        (["run", "clude"], 2, "Did you mean claude"),
        (["install", "curser"], 2, "Did you mean cursor?"),
        (["help", "modles"], 2, "Did you mean models?"),
        (["result", "job_none"], 2, "job_none"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, list) else "",
)
def test_an_error_is_one_object_on_stderr(home, monkeypatch, capsys, words, code, said):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"key-0123456789abcdef\n")))
    assert main([*words, "--json"]) == code
    printed = capsys.readouterr()
    error = json.loads(printed.err)["error"]
    assert printed.out == ""
    assert error["exit_code"] == code
    assert said in error["message"]
