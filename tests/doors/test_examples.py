"""The examples run as they stand, against a served gateway and its mock router."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path

import anyio
import pytest

pytestmark = pytest.mark.anyio

EXAMPLES = Path(__file__).parents[2] / "examples"
NODE_MODULES = [EXAMPLES / "node_modules", *map(Path, filter(None, os.environ.get("NODE_PATH", "").split(os.pathsep)))]


async def run(gateway, *command: object) -> str:
    env = {**os.environ, "CHOMP_URL": gateway.url}
    pipe = asyncio.subprocess.PIPE
    started = await asyncio.create_subprocess_exec(*map(str, command), env=env, stdout=pipe, stderr=pipe)
    with anyio.fail_after(30):
        out, err = await started.communicate()
    assert started.returncode == 0, err.decode()
    return out.decode()


async def test_the_openai_sdk_in_python(gateway):
    told = await run(gateway, sys.executable, EXAMPLES / "openai_sdk.py")
    assert told.startswith("Say hello.\nanswered by mock for 0 USD\nCount to three.\n")
    assert told.endswith(" models\n")


async def test_the_anthropic_sdk_in_python(gateway):
    told = await run(gateway, sys.executable, EXAMPLES / "anthropic_sdk.py")
    assert told.startswith("Say hello.\nanswered by mock after 1 attempts\nCount to three.\n")
    assert told.endswith(" models\n")


async def test_chomp_client(gateway):
    told = await run(gateway, sys.executable, EXAMPLES / "chomp_client.py")
    assert told.startswith("Say hello.\nCount to three.\ndone Say hello, when you have the time.\n")
    assert told.endswith("refused: 502 upstream_error\n")


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl here")
async def test_curl(gateway):
    told = await run(gateway, "sh", EXAMPLES / "curl.sh")
    assert "data: [DONE]" in told
    assert '"status":"done"' in told
    assert told.endswith('{"status":"ok"}\n')


async def test_the_openai_sdk_in_javascript(gateway, tmp_path):
    modules = next((folder for folder in NODE_MODULES if (folder / "openai").is_dir()), None)
    if modules is None or not shutil.which("node"):
        pytest.skip("npm install --prefix examples first")
    shutil.copy(EXAMPLES / "openai_sdk.mjs", tmp_path)
    (tmp_path / "node_modules").symlink_to(modules)
    told = await run(gateway, "node", tmp_path / "openai_sdk.mjs")
    assert told.startswith("Say hello.\nanswered by mock for 0 USD\nCount to three.\n")
    assert told.endswith(" models\n")
