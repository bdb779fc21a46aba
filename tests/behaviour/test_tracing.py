"""One trace from the MCP call to the router, for whoever has an OpenTelemetry SDK."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_one_trace_leads_from_the_mcp_call_to_the_router(home: Path) -> None:
    command = [sys.executable, "-m", "tests.behaviour.traced_ask", str(home)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50, check=True)
    told = json.loads(ran.stdout)
    _, trace_id, span_id, _ = told["traceparent"].split("-")
    spans = {span["span"]: span for span in told["spans"]}
    attempt = spans[span_id]
    exchange = spans[attempt["parent"]]
    assert attempt["attributes"]["gen_ai.provider.name"] == "groq"
    assert exchange["name"] == "chat groq/m"
    assert exchange["attributes"]["gen_ai.usage.output_tokens"] == 3
    root = spans[exchange["parent"]]
    assert "tools/call" in root["name"]
    assert {attempt["trace"], exchange["trace"], root["trace"]} == {trace_id}
