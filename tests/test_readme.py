"""What README.md and docs/ show is run, and what they list is all there is."""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import subprocess
import sys
import tomllib
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import unquote

import pytest

from chomp_mcp.doors.cli.parser import CLIENTS
from chomp_mcp.doors.http import app as http
from chomp_mcp.routers import catalog
from chomp_mcp.settings import Settings
from tests.bench.__main__ import PARTS
from tests.support.commands import COMMAND

pytestmark = pytest.mark.timeout(240)  # as a person types it: up to twenty programs in a row, each loaded anew

ROOT = Path(__file__).parent.parent
PAGES = {
    path.name: path.read_text(encoding="utf-8") for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
}
README = PAGES["README.md"]
BLOCK = re.compile(r"(?P<note><!--[^>]*-->\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
ADDRESS = "127.0.0.1:8080"
END = "\x1e"
TOOLS = ("ask", "dispatch", "result", "list_models", "register_keys", "status")


def blocks(kind: str) -> list[str]:
    """The blocks of a kind on all pages; those that are not run say why in a comment above them."""
    found = [match for page in PAGES.values() for match in BLOCK.finditer(page)]
    return list(dict.fromkeys(match["text"] for match in found if match["kind"] == kind and not match["note"]))


def first_line(block: str) -> str:
    return block.splitlines()[0][:40]


@pytest.fixture
def environment(home: Path, tmp_path: Path) -> dict[str, str]:
    """A clean home, and the scripts of this installation first on the PATH."""
    scripts = Path(sys.executable).parent
    return {**os.environ, "HOME": str(tmp_path), "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}


@pytest.fixture
def gateway(environment: dict[str, str]) -> Iterator[str]:
    """`chomp-mcp serve` on a free port: its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"127.0.0.1:{port}"
    with subprocess.Popen(
        [*COMMAND, "serve", "--port", str(port)], env=environment, stderr=subprocess.DEVNULL
    ) as served:
        until = monotonic() + 20
        while monotonic() < until and served.poll() is None:
            with suppress(OSError), urllib.request.urlopen(f"http://{address}/healthz", timeout=1):
                break
        yield address
        served.terminate()


def run(command: list[str], environment: dict[str, str], folder: Path) -> str:
    kept: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    done = subprocess.run(command, env=environment, cwd=folder, check=False, timeout=200, **kept)
    told = done.stdout.decode()
    assert done.returncode == 0, told
    return told


@pytest.mark.parametrize("block", [b for b in blocks("sh") if ADDRESS not in b], ids=first_line)
def test_shell_blocks_run(block, environment, tmp_path):
    run(["sh", "-e", "-c", block], environment, tmp_path)


@pytest.mark.parametrize("block", [b for b in blocks("sh") if ADDRESS in b], ids=first_line)
def test_curl_blocks_run_against_a_served_gateway(block, environment, gateway, tmp_path):
    told = run(
        ["sh", "-e", "-c", block.replace(ADDRESS, gateway).replace("curl -s", "curl -sf")], environment, tmp_path
    )
    assert '"content":"Say hello."' in told


@pytest.mark.parametrize("block", [b for b in blocks("python") if "Say hello." in b], ids=first_line)
def test_python_blocks_run(block, environment, gateway, tmp_path):
    assert "Say hello." in run([sys.executable, "-c", block.replace(ADDRESS, gateway)], environment, tmp_path)


def test_the_deadline_of_ask_is_what_an_mcp_client_meets(environment, tmp_path):
    (block,) = (b for b in blocks("python") if "Say hello." not in b)
    (expected,) = (b for b in blocks("text") if "Still running" in b)
    told = run([sys.executable, "-c", block], environment, tmp_path)
    assert re.fullmatch(pattern(expected), told), told


def test_the_walk_through_the_mock_models_shows_what_really_happens(environment, tmp_path):
    steps = [step for block in blocks("console") for step in re.split(r"^\$ ", block, flags=re.MULTILINE) if step]
    script = "".join(f"{step.partition(chr(10))[0]}\nprintf '{END}'\n" for step in steps)
    told = run(["sh", "-c", script], environment, tmp_path).split(END)
    for step, output in zip(steps, told, strict=False):
        command, _, expected = step.partition("\n")
        assert re.fullmatch(pattern(expected), output), f"$ {command}\n{output}"


def pattern(expected: str) -> str:
    """`…` stands for any text within a line, a line of its own for any lines."""
    lines = [
        r"(?:.*\n)*" if line == "…" else r".*".join(re.escape(part.strip(" ")) for part in line.split("…")) + r" *\n"
        for line in expected.splitlines()
    ]
    return "".join(re.sub(r"(\\ )+", r"\\s+", line) for line in lines)


@pytest.mark.parametrize("block", [b for b in blocks("toml") if "mcp_servers" not in b], ids=first_line)
def test_the_examples_of_config_toml_are_taken_as_they_stand(block, home):
    home.mkdir()
    (home / "config.toml").write_text(block)
    written = tomllib.loads(block)
    settings = Settings.load()
    assert set(written.get("routers", {})) <= set(catalog.load(settings))
    assert set(written.get("groups", {})) == set(settings.group_rows)


@pytest.mark.parametrize("block", blocks("json"), ids=first_line)
def test_json_blocks_are_json(block):
    json.loads(block)


def test_the_two_commands_stand_on_the_first_screen():
    screen = "\n".join(README.splitlines()[:25])
    assert "python3 -m venv .venv && .venv/bin/pip install -q . && .venv/bin/chomp-mcp demo" in screen
    assert "python3 -m venv .venv && .venv/bin/pip install -q -e '.[dev]' && .venv/bin/pytest" in screen


def test_the_first_screen_says_what_it_is_and_shows_it():
    screen = "\n".join(README.splitlines()[:26])
    assert re.search(r"!\[[^\]]{20,}\]\(docs/pictures/[\w-]+\.(svg|png)\)", screen)


def test_one_click_adds_what_uvx_starts():
    (cursor,) = re.findall(r"https://cursor\.com/\S+?config=([^)]+)", README)
    (vscode,) = re.findall(r"https://insiders\.vscode\.dev/\S+?config=([^)]+)", README)
    wanted = {"command": "uvx", "args": ["chomp-mcp"]}
    assert json.loads(base64.b64decode(unquote(cursor))) == wanted
    assert json.loads(unquote(vscode)) == {"type": "stdio", **wanted}


def test_every_part_of_the_benchmark_is_named():
    assert [part for part in PARTS if f"| `{part}` |" not in PAGES["speed.md"]] == []


def test_every_client_has_a_block_in_the_readme_and_a_row_among_the_clients():
    assert [name for name in CLIENTS if f"`chomp-mcp install {name}`" not in README] == []
    assert [name for name in CLIENTS if f"| `{name}` |" not in PAGES["clients.md"]] == []


def test_every_tool_is_told():
    assert [tool for tool in TOOLS if f"| `{tool}` |" not in PAGES["mcp.md"]] == []


def test_every_path_is_named(home):
    from chomp_mcp.app import Chomp

    paths = {re.sub(r":\w+}", "}", getattr(route, "path", "")) for route in http.build_app(Chomp()).routes}
    assert [path for path in sorted(paths) if path.rstrip("/") and path.rstrip("/") not in PAGES["http.md"]] == []
