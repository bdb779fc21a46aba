"""A bare MCP client, which sees every line."""

from __future__ import annotations

import sys

import pytest

from chomp_mcp.doors.cli.probe import NoAnswer, Server

NOISY = """
import json
print("hi")
print(json.dumps({"jsonrpc": "2.0", "id": json.loads(input())["id"], "result": {}}))
"""


def test_what_a_server_prints_beside_the_protocol_is_noise():
    with Server([sys.executable, "-c", NOISY], {}) as server:
        assert server.ask("initialize", {}) == {}
    assert server.noise == ["hi"]


def test_a_server_that_ends_at_once_is_told_with_its_last_words():
    with (
        pytest.raises(NoAnswer, match="exit code 1: no module named that"),
        Server([sys.executable, "-c", "raise SystemExit('no module named that')"], {}) as server,
    ):
        server.ask("initialize", {})
