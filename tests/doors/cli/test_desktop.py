"""A profile of ours in the library of Claude Desktop."""

from __future__ import annotations

import json
import sys

import pytest

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the paths are those of Linux"),
    pytest.mark.usefixtures("bare"),
]


LIBRARY = """{
  "entries": [
    {"id": "11111111-1111-4111-8111-111111111111", "name": "Work"}
  ],
  "appliedId": "11111111-1111-4111-8111-111111111111"
}
"""


@pytest.mark.parametrize("before", [None, "{}", LIBRARY])
@pytest.mark.parametrize("token", ["", "s3cret-token-of-sixteen"])
def test_claude_desktop_gets_a_profile_beside_those_that_it_has(install, run, tmp_path, before, token):
    library = tmp_path / ".config" / "Claude-3p" / "configLibrary"
    if before is not None:
        library.mkdir(parents=True)
        (library / "_meta.json").write_text(before)
    for _ in range(2):  # once more changes nothing
        done = install("claude-desktop", "--provider", "-m", "lab/m", env={"GATEWAY_AUTH_TOKEN": token})
        assert done.returncode == 0, done.stderr
    meta = json.loads((library / "_meta.json").read_text())
    ours = next(entry for entry in meta["entries"] if entry["name"] == "chomp")
    text = (library / f"{ours['id']}.json").read_text()
    told = json.loads(text)
    assert told["inferenceGatewayBaseUrl"] == "http://127.0.0.1:8080"
    assert told["inferenceModels"] == [{"name": "claude-via-chomp/lab/m"}]
    assert not token or (token not in text and "inferenceGatewayApiKey" not in told)
    if before == LIBRARY:
        assert meta["entries"][0]["name"] == "Work"
        assert meta["appliedId"].startswith("1111"), "the profile that is applied stays so"
    else:
        assert meta["appliedId"] == ours["id"]
    assert "lab/m" in install("claude-desktop", "--provider", "-m", "lab/m", "--print").stdout
    assert run("uninstall", "claude-desktop", "--provider").returncode == 0
    assert not (library / f"{ours['id']}.json").exists()
    left = library / "_meta.json"
    if before == LIBRARY:
        assert left.read_text() == LIBRARY
    else:
        assert not left.exists() or "chomp" not in left.read_text()
    assert "no entry of ours" in run("uninstall", "claude-desktop", "--provider").stdout


@pytest.mark.parametrize("text", ["not json", "[]", '{"entries": [{"id": "other", "name": "chomp"}]}'])
def test_a_library_that_cannot_be_edited_is_left_as_it_is(install, tmp_path, text):
    library = tmp_path / ".config" / "Claude-3p" / "configLibrary"
    library.mkdir(parents=True)
    (library / "_meta.json").write_text(text)
    done = install("claude-desktop", "--provider", "-m", "lab/m")
    assert done.returncode == 2
    assert "was left as it is" in done.stderr
    assert [path.name for path in library.iterdir()] == ["_meta.json"]
    assert (library / "_meta.json").read_text() == text
