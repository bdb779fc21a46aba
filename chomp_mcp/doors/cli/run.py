"""`run AGENT`: an agent on the caller's own router keys, for this run alone; nothing is written anywhere."""

from __future__ import annotations

import argparse
import collections
import contextlib
import hmac
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.client import HTTPException
from typing import Any, Self
from urllib.error import HTTPError

import anyio
import anyio.to_thread

from chomp_mcp.app import Chomp
from chomp_mcp.doors.cli.agents import AGENTS, Run, Setup
from chomp_mcp.doors.cli.output import remark, show_json
from chomp_mcp.errors import ChompError, StoreError
from chomp_mcp.messages import OWNER, ChatRequest, Model
from chomp_mcp.routers.catalog import load
from chomp_mcp.settings import Settings
from chomp_mcp.store.proof import PROOF_PATH

LIST_SECONDS = 5.0
"""How long the agent's start may wait for the context window of its model."""
STOP_SECONDS = 15.0
FIND_SECONDS = 5.0
_NOT_FOUND = 127
_NOT_STARTED = 126
_SIGNALLED = 128
"""Exit codes as shells have them."""


def run(args: argparse.Namespace) -> int:
    """Start the agent on the gateway, wait for its end, and hand its exit code on."""
    agent = AGENTS[args.agent]
    settings = Settings.load()
    model = args.model or settings.agent_model
    listed = anyio.run(_listed, settings, model)
    # An agent runs commands that a stranger's text may have put into its head: what is in its environment is read. So
    # it gets none of our secrets, and chomp's own server, where that would need one, comes over HTTP.
    keys = {router.key_variable: router.deprecated for router in load(settings).values() if router.key_variable}
    withheld = [name for name in (*_SECRETS, *keys) if os.environ.get(name)]
    over_http = any(name == "CHOMP_MASTER_KEY" or keys.get(name) is False for name in withheld)

    def setup_for(url: str, token: str) -> Setup:
        setup = agent.setup(Run(url, token, model, listed, over_http))
        without = tuple(name for name in dict.fromkeys([*setup.without, *withheld]) if name not in setup.environment)
        notes = (*setup.notes, _OVER_HTTP) if over_http and f"{url}/mcp" in str(setup) else setup.notes
        return replace(setup, without=without, notes=notes)

    if args.only_print:  # as a shell would take it, or as JSON
        setup = setup_for(_address(settings), "<token of this run>")
        command = [agent.program, *setup.arguments, *args.arguments]
        if args.json:
            told = {"without": setup.without, "command": command, "notes": setup.notes}
            show_json({"environment": setup.environment, **told})
            return 0
        unset = [f"unset {name}" for name in setup.without]
        export = [f"export {name}={shlex.quote(value)}" for name, value in setup.environment.items()]
        print(*unset, *export, shlex.join(command), sep="\n")
        for note in setup.notes:
            remark(note)
        return 0
    program = shutil.which(agent.program)
    if program is None:
        remark(f"chomp-mcp: {agent.program} is not installed, or not on PATH. {agent.install}")
        return _NOT_FOUND
    with _Signals() as signals, _gateway(settings) as (url, token):
        setup = setup_for(url, token)
        for note in setup.notes:
            remark(note)
        inherited = {name: value for name, value in os.environ.items() if name not in setup.without}
        try:
            started = signals.start([program, *setup.arguments, *args.arguments], {**inherited, **setup.environment})
        except OSError as error:
            remark(f"chomp-mcp: {program} could not be started: {error.strerror}.")
            return _NOT_STARTED
        code = started.wait()
        return code if code >= 0 else _SIGNALLED - code


_OVER_HTTP = (
    "Your keys are in the environment, which the agent does not get: chomp's tools come over HTTP in this run, without "
    "files. `chomp-mcp keys add` stores keys, then they come with files."
)
_SECRETS = ("CHOMP_MASTER_KEY", "CHOMP_NEW_MASTER_KEY", "GATEWAY_AUTH_TOKEN")


