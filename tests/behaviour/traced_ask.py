"""A process with an OpenTelemetry SDK: asks once over MCP, and prints the spans and what the router was sent."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import anyio
from mcp import Client
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from chomp_mcp.doors.mcp.server import build_server
from tests.support.world import world


async def main(home: Path) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    async with world(home, "groq") as w:
        async with Client(build_server(w.chomp)) as client:
            await client.call_tool("ask", {"prompt": "hi", "model": "groq/m"})
        sent = w.groq.chats[0].headers["traceparent"]
    spans = [
        {
            "name": span.name,
            "trace": f"{span.context.trace_id:032x}",
            "span": f"{span.context.span_id:016x}",
            "parent": f"{span.parent.span_id:016x}" if span.parent else "",
            "attributes": dict(span.attributes or {}),
        }
        for span in exporter.get_finished_spans()
    ]
    sys.stdout.write(json.dumps({"traceparent": sent, "spans": spans}, default=str))


anyio.run(main, Path(sys.argv[1]))
