"""One row for each MCP client of this machine."""

from __future__ import annotations

import json
import sys

import pytest

pytestmark = [
    pytest.mark.timeout(180),  # each doctor starts several servers
    pytest.mark.usefixtures("no_clients"),
]


def by_name(done):
    return {check["name"]: check for check in json.loads(done.stdout)}


def entered(tmp_path, **entry):
    """Cursor, with this entry."""
    path = tmp_path / ".cursor" / "mcp.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"mcpServers": {"chomp": entry}}))


def test_a_client_without_an_entry_is_told_with_the_way_to_add_one(run, tmp_path):
    (tmp_path / ".cursor").mkdir()
    done = run("doctor", "--json")
    assert done.returncode == 0
    assert "chomp-mcp install cursor" in by_name(done)["client cursor"]["detail"]


def test_an_entry_is_started_as_its_client_would(run, tmp_path):
    run("install", "cursor")
    done = run("doctor", "--json")
    assert done.returncode == 0
    assert "answered initialize in" in by_name(done)["client cursor"]["detail"]


DYING = "import sys; print('first', file=sys.stderr); sys.exit('ModuleNotFoundError: No module named chomp_mcp')"


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"command": "/gone/chomp-mcp"}, "/gone/chomp-mcp does not exist. Write the entry anew"),
        ({"command": sys.executable, "args": ["-c", DYING]}, "first / ModuleNotFoundError: No module named chomp_mcp"),
        ({"url": "http://127.0.0.1:9/mcp"}, "http://127.0.0.1:9/mcp does not answer"),
        ({"command": sys.executable, "args": ["-m", "chomp_mcp"], "env": {"CHOMP_HOME": "${HOME}/x"}}, "placeholder"),
    ],
)
def test_an_entry_that_does_not_work_is_told_with_cause_and_next_step(run, tmp_path, entry, told):
    entered(tmp_path, **entry)
    done = run("doctor")
    row = next(line for line in done.stdout.splitlines() if "client cursor" in line)
    assert done.returncode == 2
    assert row.startswith("!!")
    assert told in row
    assert "chomp-mcp" in row
    assert "Traceback" not in done.stderr


def test_a_file_that_cannot_be_read_is_told(run, tmp_path):
    (tmp_path / ".cursor").mkdir()
    (tmp_path / ".cursor" / "mcp.json").write_text("{nothing")
    done = run("doctor", "--json")
    assert done.returncode == 2
    assert "it is no JSON at line 1" in by_name(done)["client cursor"]["detail"]


def test_a_proxy_that_only_this_shell_has_is_told(run, tmp_path):
    run("install", "cursor")
    done = run("doctor", "--json", env={"HTTPS_PROXY": "http://proxy.corp:3128"})
    assert "HTTPS_PROXY of this shell is not in it" in by_name(done)["client cursor"]["detail"]
