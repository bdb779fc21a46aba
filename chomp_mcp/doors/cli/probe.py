"""A bare MCP client over stdio that sees every line: the SDK's own would hide what does not belong on stdout."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, Self

ANSWER_SECONDS = 30.0
HTTP_SECONDS = 5.0
LAST_LINES = 3
"""Of a server's stderr, where it ended."""
HELLO: Mapping[str, Any] = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "chomp-mcp doctor", "version": "1"},
}


def start(command: Sequence[str], env: Mapping[str, str]) -> float:
    """Start the server and greet it; the seconds that it took (`NoAnswer`)."""
    began = time.monotonic()
    with Server(command, env) as server:
        server.ask("initialize", HELLO)
        return time.monotonic() - began


def answers_http(url: str) -> str:
    """Why no MCP server answers there; empty where one does. A refusal for want of a token is an answer."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": HELLO}).encode()
    headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
    if not url.startswith(("http://", "https://")):
        return "is no http(s) URL"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=HTTP_SECONDS):  # noqa: S310
            return ""
    except urllib.error.HTTPError as error:
        return "" if error.code in {401, 403, 405} else f"answers with {error.code}. Is its path /mcp?"
    except (OSError, ValueError) as error:
        return f"does not answer ({getattr(error, 'reason', error)}). Start it with: chomp-mcp serve"


class NoAnswer(Exception):
    """The server ended, or said nothing in time."""


class Server:
    """A server process; `noise` holds the lines of its stdout that were not JSON-RPC."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str]) -> None:
        self._command, self._env = list(command), dict(env)
        self._lines: queue.Queue[bytes] = queue.Queue()
        self._asked = 0
        self.noise: list[str] = []

    def __enter__(self) -> Self:
        pipe = subprocess.PIPE
        try:
            self._process = subprocess.Popen(self._command, env=self._env, stdin=pipe, stdout=pipe, stderr=pipe)
        except OSError as error:
            raise NoAnswer(f"{self._command[0]} could not be started: {error.strerror}. Install it anew") from None
        self._errors: list[bytes] = []

        def read_output() -> None:
            for line in self._process.stdout or ():
                self._lines.put(line)
            self._lines.put(b"")

        def read_errors() -> None:
            for line in self._process.stderr or ():
                self._errors.append(line)
                del self._errors[:-50]

        # Both at once: a server that fills a pipe which nobody reads stands still.
        self._threads = [threading.Thread(target=target, daemon=True) for target in (read_output, read_errors)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.stdin:
            with contextlib.suppress(OSError):  # what was still to be written to one that has ended
                self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for thread in self._threads:
            thread.join(1)
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe:
                pipe.close()

    def ask(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        self._asked += 1
        self._send({"jsonrpc": "2.0", "id": self._asked, "method": method, "params": params})
        while True:
            try:
                line = self._lines.get(timeout=ANSWER_SECONDS)
            except queue.Empty:
                raise NoAnswer(f"the server said nothing for {ANSWER_SECONDS:.0f} s. See what slows it") from None
            if not line:
                self._ended()
            try:
                message = json.loads(line)
            except ValueError:
                message = None
            if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
                self.noise.append(line.decode("utf-8", "replace").rstrip())
            elif message.get("id") == self._asked and isinstance(message.get("result"), dict):
                return dict(message["result"])
            elif message.get("id") == self._asked:
                raise NoAnswer(f"the server refused {method}: {message.get('error')}")

    def tell(self, method: str) -> None:
        self._send({"jsonrpc": "2.0", "method": method})

    def _send(self, message: Mapping[str, Any]) -> None:
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")  # type: ignore[union-attr]
            self._process.stdin.flush()  # type: ignore[union-attr]
        except OSError:
            self._ended()

    def _ended(self) -> NoReturn:
        self._process.wait()
        self._threads[1].join(1)
        said = b"".join(self._errors).decode("utf-8", "replace").strip().splitlines()
        last = " / ".join(line.strip() for line in said[-LAST_LINES:]).rstrip(".")
        code = self._process.returncode
        hint = "Mend that, and run chomp-mcp doctor again"
        raise NoAnswer(f"the server ended at once with exit code {code}: {last or 'it said nothing'}. {hint}")
