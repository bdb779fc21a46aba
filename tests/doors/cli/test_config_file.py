"""The file of a client: its bytes as they are, replaced whole or not at all."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys

import pytest

from tests.doors.cli.installing import written
from tests.support.commands import COMMAND

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the paths are those of Linux"),
    pytest.mark.usefixtures("bare"),
]


BEFORE = {
    "cursor": [
        "",
        "{}",
        '{"a": {"mcpServers": 1}}',
        '{"mcpServers":{"o":{}}}',
        '{\r\n  "mcpServers": {\r\n  }\r\n}\r\n',
        "\ufeff{\n}",
        '{"mcpServers": null}',
    ],
    "codex": [
        "",
        '# mine\nmodel = "x" # y\n\n[mcp_servers.o]\ncommand = "x"\n\n# tail\n',
        'mcp_servers = { o = { command = "x" } }',
        "a = 1\r\n",
    ],
    "goose": [
        "GOOSE_MODEL: x # y",
        "extensions:\n    dev:\n        enabled: true\n\n# tail\nX: |\n  a\n\n",
        "extensions: {}\n",
        "extensions:\nX: 1\n",
    ],
}


@pytest.mark.parametrize(("client", "before"), [(client, text) for client, texts in BEFORE.items() for text in texts])
def test_what_uninstall_leaves_is_what_install_found_byte_for_byte(install, run, tmp_path, client, before):
    path = written(tmp_path, client, before)
    done = install(client)
    assert done.returncode == 0, done.stderr
    assert path.read_bytes() != before.encode()
    assert run("uninstall", client).returncode == 0
    assert path.read_bytes() == before.encode()
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("client", "before", "edit"),
    [
        ("cursor", '{"mcpServers": {"o": {}}}', ('"o"', '"p"')),
        ("codex", "a = 1\n\n[mcp_servers.o]\n", ("a = 1", "a = 2")),
        ("goose", "X: 1\nextensions:\n  o: {}\n", ("X: 1", "X: 2")),
    ],
)
def test_uninstall_keeps_what_others_changed_since(install, run, tmp_path, client, before, edit):
    path = written(tmp_path, client, before)
    install(client)
    path.write_text(path.read_text().replace(*edit))
    done = run("uninstall", client)
    assert path.read_text() == before.replace(*edit)
    assert "as it was" in done.stdout


def test_a_file_in_utf16_stays_one(install, run, tmp_path):
    before = '\ufeff{"a": "ü"}'.encode("utf-16-le")
    path = written(tmp_path, "cursor", before)
    assert install("cursor").returncode == 0
    assert "chomp" in json.loads(path.read_text(encoding="utf-16"))["mcpServers"]
    run("uninstall", "cursor")
    assert path.read_bytes() == before


def test_everything_else_in_the_file_stays_and_a_backup_is_kept(install, tmp_path):
    before = '{"mcpServers": {"other": {"command": "x"}}, "theme": "dünn"}'
    path = written(tmp_path, "cursor", before)
    path.chmod(0o640)
    done = install("cursor")
    after = json.loads(path.read_text())
    assert after["mcpServers"]["other"] == {"command": "x"}
    assert after["theme"] == "dünn"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    backup = next(path.parent.glob("mcp.json.*.bak"))
    assert backup.read_text() == before
    assert str(backup) in done.stdout


def test_a_second_install_changes_nothing(install, tmp_path):
    install("cursor")
    before = (tmp_path / ".cursor" / "mcp.json").stat()
    done = install("cursor")
    assert "has it already" in done.stdout
    after = (tmp_path / ".cursor" / "mcp.json").stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)
    assert [file.name for file in (tmp_path / ".cursor").iterdir()] == ["mcp.json"]


def test_nothing_is_left_half_written_where_the_disk_is_full(tmp_path, home):
    path = written(tmp_path, "cursor", '{"a": 1}')
    full = ["sh", "-c", 'ulimit -f 0; exec "$@"', "sh"]
    done = subprocess.run(
        [*full, *COMMAND, "install", "cursor"],
        env={**os.environ, "HOME": str(tmp_path), "PATH": "/bin:/usr/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 5, done.stderr
    assert "cannot be written" in done.stderr
    assert "--print" in done.stderr
    assert path.read_text() == '{"a": 1}'
    assert [file.name for file in path.parent.iterdir()] == ["mcp.json"]


def test_a_linked_file_stays_a_link(install, tmp_path):
    real = tmp_path / "dotfiles.json"
    real.write_text("{}")
    (tmp_path / ".cursor").mkdir()
    link = tmp_path / ".cursor" / "mcp.json"
    link.symlink_to(real)
    assert install("cursor").returncode == 0
    assert link.is_symlink()
    assert "chomp" in json.loads(real.read_text())["mcpServers"]
