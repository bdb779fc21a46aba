"""What can be typed, and what is told of the rest."""

from __future__ import annotations

import pytest

from chomp_mcp.doors.cli import clients, main
from chomp_mcp.doors.cli.parser import CLIENTS, NEEDS
from chomp_mcp.messages import NEEDS as ALL_NEEDS


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


SECRET = "gsk_0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("jobs --limit 0", "'0' is not a number of rows from 1 to 10000"),
        ("logs --limit -3", "'-3' is not a number of rows"),
        ("jobs --limit x", "'x' is not a number of rows"),
        (f"keys add groq {SECRET}", "pipe it in: chomp-mcp keys add ROUTER < FILE"),
        (f"keys add groq --key {SECRET}", "pipe it in: chomp-mcp keys add ROUTER < FILE"),
        (f"keys add {SECRET}", "pipe it in: chomp-mcp keys add ROUTER < FILE"),
        ("run claude --continue", "chomp-mcp run claude -- --continue"),
        ("tokens list all", "unrecognized arguments: all. See chomp-mcp tokens list --help."),
        ("status --all", "unrecognized arguments: --all. See chomp-mcp status --help."),
        ("install cursor --print -m groq/auto", "--model goes with --provider alone."),
        ("ask hi -o model=groq/auto", "model is no option of -o. Write --model groq/auto."),
        ("keys import no-such-file", "no-such-file cannot be read: No such file or directory."),
    ],
)
def test_a_slip_is_refused_with_what_was_meant(home, capsys, typed, says):
    assert main(typed.split()) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert says in told.err
    assert SECRET not in told.err


def test_install_knows_every_client_that_its_help_names():
    assert tuple(clients.CLIENTS) == CLIENTS


def test_the_help_of_models_names_every_need():
    assert NEEDS == ALL_NEEDS
