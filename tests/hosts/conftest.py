"""Real programs from npm, installed once into a folder of their own and run offline against a served gateway.

`pytest -m hosts tests/hosts` runs them; `HOSTS_CACHE` names a folder that keeps what was installed.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

from tests.support.scripted import ScriptedRouter

SECONDS = 240
"""For a whole run of a program: they start slowly, and the machine may be busy."""


@dataclass(frozen=True)
class Done:
    """A program that has ended."""

    code: int | None
    out: str
    err: str


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedRouter]:
    async with ScriptedRouter() as router:
        router.models(["m"])
        yield router


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """`installed("@anthropic-ai/claude-code@2.1.332", "claude")`: the program's path."""

    def install(package: str, program: str) -> Path:
        if not shutil.which("npm"):
            pytest.fail("npm is not installed")
        named = os.environ.get("HOSTS_CACHE")
        folder = Path(named) if named else tmp_path_factory.getbasetemp() / "hosts"
        path = folder / "node_modules" / ".bin" / program
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), package]
            subprocess.run(command, check=True, capture_output=True, timeout=SECONDS)
            script = folder / "node_modules" / re.sub(r"(?<=.)@[^/@]*$", "", package) / "install.cjs"
            if script.exists():  # npm no longer runs it by itself
                subprocess.run(
                    ["node", script.name], cwd=script.parent, check=True, capture_output=True, timeout=SECONDS
                )
        return path

    return install


@pytest.fixture(scope="session")
def installed_from_pypi(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """The same for a program from PyPI, in an environment of its own."""

    def install(package: str, program: str) -> Path:
        named = os.environ.get("HOSTS_CACHE")
        folder = (Path(named) if named else tmp_path_factory.getbasetemp() / "hosts") / package
        path = folder / "bin" / program
        if not path.exists():
            subprocess.run([sys.executable, "-m", "venv", folder], check=True, timeout=SECONDS)
            pip = [folder / "bin" / "pip", "install", "-q", package]
            subprocess.run(pip, check=True, capture_output=True, timeout=4 * SECONDS)
        return path

    return install


@pytest.fixture
def run_host(tmp_path: Path) -> Callable[..., object]:
    """`await run_host(program, *arguments, **environment)`, with a home and a folder of its own, and no network."""

    async def run(program: Path, *arguments: str, **environment: str) -> Done:
        folder, user = tmp_path / "work", tmp_path / "user"
        folder.mkdir(exist_ok=True)
        user.mkdir(exist_ok=True)
        env: Mapping[str, str] = {"PATH": os.environ["PATH"], "HOME": str(user), **environment}
        pipe = asyncio.subprocess.PIPE
        started = await asyncio.create_subprocess_exec(
            program, *arguments, cwd=folder, env=env, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
        )
        try:
            with anyio.fail_after(SECONDS):
                out, err = await started.communicate()
        finally:
            if started.returncode is None:
                started.kill()
        return Done(started.returncode, out.decode(), err.decode())

    return run
