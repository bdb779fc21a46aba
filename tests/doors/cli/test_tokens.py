from __future__ import annotations

import json
import re


def test_tokens_are_made_listed_rotated_and_revoked(run, home):
    done = run(
        *("tokens", "add", "ci", "--models", "groq/*,coding", "--doors", "openai,mcp"),
        *("--daily", "2", "--monthly", "20", "--rps", "5", "--expires", "30d"),
    )
    assert done.returncode == 0, done.stderr
    token = done.stdout.strip()
    assert len(token) == len("chomp_") + 64
    assert token not in (home / "keys.json").read_text()

    (row,) = json.loads(run("tokens", "list", "--json").stdout)
    assert row["name"] == "ci"
    assert row["models"] == ["groq/*", "coding"]
    assert row["doors"] == ["openai", "mcp"]
    assert (row["daily"], row["monthly"], row["rps"], row["used"]) == ("2", "20", 5.0, None)
    assert re.search(r"ci .* \d{4}-\d\d-\d\d \d\d:\d\d  -$", run("tokens").stdout, re.MULTILINE)

    twice = run("tokens", "add", "ci")
    assert twice.returncode == 2
    other = run("tokens", "rotate", "ci").stdout.strip()
    assert other.startswith("chomp_")
    assert other != token
    assert run("tokens", "revoke", "ci").stdout == "ci: revoked\n"
    assert json.loads(run("tokens", "list", "--json").stdout) == []
    assert run("tokens", "revoke", "ci").returncode == 2
    assert run("tokens").stderr == "No tokens. Make one with: chomp-mcp tokens add NAME\n"
