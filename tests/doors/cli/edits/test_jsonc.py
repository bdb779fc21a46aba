"""JSON with comments, edited in place."""

from __future__ import annotations

import json
import sys

import pytest

from tests.doors.cli.installing import written

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the paths are those of Linux"),
    pytest.mark.usefixtures("bare"),
]


COMMENTED = """\
// mine
{
\t// the servers
\t"mcpServers": {
\t\t"other": {"command": "x", "args": [1,2,],}, // why
\t\t/* "old": {} */
\t},
\t"theme": "d\\ud83dnn",   "a" : 1e5,
}
"""


def test_comments_commas_and_layout_stay(install, run, tmp_path):
    path = written(tmp_path, "cursor", COMMENTED)
    done = install("cursor")
    assert done.returncode == 0, done.stderr
    after = path.read_text().splitlines()
    kept = iter(after)
    assert all(line in kept for line in COMMENTED.splitlines())
    assert '\t\t"chomp": {' in after
    assert {line[0] for line in done.stdout.splitlines() if "chomp" in line and line[0] in "+- "} == {"+"}
    run("uninstall", "cursor")
    assert path.read_text() == COMMENTED


def test_bytes_that_are_no_utf8_and_half_emojis_survive(install, run, tmp_path):
    before = b'{"name": "\xed\xa0\xbd \xff", "half": "\\ud83d", "mcpServers": {"chomp": {"note": "\\ude00"}}}'
    path = written(tmp_path, "cursor", before)
    assert install("cursor").returncode == 0
    after = path.read_bytes()
    assert b'"name": "\xed\xa0\xbd \xff", "half": "\\ud83d"' in after
    assert b'"note": "\\ude00"' in after
    assert sorted(file.suffix for file in path.parent.iterdir()) == [".bak", ".json"]


@pytest.mark.parametrize(
    "remote",
    [
        {"httpUrl": "http://127.0.0.1:8080/mcp", "headers": {"Authorization": "Bearer x"}},
        {"url": "http://127.0.0.1:8080/mcp", "type": "http"},
        {"serverUrl": "http://127.0.0.1:8080/sse", "transport": "sse"},
    ],
)
def test_a_remote_entry_is_replaced_and_not_mixed(install, tmp_path, remote):
    path = written(tmp_path, "gemini", json.dumps({"mcpServers": {"chomp": {**remote, "trust": True}}}, indent=2))
    assert install("gemini").returncode == 0
    entry = json.loads(path.read_text())["mcpServers"]["chomp"]
    assert set(entry) == {"command", "args", "env", "trust"}


@pytest.mark.parametrize("content", ['{"a": 1, "b"}', '{"mcpServers": []}', "[]", "nothing", "{" * 3_000, '{"a": "'])
def test_a_file_that_cannot_be_edited_is_left_as_it_is_with_the_text_to_paste(install, tmp_path, content):
    path = written(tmp_path, "cursor", content)
    done = install("cursor")
    assert done.returncode == 2
    assert str(path) in done.stderr
    assert '"chomp"' in done.stderr
    assert "Traceback" not in done.stderr
    assert path.read_text() == content
    assert [file.name for file in path.parent.iterdir()] == ["mcp.json"]
