"""Spawn to the answer of `initialize`: chomp-mcp beside a bare one-tool server, as milliseconds and as their ratio.

python tests/bench/cold_start.py [ROUNDS]
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bench", "version": "0"}},
}
COMMANDS = {
    "bare": [sys.executable, str(Path(__file__).with_name("bare_server.py"))],
    "chomp-mcp": [str(Path(sys.executable).parent / ("chomp-mcp.exe" if os.name == "nt" else "chomp-mcp"))],
}


def milliseconds(command: list[str], home: str) -> float:
    """One start."""
    environment = {**os.environ, "CHOMP_HOME": home}
    began = time.perf_counter()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as server:
        if server.stdin is None or server.stdout is None:
            raise RuntimeError("no pipes")
        server.stdin.write(json.dumps(INITIALIZE).encode() + b"\n")
        server.stdin.flush()
        answer = json.loads(server.stdout.readline())
        took = (time.perf_counter() - began) * 1000
        server.stdin.close()
    if answer["id"] != 1 or "result" not in answer:
        raise RuntimeError(f"{command} did not answer")
    return took


def main(rounds: int) -> None:
    """In turns, so that whatever else the machine does hits both; the first round of each only fills the caches."""
    took: dict[str, list[float]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as home:
        for turn in range(rounds + 1):
            for name, command in COMMANDS.items():
                measured = milliseconds(command, home)
                if turn:
                    took[name].append(measured)
    medians = {name: statistics.median(values) for name, values in took.items()}
    for name, values in took.items():
        sys.stdout.write(f"{name:10} median {medians[name]:6.0f} ms   min {min(values):6.0f} ms   of {rounds}\n")
    sys.stdout.write(f"ratio      median {medians['chomp-mcp'] / medians['bare']:6.2f}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
