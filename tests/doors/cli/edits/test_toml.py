"""TOML, edited in place."""

from __future__ import annotations

import sys
import tomllib

import pytest

from tests.doors.cli.installing import written

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the paths are those of Linux"),
    pytest.mark.usefixtures("bare"),
]


def test_a_remote_entry_of_codex_is_replaced_with_its_own_lines_kept(install, tmp_path):
    before = '[mcp_servers.chomp]\nurl = "http://x"\nstartup_timeout_sec = 20 # mine\n\n# tail\n[z]\na = 1\n'
    path = written(tmp_path, "codex", before)
    assert install("codex").returncode == 0
    entry = tomllib.loads(path.read_text())["mcp_servers"]["chomp"]
    assert set(entry) == {"command", "args", "env", "startup_timeout_sec"}
    assert "startup_timeout_sec = 20 # mine\n" in path.read_text()
    assert path.read_text().endswith("\n# tail\n[z]\na = 1\n")
