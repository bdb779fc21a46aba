"""Claude Code on a terminal takes tasks: a slow `ask` moves to the background, and its answer comes later.

CHOMP_TEST_HOSTS=~/hosts pytest -m hosts tests/hosts/test_claude_task.py
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import anyio
import pytest

from tests.hosts.model import Call, ScriptedModel
from tests.hosts.programs import PACKAGES, claude_environment
from tests.support.serving import process, url_of

pytestmark = [pytest.mark.hosts, pytest.mark.anyio, pytest.mark.timeout(400)]
ANSWER = "Lorem ipsum dolor sit amet, consectetur adipiscing elit"
SLOW = Call("ask", {"prompt": "Take your time", "model": "mock/slow?seconds=8"})


@contextmanager
def on_a_terminal(command: list[str], folder: Path, env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """The program on a pseudo-terminal that somebody reads."""
    import pty

    outer, inner = pty.openpty()
    with subprocess.Popen(command, cwd=folder, env=env, stdin=inner, stdout=inner, stderr=inner) as started:
        os.close(inner)

        def read() -> None:
            with suppress(OSError):
                while os.read(outer, 65_536):
                    pass

        threading.Thread(target=read, daemon=True).start()
        try:
            yield started
        finally:
            started.kill()
            started.wait(10)
    os.close(outer)


async def test_a_slow_answer_is_a_task_that_ends_in_a_turn_of_its_own(installed, home, tmp_path):
    claude = installed(PACKAGES["claude"], "claude")
    work = tmp_path / "work"
    work.mkdir()
    settled = {"hasTrustDialogAccepted": True, "hasCompletedProjectOnboarding": True}
    known = {"hasCompletedOnboarding": True, "theme": "dark", "projects": {str(work): settled}}
    (tmp_path / ".claude").mkdir()
    (tmp_path / ".claude" / ".claude.json").write_text(json.dumps(known))
    async with process(home, "--port", "0", CHOMP_DEADLINE_SECONDS="3") as served:
        entry = {"type": "http", "url": f"{await url_of(served)}/mcp"}
        (tmp_path / "mcp.json").write_text(json.dumps({"mcpServers": {"chomp": entry}}))
        options = ["--mcp-config", str(tmp_path / "mcp.json"), "--strict-mcp-config", "--allowedTools", "mcp__chomp"]
        command = [str(claude), "Ask chomp.", *options, "--model", "claude-sonnet-4-5"]
        with ScriptedModel([SLOW]) as model:
            env = {**claude_environment(model, tmp_path), "HOME": str(tmp_path), "PATH": os.environ["PATH"]}
            with on_a_terminal(command, work, {**env, "TERM": "xterm-256color"}):
                assert await anyio.to_thread.run_sync(model.saw, ANSWER, 300)
    assert "started server-side task job_" in model.results()[0]
    assert len(model.results()) == 1
