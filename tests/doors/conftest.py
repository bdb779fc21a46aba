"""A served gateway with one scripted router behind it, `lab`, and one that needs a key, `groq`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.doors.files.asking import PDF, PNG
from tests.support.scripted import ScriptedRouter
from tests.support.serving import Served, serving, settings_for


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedRouter]:
    async with ScriptedRouter() as router:
        yield router


@pytest.fixture
async def gateway(home: Path, upstream: ScriptedRouter) -> AsyncIterator[Served]:
    async with serving(settings_for(home, lab=upstream.url)) as served:
        yield served


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder of somebody's work, inside of which files may be read."""
    folder = tmp_path / "work" / "project"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "a.py").write_text("print('a')\n")
    (folder / "src" / "b.py").write_text("print('b')\n")
    (folder / "README.md").write_text("# Project\n")
    (folder / ".env").write_text("TOKEN=1\n")
    (folder / "logo.png").write_bytes(PNG)
    (folder / "paper.pdf").write_bytes(PDF)
    (folder / "data.bin").write_bytes(b"\0\1\2\3")
    (tmp_path / "work" / "outside.txt").write_text("outside")
    return folder
