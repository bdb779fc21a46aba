"""The real command in a process of its own, with a clean home and a scripted router that it knows as `lab`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.doors.cli.installing import MOVED
from tests.support.commands import finished
from tests.support.scripted import ScriptedRouter

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(home: Path, tmp_path: Path) -> Run:
    """`run("ask", "hi", stdin="…", env={…})`: the finished process, its output as text."""

    def run(
        *args: str, stdin: str | bytes = "", env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        # A person finds chomp-mcp by its name; the rest is the PATH of the test, which may hide programs.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return finished(
            *args, stdin=stdin, cwd=tmp_path, env={**os.environ, "HOME": str(tmp_path), "PATH": path, **(env or {})}
        )

    return run


@pytest.fixture
def upstream(home: Path) -> Iterator[ScriptedRouter]:
    """The router `lab`: it needs no key and lists `m`."""
    with ScriptedRouter() as upstream:
        upstream.models(["m"])
        home.mkdir()
        (home / "config.toml").write_text(f'[routers.lab]\nurl = "{upstream.url}"\nname = "Lab"\n')
        yield upstream


@pytest.fixture
def keyed(home: Path) -> Iterator[ScriptedRouter]:
    """The router `lab` again, but it needs a key: LAB_API_KEY, or one in the store."""
    with ScriptedRouter() as upstream:
        home.mkdir()
        (home / "config.toml").write_text(f'[routers.lab]\nurl = "{upstream.url}"\nname = "Lab"\nkey = "LAB_API_KEY"\n')
        yield upstream


@pytest.fixture
def no_clients(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No client of whoever runs this: their programs are not on the PATH, their folders not below HOME."""
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in os.environ:
        if name.upper().endswith("_PROXY") or name in {"CLAUDE_CONFIG_DIR", "CODEX_HOME", "XDG_CONFIG_HOME"}:
            monkeypatch.delenv(name)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No client's own command on the PATH, no folder of theirs moved, no proxy: the files stand below HOME."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name in os.environ:
        if name in MOVED or name.upper().endswith("_PROXY") or name.startswith("SSL_CERT"):
            monkeypatch.delenv(name)


@pytest.fixture
def install(run: Run) -> Run:
    return lambda *args, **more: run("install", *args, **more)
