from __future__ import annotations

import subprocess
import sys

import pytest

from chomp_mcp.doors.cli import clients
from chomp_mcp.doors.cli.parser import CLIENTS, NEEDS, parser
from chomp_mcp.messages import NEEDS as ALL_NEEDS

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


def test_a_usage_error_is_told_like_any_other_and_ends_with_2(run):
    done = run("result")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "chomp-mcp: the following arguments are required: ID. See chomp-mcp result --help.\n"


def test_an_unknown_command_is_refused_without_naming_the_hidden_one(run):
    done = run("bogus")
    assert done.returncode == 2
    assert "'bogus'" in done.stderr
    assert "run-job" not in done.stderr


@pytest.mark.parametrize("port", ["99999", "-5", "http", "1.5"])
def test_a_port_that_is_none_is_refused(run, port):
    done = run("serve", "--port", port)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"chomp-mcp: argument --port: '{port}' is not a port from 0 to 65535. See chomp-mcp serve --help.\n"
    )


def test_a_wait_that_is_no_number_is_refused(run):
    done = run("result", "job_1", "--wait", "soon")
    assert done.returncode == 2
    assert "'soon' is not a number of seconds" in done.stderr


def test_the_version_is_the_installed_one(run):
    assert run("--version").stdout == "chomp-mcp 0.1.0\n"


def test_help_is_a_command_too(run):
    assert run("help", "keys", "add").stdout == run("keys", "add", "--help").stdout
    assert run("-V").stdout == run("--version").stdout


def test_a_wrong_setting_is_named_and_ends_with_2(run):
    done = run("jobs", env={"GATEWAY_PORT": "many"})
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("chomp-mcp: GATEWAY_PORT in the environment is wrong")


def test_install_knows_every_client_that_its_help_names():
    assert tuple(clients.CLIENTS) == CLIENTS


def test_the_help_of_models_names_every_need():
    assert NEEDS == ALL_NEEDS
