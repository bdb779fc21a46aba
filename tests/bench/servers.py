"""The servers that are compared: each a process of its own, on a core that it has for itself."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.bench.cold_start import INITIALIZE
from tests.bench.load import chat, load, request

PATIENCE_SECONDS = 60.0
LINUX = sys.platform.startswith("linux")
CORES = sorted(os.sched_getaffinity(0)) if LINUX else []
SERVER_CORE, OTHER_CORE = (CORES[:1], CORES[1:2]) if len(CORES) > 1 else (CORES, CORES)
SECOND_CORE = CORES[2:3]


@dataclass
class Server:
    """What to start and how to ask it. `late`: a request that waits for all that is loaded after the first answer."""

    name: str
    port: int
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    model: str = "m0"
    token: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    late: bytes = b""
    core: Sequence[int] = tuple(SERVER_CORE)
    pid: int = 0
    start_seconds: float | None = None

    def chat(self, *, stream: bool = False, **more: object) -> bytes:
        return chat(self.model, token=self.token, headers=self.headers, stream=stream, **more)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Started, and its first answer given."""
        began, quiet = time.perf_counter(), subprocess.DEVNULL
        process = subprocess.Popen(self.command, env={**os.environ, **self.environment}, stdout=quiet, stderr=quiet)
        self.pid = process.pid
        try:
            if self.core:
                os.sched_setaffinity(self.pid, self.core)
            while not self._answers():
                if process.poll() is not None or time.perf_counter() > began + PATIENCE_SECONDS:
                    raise RuntimeError(f"{self.name} does not start: {' '.join(self.command)}")
                time.sleep(0.01)
            self.start_seconds = time.perf_counter() - began
            if self.late:
                load(self.port, [self.late], 1, 0)
            yield
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
            process.wait()

    def _answers(self) -> bool:
        with suppress(OSError, RuntimeError):
            return bool(load(self.port, [self.chat()], 1, 0).requests)
        return False

    def cpu_seconds(self) -> float:
        """What it has used so far; without a /proc that tells, the time."""
        if not LINUX:
            return time.perf_counter()
        stats = (Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split() for pid in self._pids())
        return sum(int(ticks) for stat in stats for ticks in stat[11:13]) / os.sysconf("SC_CLK_TCK")

    def resident_mib(self) -> float | None:
        if not LINUX:
            return None
        pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self._pids())
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def _pids(self) -> list[int]:
        """The process and those that it started."""
        pids = [self.pid]
        for pid in pids:
            with suppress(OSError):  # gone meanwhile, or a kernel that does not tell
                pids += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return pids


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


@contextmanager
def upstream() -> Iterator[Server]:
    """The router behind all of them, on the other core, where the load goes as well."""
    port = free_port()
    server = Server("direct", port, [sys.executable, "-m", "tests.bench.upstream", str(port)], core=OTHER_CORE)
    with server.running():
        if OTHER_CORE:
            os.sched_setaffinity(0, OTHER_CORE)
        try:
            yield server
        finally:
            if CORES:
                os.sched_setaffinity(0, CORES)


def chomp(home: Path, upstream: int, config: str = "", *options: str) -> Server:
    """As shipped, with a token, budgets and prices; only the rate limit is off."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "config.toml").write_text(config)
    port, token = free_port(), "bench-token"
    environment = {"CHOMP_HOME": str(home), "GATEWAY_RATE_RPS": "0", "GATEWAY_AUTH_TOKEN": token}
    environment |= {"GROQ_API_KEY": "key", "CHOMP_ROUTER_GROQ_URL": f"http://127.0.0.1:{upstream}/v1"}
    command = [sys.executable, "-m", "chomp_mcp", "serve", "--port", str(port), *options]
    late = request("POST", "/mcp", INITIALIZE, token, {"accept": "application/json, text/event-stream"})
    return Server("chomp-mcp", port, command, environment, "groq/openai/gpt-oss-120b", token, late=late)


def two_workers(home: Path, upstream: int) -> list[Server]:
    """The same with a process on each of two cores, where a third is left for the load."""
    if not SECOND_CORE:
        return []
    server = chomp(home, upstream, "", "--workers", "2")
    return [replace(server, name="2 workers", core=[*SERVER_CORE, *SECOND_CORE])]


def bare(upstream: int) -> Server:
    """Starlette and aiohttp with nothing in between."""
    port = free_port()
    options = ["--port", str(port), "--no-access-log", "--log-level", "warning"]
    command = [sys.executable, "-m", "uvicorn", "tests.bench.bare:app", *options]
    return Server("bare", port, command, {"UPSTREAM": f"http://127.0.0.1:{upstream}"})


def litellm(folder: Path, upstream: int) -> list[Server]:
    """LiteLLM's proxy, where it is on the PATH, with the faster of its servers if that is there."""
    path = shutil.which("litellm")
    if path is None:
        return []
    port, token = free_port(), f"sk-{secrets.token_hex(20)}"
    way = {"model": "openai/m0", "api_base": f"http://127.0.0.1:{upstream}/v1", "api_key": "sk-1"}
    chosen = {
        "model_list": [{"model_name": "m0", "litellm_params": way}],
        "general_settings": {"master_key": token},
    }
    (config := folder / "litellm.yaml").write_text(json.dumps(chosen))  # JSON is YAML
    faster = ["--run_granian"] if Path(path).with_name("granian").exists() else []
    return [Server("litellm", port, [path, "--config", str(config), "--port", str(port), *faster], token=token)]


def portkey(upstream: int) -> list[Server]:
    """Portkey's gateway, where PORTKEY names its command: `gateway` of the npm package `@portkey-ai/gateway`."""
    path = shutil.which(os.environ.get("PORTKEY", ""))
    if path is None:
        return []
    port = free_port()
    headers = {"x-portkey-provider": "openai", "x-portkey-custom-host": f"http://127.0.0.1:{upstream}/v1"}
    command = [path, "--headless", f"--port={port}"]
    return [Server("portkey", port, command, {"NODE_ENV": "production"}, token="sk-1", headers=headers)]
