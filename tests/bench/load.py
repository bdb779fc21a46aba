"""Load on an HTTP server: so many connections, each with one request under way at a time, for so many seconds."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
CHAT = "/v1/chat/completions"


@dataclass
class Load:
    """What came of it; times in seconds."""

    seconds: float = 0.0
    requests: int = 0
    errors: int = 0
    events: int = 0
    latencies: list[float] = field(default_factory=list)
    first_events: list[float] = field(default_factory=list)
    p99: float = 0.0

    @property
    def p50(self) -> float:
        return statistics.median(self.latencies)

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


def chat(model: str, *, token: str = "", headers: Mapping[str, str] | None = None, **more: object) -> bytes:
    """A chat request as it goes over the wire."""
    messages = [{"role": "user", "content": "Write one short paragraph about typing tests, with two pangrams in it."}]
    body = {"model": model, "messages": messages, "temperature": 0.7, "max_tokens": 128, **more}
    return request("POST", CHAT, body, token, headers)


def request(
    method: str,
    path: str,
    body: Mapping[str, object] | None = None,
    token: str = "",
    headers: Mapping[str, str] | None = None,
) -> bytes:
    data = json.dumps(body, separators=(",", ":")).encode() if body else b""
    head = [f"{method} {path} HTTP/1.1", "host: localhost", f"content-length: {len(data)}"]
    head += ["content-type: application/json"] if body else []
    head += [f"authorization: Bearer {token}"] if token else []
    head += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*head, "", ""]).encode() + data


def load(port: int, requests: Sequence[bytes], connections: int, seconds: float) -> Load:
    """The requests in turn, on all connections together."""
    done = asyncio.run(_load(port, itertools.cycle(requests), connections, seconds))
    if done.errors or not done.requests:
        raise RuntimeError(f"{done.errors} of {done.requests} answers on port {port} were errors")
    done.p99 = statistics.quantiles(done.latencies, n=100)[98] if done.requests > 1 else done.p50
    return done


async def _load(port: int, requests: Iterator[bytes], connections: int, seconds: float) -> Load:
    loop, total, began = asyncio.get_running_loop(), Load(), time.perf_counter()
    opened = [
        (await loop.create_connection(lambda: _Connection(total, requests, began + seconds), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    await asyncio.gather(*(connection.ended for connection in opened))
    total.seconds = time.perf_counter() - began
    return total


class _Connection(asyncio.Protocol):
    def __init__(self, total: Load, requests: Iterator[bytes], until: float) -> None:
        self.total, self.requests, self.until = total, requests, until
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.send()

    def send(self) -> None:
        self.got, self.end, self.first = bytearray(), 0, 0.0
        self.began = time.perf_counter()
        self.transport.write(next(self.requests))

    def data_received(self, data: bytes) -> None:
        self.got += data
        if not self.first and b"data:" in self.got:
            self.first = time.perf_counter() - self.began
        if not self.end and (head := self.got.find(b"\r\n\r\n")) > 0:
            length = LENGTH.search(self.got, 0, head)
            self.end = head + 4 + int(length[1]) if length else -1
        if len(self.got) >= self.end > 0 or (self.end < 0 and self.got.endswith(b"\r\n0\r\n\r\n")):
            self.count()
            if time.perf_counter() < self.until:
                self.send()
            else:
                self.transport.close()

    def count(self) -> None:
        self.total.requests += 1
        self.total.errors += not self.got.startswith(b"HTTP/1.1 200")
        self.total.latencies.append(time.perf_counter() - self.began)
        if self.first:
            self.total.events += self.got.count(b"data:")
            self.total.first_events.append(self.first)

    def connection_lost(self, exc: Exception | None) -> None:
        self.total.errors += time.perf_counter() < self.until
        self.ended.set_result(None)


def throughput(port: int, body: bytes, connections: int, seconds: float) -> Load:
    """One chat request again and again, by wrk where it is installed: it leaves more of the machine to the server."""
    if not shutil.which("wrk"):
        return load(port, [body], connections, seconds)
    head, _, data = body.decode().partition("\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:])
    script = f"wrk.method = 'POST'\nwrk.body = [[{data}]]\n"
    script += "".join(f"wrk.headers['{name}'] = '{headers[name]}'\n" for name in headers.keys() - {"content-length"})
    with tempfile.TemporaryDirectory() as folder:
        (lua := Path(folder) / "post.lua").write_text(script)
        told = [
            "-t1",
            f"-c{connections}",
            f"-d{max(1, round(seconds))}s",
            "--latency",
            "--timeout",
            "20s",
            "-s",
            str(lua),
        ]
        command = ["wrk", *told, f"http://127.0.0.1:{port}{CHAT}"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate, p99 = re.search(r"Requests/sec: +([\d.]+)", said), re.search(r"99% +([\d.]+)(\w+)", said)
    if rate is None or p99 is None or "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(said)
    return Load(1.0, round(float(rate[1])), p99=float(p99[1]) * {"us": 1e-6, "ms": 1e-3, "s": 1.0}[p99[2]])
