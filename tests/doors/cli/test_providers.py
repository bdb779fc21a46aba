"""Clients that are told for good that their models are here."""

from __future__ import annotations

import json
import re
import sys

import pytest

from tests.doors.cli.installing import PLACES, parsed, written

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the paths are those of Linux"),
    pytest.mark.usefixtures("bare"),
]


@pytest.mark.parametrize(
    ("client", "section", "use"),
    [
        ("codex", "model_providers", "codex -c model_provider=chomp -m lab/m"),
        ("opencode", "provider", "opencode -m chomp/lab/m"),
    ],
)
def test_a_client_can_be_told_for_good_that_its_models_are_here(install, run, tmp_path, client, section, use):
    path = tmp_path / PLACES[client][0]
    before = "# mine\n[features]\na = true\n" if client == "codex" else '{\n  // mine\n  "theme": "x"\n}\n'
    written(tmp_path, client, before)
    done = install(
        client, "--provider", "-m", "lab/m", env={"GATEWAY_PORT": "4321", "GATEWAY_AUTH_TOKEN": "s3cret-token"}
    )
    assert done.returncode == 0, done.stderr
    assert use in done.stderr
    assert "chomp-mcp serve" in done.stderr
    text = path.read_text()
    assert "mine" in text
    assert "s3cret-token" not in text + done.stdout + done.stderr, "it is read from the environment"
    assert "GATEWAY_AUTH_TOKEN" in text
    assert "http://127.0.0.1:4321/v1" in text
    if client == "codex":
        entry = parsed(path)[section]["chomp"]
        assert entry["wire_api"] == "responses"
    else:
        assert '"lab/m"' in text
    assert install(client, "--provider", "-m", "lab/m", "--print").stdout
    assert run("uninstall", client, "--provider").returncode == 0
    assert path.read_text() == before


MODELS_OF_VSCODE = """[
\t// mine
\t{
\t\t"name": "Hub", // kept
\t\t"vendor": "customendpoint",
\t\t"apiKey": "${input:hub}",
\t\t"models": [],
\t},
]
"""


@pytest.mark.parametrize("before", [None, "", "[]\n", MODELS_OF_VSCODE])
@pytest.mark.parametrize("token", ["", "s3cret-token-of-sixteen"])
def test_vscode_gets_a_custom_endpoint_and_keeps_all_others(install, run, tmp_path, before, token):
    path = (tmp_path / PLACES["vscode"][0]).with_name("chatLanguageModels.json")
    if before is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(before)
    done = install("vscode", "--provider", "-m", "lab/m", env={"GATEWAY_AUTH_TOKEN": token})
    assert done.returncode == 0, done.stderr
    text = path.read_text()
    entry = next(each for each in loads(text) if each["name"] == "chomp")
    assert entry["models"][0]["url"] == "http://127.0.0.1:8080/v1/chat/completions"
    assert entry["models"][0]["id"] == "lab/m"
    assert not token or (token not in text and entry["apiKey"].startswith("${input:"))
    assert install("vscode", "--provider", "-m", "lab/other").returncode == 0
    assert "lab/other" in path.read_text()
    if before == MODELS_OF_VSCODE:
        assert text.startswith(before[: before.index("},\n]") + 2])
    assert run("uninstall", "vscode", "--provider").returncode == 0
    assert not path.exists() if before is None else loads(path.read_text() or "[]") == loads(before or "[]")


@pytest.mark.parametrize("text", ["{}", '{"name": "chomp"}'])
def test_a_list_of_models_that_is_none_is_left_as_it_is(install, tmp_path, text):
    path = (tmp_path / PLACES["vscode"][0]).with_name("chatLanguageModels.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    done = install("vscode", "--provider", "-m", "lab/m")
    assert done.returncode == 2
    assert "it holds no JSON array" in done.stderr
    assert path.read_text() == text


def loads(text):
    """JSONC without its comments and trailing commas, which stand in lines of their own here."""
    return json.loads(re.sub(r",(\s*[\]}])", r"\1", re.sub(r"(?<!:)//.*", "", text)))


@pytest.mark.parametrize("client", ["claude-code", "cursor"])
def test_a_client_without_providers_in_a_file_is_told_what_to_do(install, tmp_path, client):
    done = install(client, "--provider")
    assert done.returncode == 2
    assert "takes no provider of models from a file" in done.stderr
    assert "chomp-mcp run claude" in done.stderr or f"chomp-mcp install {client}" in done.stderr
    assert not (tmp_path / PLACES[client][0]).exists()
