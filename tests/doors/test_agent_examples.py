"""The examples of agent frameworks run as they stand, with their frameworks' default settings, on the mock models."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path

import anyio
import pytest

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

EXAMPLES = Path(__file__).parents[2] / "examples" / "agents"
PYTHON = Path(sys.prefix) / "agents" / "bin" / "python"
NODE_MODULES = [EXAMPLES / "node_modules", *map(Path, filter(None, os.environ.get("NODE_PATH", "").split(os.pathsep)))]
TOOLS = "ask, dispatch, list_models, register_keys, result, status"


def missing(install: str) -> None:
    """CI installs them; elsewhere they are large."""
    if os.environ.get("CI"):
        pytest.fail(f"not installed: {install}")
    pytest.skip(install)


@pytest.fixture
def python() -> Path:
    if not PYTHON.exists():
        missing(f"python3 -m venv {PYTHON.parents[1]} && {PYTHON} -m pip install -r {EXAMPLES / 'requirements.txt'}")
    return PYTHON


@pytest.fixture
def modules() -> Path:
    found = next((folder for folder in NODE_MODULES if (folder / "@ai-sdk" / "mcp").is_dir()), None)
    if found is None or not shutil.which("node"):
        missing(f"npm install --prefix {EXAMPLES}")
    return found


async def run(gateway, tmp_path: Path, *command: object, path: str = "") -> list[str]:
    """The lines that it printed. Its servers have a home of their own: frameworks hand on HOME and PATH alone."""
    scripts = os.pathsep.join(filter(None, (path, str(Path(sys.executable).parent), os.environ["PATH"])))
    env = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "CHOMP_"))}
    env |= {"HOME": str(tmp_path), "PATH": scripts, "CHOMP_URL": gateway.url}
    pipe = asyncio.subprocess.PIPE
    started = await asyncio.create_subprocess_exec(*map(str, command), env=env, stdout=pipe, stderr=pipe)
    with anyio.fail_after(120):
        out, err = await started.communicate()
    assert started.returncode == 0, err.decode()
    return out.decode().splitlines()


@pytest.mark.parametrize("name", ["pydantic_ai_agent", "openai_agents", "langchain_agent"])
async def test_an_agent_uses_a_model_of_ours_and_our_tools(gateway, tmp_path, python, name):
    told = await run(gateway, tmp_path, python, EXAMPLES / f"{name}.py")
    assert told[:3] == ["Say hello.", TOOLS, "What do you think?"]


async def test_fastmcps_client(gateway, tmp_path, python):
    told = await run(gateway, tmp_path, python, EXAMPLES / "fastmcp_client.py")
    assert told[:2] == [TOOLS, "What do you think?"]
    assert "Take your time." in told


@pytest.mark.parametrize("delay", [0, 1.5], ids=["at once", "a slow start"])
async def test_the_vercel_ai_sdk(gateway, tmp_path, modules, delay):
    """Its client probes for a second and then says `initialize`: a server that starts late answers both at once."""
    real = Path(sys.executable).parent / "chomp-mcp"
    (tmp_path / "bin").mkdir()
    slow = tmp_path / "bin" / "chomp-mcp"
    slow.write_text(f'#!/bin/sh\nsleep {delay}\nexec "{real}" "$@"\n')
    slow.chmod(0o755)
    shutil.copy(EXAMPLES / "vercel_ai_sdk.mjs", tmp_path)
    (tmp_path / "node_modules").symlink_to(modules)
    told = await run(gateway, tmp_path, "node", tmp_path / "vercel_ai_sdk.mjs", path=str(slow.parent))
    assert told[:3] == ["Say hello.", TOOLS, "What do you think?"]
