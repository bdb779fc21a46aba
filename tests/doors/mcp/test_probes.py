"""A client that asks what we speak has not yet said what it will."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.doors.mcp.test_stdio import INITIALIZE, started
from tests.doors.mcp.test_stdio_lines import ENVELOPE, talk

pytestmark = pytest.mark.anyio


def asking(arguments: Any, request_id: Any = 2, tool: str = "ask", **params: Any) -> dict[str, Any]:
    call = {"name": tool, "arguments": arguments, **params}
    return {"jsonrpc": "2.0", "id": request_id, "method": "tools/call", "params": call}


def _is_hi(answer: dict[str, Any]) -> bool:
    return bool(answer["result"]["structuredContent"]["text"] == "hi")


ECHO = {"prompt": "hi", "model": "mock/echo"}


def test_a_probe_does_not_lock_the_connection(tmp_path: Path) -> None:
    probe = {"jsonrpc": "2.0", "id": 0, "method": "server/discover", "params": {"_meta": ENVELOPE}}
    with started(tmp_path) as server:
        answers = talk(
            server, json.dumps(probe), json.dumps(INITIALIZE), json.dumps({**probe, "id": 5}), json.dumps(asking(ECHO))
        )
    assert [answer["id"] for answer in answers] == [0, 1, 5, 2]
    assert "2026-07-28" in answers[0]["result"]["supportedVersions"]  # type: ignore[index]
    assert answers[1]["result"]["protocolVersion"] == "2025-11-25"  # type: ignore[index]
    assert _is_hi(answers[3])


def test_a_probe_may_be_followed_by_what_it_asked_for(tmp_path: Path) -> None:
    probe = {"jsonrpc": "2.0", "id": 0, "method": "server/discover", "params": {"_meta": ENVELOPE}}
    with started(tmp_path) as server:
        answers = talk(server, json.dumps(probe), json.dumps(asking(ECHO, _meta=ENVELOPE)))
    assert answers[1]["result"]["resultType"] == "complete"  # type: ignore[index]