async def _listed(settings: Settings, model: str) -> Model | None:
    """What is known of the model that would answer now: its context window, its output limit."""
    async with Chomp(settings) as chomp:
        with anyio.move_on_after(LIST_SECONDS):
            plan = await chomp.gateway.plan(OWNER, ChatRequest({}, model=model))
            route = plan.routes[0]
            page = await chomp.list_models(route.router.id, limit=None)
            return next((each for each in page.models if each.ref == route.ref), route.listed)
    return None


@contextmanager
def _gateway(settings: Settings) -> Generator[tuple[str, str]]:
    """One that serves already, else one of our own on a free port of loopback, for as long as the agent runs."""
    found, owners = _address(settings), settings.auth_token or "chomp"
    if anyio.run(_is_served, settings, found, owners):
        yield found, owners
        return
    token = secrets.token_hex(24)
    environment = {**settings.environment, "GATEWAY_HOST": "127.0.0.1", "GATEWAY_AUTH_TOKEN": token}
    command, nothing = [sys.executable, "-P", "-m", "chomp_mcp", "serve", "--port", "0"], subprocess.DEVNULL
    pipes: dict[str, Any] = {"stdin": nothing, "stdout": nothing, "stderr": subprocess.PIPE}
    # In a session of its own: Ctrl-C is the agent's.
    started = subprocess.Popen(command, env=environment, **pipes, text=True, start_new_session=True)
    try:
        line = started.stderr.readline() if started.stderr else ""
        if " serves http" not in line:
            raise StoreError(f"The gateway did not start: {line.strip()[:500]}", hint="Run chomp-mcp doctor.")
        threading.Thread(target=collections.deque, args=(started.stderr, 0), daemon=True).start()  # a full pipe blocks
        yield line.split()[-1], token
    finally:
        started.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            started.wait(STOP_SECONDS)
        started.kill()
        started.wait()


def _address(settings: Settings) -> str:
    return f"http://127.0.0.1:{settings.port}"


async def _is_served(settings: Settings, url: str, token: str) -> bool:
    """A gateway of ours that takes the owner's token (any, where it asks for none)."""
    # A proxy of this environment must not see the token.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def told(path: str, **headers: str) -> bytes | None:
        """The beginning of a good answer, which may have no end; None for one that is none."""
        request = urllib.request.Request(f"{url}{path}", headers=headers)  # noqa: S310 - http, on loopback
        try:
            with direct.open(request, timeout=FIND_SECONDS) as answer:
                return bytes(answer.read1(256))
        except (HTTPError, HTTPException):
            return None

    # Anybody may listen there: nothing secret goes out before it has proved that it reads our store.
    challenge = secrets.token_hex(16)
    try:
        with anyio.fail_after(FIND_SECONDS):  # what trickles is not waited for
            asking = partial(anyio.to_thread.run_sync, abandon_on_cancel=True)
            said = await asking(partial(told, f"{PROOF_PATH}?challenge={challenge}"))
            async with Chomp(settings) as chomp:
                proof = await chomp.proof.of(challenge, "127.0.0.1", settings.port)
            if not hmac.compare_digest(said or b"", proof.encode()):
                remark(f"chomp-mcp: what listens at {url} is not the gateway of {settings.home}; this run has its own.")
                return False
            return await asking(partial(told, "/v1/providers", authorization=f"Bearer {token}")) is not None
    except (OSError, ChompError):  # nobody listens, it is too slow (TimeoutError), or our store cannot be read
        return False


class _Signals:
    """What tells us to end is handed on to the agent, and ends us while there is none. Ctrl-C reaches it by itself."""

    def __init__(self) -> None:
        self._agent: subprocess.Popen[bytes] | None = None
        self._is_starting = False
        self._waiting: list[int] = []
        """What came while the agent was being started."""
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            if number := getattr(signal, name, None):
                self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """The agent, which from here on gets the signals.

        Raises:
            OSError: it could not be started.
        """
        self._is_starting = True
        agent = subprocess.Popen(command, env=dict(environment))
        self._agent = agent
        for number in self._waiting:
            agent.send_signal(number)
        return agent

    def _take(self, number: int, _frame: object) -> None:
        if number == signal.SIGINT and self._is_starting:
            return
        if self._agent is not None:
            self._agent.send_signal(number)
        elif self._is_starting:
            self._waiting.append(number)
        else:
            raise SystemExit(_SIGNALLED + number)
