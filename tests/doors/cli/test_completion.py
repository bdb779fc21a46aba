"""Completion of commands, options, routers and models, as a shell meets it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("chomp-mcp keys add gr", {"groq"}),
        ("chomp-mcp models gr", {"groq"}),
        ("chomp-mcp ask hi -m mock/ec", {"mock/echo"}),
        ("chomp-mcp insta", {"install"}),
        ("chomp-mcp install clau", {"claude-desktop", "claude-code"}),
    ],
)
def test_a_shell_is_told_the_words_that_fit(home, tmp_path, line, expected):
    out = tmp_path / "words"
    env = {
        **os.environ,
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(out),
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
    }
    script = Path(sys.executable).parent / "chomp-mcp"
    subprocess.run([script], env=env, stdin=subprocess.DEVNULL, check=True, timeout=50)
    assert {word.strip() for word in out.read_text().split("\n")} == expected


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_has_its_script(run, shell):
    done = run("completion", shell)
    assert done.returncode == 0
    assert "chomp-mcp" in done.stdout
