"""The parts of the benchmark that no other test runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from mcp import Client

from chomp_mcp.app import Chomp
from chomp_mcp.doors.mcp.server import build_server
from tests.bench.bare_tools import bare_tools

ROOT = Path(__file__).parents[2]


def test_the_part_mcp_tells_the_costs_of_calls():
    command = [sys.executable, "-m", "tests.bench", "mcp", "--rounds", "1", "--seconds", "0"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=50).stdout
    for tool in ("ask", "result", "list_models", "status"):
        for way in ("in process", "stdio"):
            assert re.search(rf"^{way}, {tool} +[\d,]+ +[\d,]+ +-?[\d,]+$", told, re.MULTILINE), told
    assert re.search(r"^ask: \d+ the exchange, -?\d+ the job around it, -?\d+ the tool$", told, re.MULTILINE)


@pytest.mark.anyio
async def test_the_idle_tools_of_the_benchmark_look_like_ours(home):
    async with Chomp() as chomp, Client(build_server(chomp)) as ours, Client(bare_tools({})) as bare:
        our_tools = {tool.name: tool for tool in (await ours.list_tools()).tools}
        for idle in (await bare.list_tools()).tools:
            real = our_tools[idle.name]
            assert idle.input_schema["properties"].keys() == real.input_schema["properties"].keys()
            assert idle.output_schema == real.output_schema
