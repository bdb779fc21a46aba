"""The public names have types that mypy and pyright know, down to the last field."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(330)

ROOT = Path(__file__).parent.parent.parent
RIGHT = [Path(__file__).parent / "api.py", ROOT / "examples" / "chomp_client.py"]
"""What uses our names; the other examples use those of the SDKs alone."""
BEHIND = """
[mypy]
[mypy-aiohttp.*,cryptography.*,docket.*,mcp.*,opentelemetry.*,pydantic.*,redis.*,starlette.*,uvicorn.*]
follow_imports = skip
"""
"""No public name of ours has a type of these, and to read them takes four times as long as all else."""
WRONG = (
    'from chomp_mcp import Chomp\n\n\nasync def main(chomp: Chomp) -> int:\n    return (await chomp.ask("hi")).text\n'
)


def checked(command: list[str], folder: Path) -> set[str]:
    """The names of the files in which a checker found an error, or the whole of what it said."""
    told = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )
    errors = [line for line in told.stdout.splitlines() if "error:" in line or "- error" in line]
    assert errors, told.stdout + told.stderr
    return {Path(line.strip().partition(":")[0]).name for line in errors}


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """What is right, and what is wrong: a checker that is silent about both has not looked."""
    (tmp_path / "wrong.py").write_text(WRONG)
    return [*map(str, RIGHT), str(tmp_path / "wrong.py")]


def test_the_public_names_are_typed_for_mypy(files: list[str], tmp_path: Path) -> None:
    (tmp_path / "mypy.ini").write_text(BEHIND)
    command = ["mypy", "--strict", "--config-file", "mypy.ini", "--cache-dir", str(tmp_path / "cache")]
    assert checked([*command, *files], tmp_path) == {"wrong.py"}


def test_the_public_names_are_typed_for_pyright(files: list[str], tmp_path: Path) -> None:
    settings = {"typeCheckingMode": "strict", "include": files, "pythonVersion": "3.11"}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    command = ["basedpyright", "--project", str(tmp_path), "--pythonpath", sys.executable]
    assert checked(command, tmp_path) == {"wrong.py"}
