"""The benchmark: what the gateway costs beside its peers, for an MCP call, and as there is more of everything.

python -m tests.bench [peers] [mcp] [growth] [--rounds N] [--seconds S]

Peers are a bare pass-through and, where they are installed, LiteLLM (`litellm` on the PATH) and Portkey (PORTKEY, the
path of its command `gateway`).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import shutil
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench import cold_start, mcp_calls
from tests.bench.growth import DIMENSIONS, costs, curve
from tests.bench.load import load, throughput
from tests.bench.mcp_calls import ASK, EXCHANGE, FLOOR, JOB, OURS, OWN
from tests.bench.servers import CORES, SECOND_CORE, Server, bare, chomp, litellm, portkey, two_workers, upstream
from tests.bench.upstream import TEXT

Row = dict[str, float | None]
COLUMNS = {
    "added p50 ms": "p50",
    "added p99 ms": "p99",
    "req/s, 16": "rate_16",
    "req/s, 64": "rate_64",
    "p99 ms, 64": "p99_64",
    "68 kB / small": "large",
    "CPU us/req": "cpu",
    "added TTFT ms": "first",
    "events/s, 16": "events",
    "start s": "start",
    "MiB idle": "idle",
    "MiB after": "loaded",
}
METHOD = """
Medians of {rounds} rounds, in which the servers take turns; {seconds:g} s for each figure; one process each{pinned}.
added: at one connection, less what the same takes without a gateway in between. TTFT: time to the first token.
req/s: at 16 and 64 connections, by {tool}. 68 kB: requests of that size, at 16, as a part of the rate of small ones.
events/s: 16 streams of 200 events that come at once.
start: from exec to the first answer. Only ratios within one table count, and a p99 of a few ms is partly the machine's.
"""
LARGE = [{"role": ("user", "assistant")[n % 2], "content": TEXT * 6} for n in range(31)]
"""68 kB of conversation."""
MCP_COLUMNS = (FLOOR, OURS, OWN)
MCP_METHOD = """
Microseconds for an MCP call, by the SDK's own client, one call after the other: medians of {rounds} rounds, in which
the sides take turns of {seconds:g} s. bare SDK: an idle tool with the same parameters and the same result. The model is
mock/echo; chomp.ask and chomp.jobs.ask are what lies below the tool ask.
"""
VERSIONS = ("chomp-mcp", "mcp", "aiohttp", "starlette", "uvicorn", "uvloop", "litellm")


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def measured(server: Server, seconds: float) -> Row:
    """One turn of a running server."""
    row: Row = {"start": server.start_seconds, "idle": server.resident_mib()}
    load(server.port, [server.chat()], 16, seconds / 2)
    one = load(server.port, [server.chat()], 1, seconds)
    slow = server.chat(stream=True, user="slow")
    first = statistics.median(load(server.port, [slow], 1, seconds).first_events)
    row |= {"p50": one.p50 * 1e3, "p99": one.p99 * 1e3, "first": first * 1e3}
    before = server.cpu_seconds()
    counted = load(server.port, [server.chat()], 16, seconds)
    row["cpu"] = (server.cpu_seconds() - before) / counted.requests * 1e6
    row["rate_16"] = rate = throughput(server.port, server.chat(), 16, seconds).rate
    row["large"] = throughput(server.port, server.chat(messages=LARGE), 16, seconds).rate / rate
    most = throughput(server.port, server.chat(), 64, seconds)
    burst = load(server.port, [server.chat(stream=True)], 16, seconds)
    row |= {"rate_64": most.rate, "p99_64": most.p99 * 1e3, "events": burst.events / burst.seconds}
    return row | {"loaded": server.resident_mib()}


def peers(rounds: int, seconds: float) -> None:
    """The table of all servers, and how many times as much as each of the others the gateway has."""
    rows: dict[str, list[Row]] = defaultdict(list)
    with TemporaryDirectory() as folder, upstream() as direct:
        for turn in range(rounds):
            rows["direct"].append(measured(direct, seconds))
            home = Path(folder) / str(turn)
            for server in (
                bare(direct.port),
                chomp(home, direct.port),
                *two_workers(home / "workers", direct.port),
                *litellm(Path(folder), direct.port),
                *portkey(direct.port),
            ):
                with server.running():
                    rows[server.name].append(measured(server, seconds))
    table = {name: medians(each) for name, each in rows.items()}
    without = table.pop("direct")
    for row in table.values():
        row |= {column: (row[column] or 0) - (without[column] or 0) for column in ("p50", "p99", "first")}
    ours = table["chomp-mcp"]
    say(f"{'':12}", *(f"{title:>14}" for title in COLUMNS))
    for name, row in table.items():
        say(f"{name:12}", *(f"{figure(row[column]):>14}" for column in COLUMNS.values()))
    for name in (name for name in table if name != "chomp-mcp"):
        say(f"{'x ' + name:12}", *(f"{ratio(ours[column], table[name][column]):>14}" for column in COLUMNS.values()))
    pinned = ", on a core of its own, and the load and the router behind it on another" if len(CORES) > 1 else ""
    tool = "wrk" if shutil.which("wrk") else "this script"
    say(METHOD.format(rounds=rounds, seconds=seconds, pinned=pinned, tool=tool))
    if not SECOND_CORE:
        say("serve --workers 2 is left out: it needs a third core for the load.\n")
    say("stdio: from spawn to the answer of initialize, beside a one-tool server on the bare MCP SDK")
    cold_start.main(max(3, rounds))


def mcp(rounds: int, seconds: float) -> None:
    """The table of what is our own of an MCP call, and of how that of `ask` comes about."""
    found = {kind: medians(each) for kind, each in asyncio.run(mcp_calls.costs(rounds, seconds)).items()}
    say(MCP_METHOD.format(rounds=rounds, seconds=seconds / 4))
    say(f"{'':24}", *(f"{title:>10}" for title in MCP_COLUMNS))
    for kind, row in found.items():
        say(f"{kind:24}", *(f"{row[column] or 0:>10,.0f}" if column in row else f"{'':10}" for column in MCP_COLUMNS))
    exchange, job, ask = (found[kind][OWN] or 0 for kind in (EXCHANGE, JOB, ASK))
    say(f"ask: {exchange:.0f} the exchange, {job - exchange:.0f} the job around it, {ask - job:.0f} the tool\n")


def growth(rounds: int, seconds: float) -> None:
    """The table of what a request costs as there is more, relative to the smallest."""
    say("microseconds of CPU for each request, relative to the smallest size, and as a curve from 0")
    with upstream() as direct:
        for dimension in DIMENSIONS:
            found: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
            for _ in range(rounds):
                for size in dimension.sizes:
                    for kind, cost in costs(dimension, size, direct.port, seconds / 4).items():
                        found[kind][size].append(cost)
            say(f"{dimension.name:32}", *(f"{size:>16,}" for size in dimension.sizes))
            for kind, by_size in found.items():
                values = [statistics.median(each) for each in by_size.values()]
                say(f"  {kind:30}", *(f"{value:8.0f} x{value / values[0]:<6.2f}" for value in values), curve(values))


def medians(rows: Sequence[Row]) -> Row:
    columns = {column: [row[column] or 0.0 for row in rows] for column in rows[0]}
    return {column: statistics.median(values) for column, values in columns.items()}


def figure(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def ratio(ours: float | None, theirs: float | None) -> str:
    return f"{ours / theirs:.2f}" if ours and theirs else ""


def machine() -> str:
    found = []
    for name in VERSIONS:
        with suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    if "PORTKEY" in os.environ and (node := shutil.which("node")):
        found.append(
            f"node {subprocess.run([node, '--version'], capture_output=True, text=True, check=True).stdout.strip()}"
        )
    return f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, {', '.join(found)}\n"


PARTS = {"peers": peers, "mcp": mcp, "growth": growth}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (default: all)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each figure of peers; the others take less")
    chosen = parser.parse_args()
    say(machine())
    for part in chosen.parts or PARTS:
        PARTS[part](chosen.rounds, chosen.seconds)


if __name__ == "__main__":
    main()
