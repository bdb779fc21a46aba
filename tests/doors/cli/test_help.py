"""help: every command has it, and it is quick."""

from __future__ import annotations

import subprocess
import sys

import pytest

from chomp_mcp.doors.cli.parser import parser

COMMANDS = (
    ["serve"],
    ["demo"],
    ["run"],
    ["ask"],
    ["dispatch"],
    ["result"],
    ["jobs"],
    ["cancel"],
    ["logs"],
    ["models"],
    ["keys"],
    ["keys", "list"],
    ["keys", "add"],
    ["keys", "remove"],
    ["keys", "token"],
    ["keys", "import"],
    ["chat"],
    ["setup"],
    ["completion"],
    ["status"],
    ["install"],
    ["uninstall"],
    ["doctor"],
)
HEAVY = ("mcp", "starlette", "uvicorn", "httpx2", "pydantic", "anyio", "chomp_mcp.app", "chomp_mcp.messages")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as ended:
        parser().parse_args([*command, "--help"])
    assert ended.value.code == 0
    assert f"usage: chomp-mcp {' '.join(command)}" in capsys.readouterr().out


def test_the_help_names_every_command_but_the_hidden_one(run):
    done = run("--help")
    assert done.returncode == 0
    assert all(f"    {command[0]} " in done.stdout for command in COMMANDS)
    assert "run-job" not in done.stdout
    assert "exit codes" in done.stdout


def test_help_and_usage_errors_import_no_server_and_no_http_stack():
    code = f"""
import sys
from chomp_mcp.doors.cli import main
try:
    main(["ask", "--help"])
except SystemExit:
    pass
print("loaded:", [name for name in {HEAVY!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=50)
    assert done.stdout.endswith("loaded: []\n")


def test_the_version_is_the_installed_one(run):
    assert run("--version").stdout == "chomp-mcp 0.1.0\n"


def test_help_is_a_command_too(run):
    assert run("help", "keys", "add").stdout == run("keys", "add", "--help").stdout
    assert run("-V").stdout == run("--version").stdout


def test_a_wrong_setting_is_named_and_ends_with_2(run):
    done = run("jobs", env={"GATEWAY_PORT": "many"})
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("chomp-mcp: GATEWAY_PORT in the environment is wrong")
