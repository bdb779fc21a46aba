"""What the doors cost beside chat completions: `python -m tests.bench.doors [--rounds N] [--seconds S]`.

CPU of the gateway alone, by request and by event of a stream: what a stream costs more than a request. All doors are
asked in turns in one process. `native` is a door on a router that speaks its own API.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.load import load, request
from tests.bench.servers import Server, chomp, upstream
from tests.bench.upstream import BURST, TEXT

PROMPT = "Write one short paragraph about typing tests, with two pangrams in it."
LARGE = [{"role": ("user", "assistant")[n % 2], "content": TEXT * 6} for n in range(31)]
CONFIG = """
[routers.native]
url = "http://127.0.0.1:{port}/v1"
dialect = "anthropic"

[routers.native.prices]
m0 = {{ input = 1, output = 2 }}

[routers.gpt]
url = "http://127.0.0.1:{port}/v1"
dialect = "responses"

[routers.gpt.prices]
m0 = {{ input = 1, output = 2 }}
"""
DOORS: Mapping[str, tuple[str, str]] = {
    "chat completions": ("/v1/chat/completions", "groq/openai/gpt-oss-120b"),
    "messages": ("/v1/messages", "groq/openai/gpt-oss-120b"),
    "messages, native": ("/v1/messages", "native/m0"),
    "responses": ("/v1/responses", "groq/openai/gpt-oss-120b"),
    "responses, native": ("/v1/responses", "gpt/m0"),
}


def asked(server: Server, door: str, messages: object = None, **more: object) -> bytes:
    path, model = DOORS[door]
    said = messages or [{"role": "user", "content": PROMPT}]
    is_responses = door.startswith("responses")
    named = "input" if is_responses else "messages"
    most = "max_output_tokens" if is_responses else "max_tokens"
    return request("POST", path, {"model": model, named: said, most: 128, **more}, server.token)


def cpu_us(server: Server, body: bytes, seconds: float) -> float:
    """Microseconds of the gateway's CPU for one request."""
    before = server.cpu_seconds()
    done = load(server.port, [body], 16, seconds)
    return (server.cpu_seconds() - before) / done.requests * 1e6


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    arguments = parser.parse_args()
    told: dict[str, dict[str, list[float]]] = {door: defaultdict(list) for door in DOORS}
    with TemporaryDirectory() as folder, upstream() as direct:
        server = chomp(Path(folder), direct.port, CONFIG.format(port=direct.port))
        with server.running():
            for door in DOORS:
                load(server.port, [asked(server, door)], 16, arguments.seconds / 2)
            for _ in range(arguments.rounds):
                for door, row in told.items():
                    small = cpu_us(server, asked(server, door), arguments.seconds)
                    burst = cpu_us(server, asked(server, door, stream=True), arguments.seconds)
                    row["request"].append(small)
                    row["event"].append((burst - small) / BURST)
                    row["68 kB"].append(cpu_us(server, asked(server, door, LARGE), arguments.seconds))
    chat = {column: statistics.median(values) for column, values in told["chat completions"].items()}
    sys.stdout.write(f"{'CPU us':<18}" + "".join(f"{column:>20}" for column in chat) + "\n")
    for door, row in told.items():
        figures = {column: statistics.median(values) for column, values in row.items()}
        cells = [f"{figure:>12,.1f} ({figure / chat[column]:.2f}x)" for column, figure in figures.items()]
        sys.stdout.write(f"{door:<18}" + "".join(f"{cell:>20}" for cell in cells) + "\n")


if __name__ == "__main__":
    main()
