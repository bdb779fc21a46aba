"""The way to a Redis: what is asked for at one moment travels together, and one that is away keeps nobody waiting."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha1
from typing import Any

from chomp_mcp.errors import StoreAway
from chomp_mcp.store.kv.redis_url import LANES, is_cluster, opened, place_of, without_secrets

_log = logging.getLogger("chomp_mcp.redis")

ANSWER_SECONDS = 0.7
"""Who waits for longer is told that the store is away: within a second, with all else that a request takes."""
PROBE_SECONDS = 0.5
"""How often one that is away is looked for."""
LONGEST_SECONDS = 10.0
"""Where others are answered meanwhile."""
OLDEST = (6, 2)
_MOST_AT_ONCE = 256
LOOK_SECONDS = 0.1
_LATE_SECONDS = 0.02
"""Who looks later than that was kept from it: this process had no processor, or its event loop did something else."""

# The queue of jobs subscribes to a pattern, which a right must name as it stands.
_RIGHTS = (
    "Give that user: ACL SETUSER <user> ~*chomp* &*chomp* &chomp:jobs:cancel:* +@read +@write +@scripting +@connection"
    " +@pubsub +@transaction +time +info."
)
_NEWER = f"Redis {OLDEST[0]}.{OLDEST[1]} or newer, or Valkey"
_CLUSTER = "This is a Redis Cluster: write redis+cluster:// in CHOMP_STORE."
_LASTING: Mapping[str, str] = {
    "read only replica": "A replica takes no writes: name the primary, or its Sentinels, in CHOMP_STORE.",
    "Authentication required": "Put user and password into CHOMP_STORE: redis://user:password@host:6379/0.",
    "invalid username-password": "Correct user and password in CHOMP_STORE.",
    "without any password configured": "It has no password: take it out of CHOMP_STORE, or set requirepass there.",
    "DB index is out of range": "Correct the number at the end of CHOMP_STORE; most servers have 0 to 15.",
    "CERTIFICATE_VERIFY_FAILED": "Name its authority in CHOMP_STORE: rediss://…?ssl_ca_certs=/path.",
    "no permissions": _RIGHTS,
    "can't run this command": _RIGHTS,
    "unknown command": f"Use {_NEWER}, with scripts allowed.",
    "is too old": f"Use {_NEWER}.",
    "MOVED": _CLUSTER,
}
"""What Redis or redis-py says -> what to do. Told at the start of a server: waiting mends none of these."""
_HINTS: Mapping[str, str] = {
    **_LASTING,
    "used memory > ": "It is full: raise its maxmemory, or give it a server of its own (policy noeviction).",
    "not able to persist": "It cannot write its own disk: make room there.",
    "Write commands not allowed after": f"It is too old: use {_NEWER}.",
    "hash to the same slot": _CLUSTER,
    "Cluster mode is not enabled": "Write redis:// in CHOMP_STORE.",
    "loading the dataset": "It is starting: it will answer soon.",
}
_START = "Start it, or correct CHOMP_STORE; it is looked for all the time."


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script, which Redis runs as one step."""

    text: str

    @property
    def sha(self) -> str:
        return sha1(self.text.encode(), usedforsecurity=False).hexdigest()


_TRIAL = Script("redis.call('TIME'); redis.call('SET', KEYS[1], '', 'PX', 1); return 1")


@dataclass(slots=True)
class _Asked:
    command: tuple[Any, ...]
    answer: asyncio.Future[Any]


class Link:
    """A client of one event loop.

    Every failure is a `StoreAway`. Once nothing answers, it is raised at once, and the server is looked for in the
    background until it is back.
    """

    # redis-py's client is Any: its types say "maybe awaitable", and change from release to release.

    def __init__(self, url: str) -> None:
        self.place = place_of(url)
        self._url = url
        self._client: Any = opened(url)
        self._asked: list[_Asked] = []
        self._lanes: set[asyncio.Task[None]] = set()
        self._is_lane_coming = False
        self._probe: asyncio.Task[None] | None = None
        self._trouble: StoreAway | None = None
        self._is_checked = False
        self._heard_at = 0.0
        """When something was last answered (monotonic)."""

    async def call(self, *command: Any) -> Any:
        """The answer to one command, which travels with all others of this moment."""
        answer = await self._answer(command)
        if isinstance(answer, Exception):
            raise self._explained(answer)
        return answer

    async def run(self, script: Script, keys: Sequence[Any], arguments: Sequence[Any]) -> Any:
        """What the script returns; its text is sent where the server does not know it yet."""
        from redis.exceptions import NoScriptError

        rest = (len(keys), *keys, *arguments)
        answer = await self._answer(("EVALSHA", script.sha, *rest))
        if isinstance(answer, NoScriptError):
            answer = await self._answer(("EVAL", script.text, *rest))
        if isinstance(answer, Exception):
            raise self._explained(answer)
        return answer

    async def check(self) -> None:
        """`StoreAway` where it does not answer, is too old, or takes no writes; `is_lasting`: waiting will not help."""
        from redis.exceptions import NoPermissionError

        self._is_checked = True
        # A word that every Redis understands, and a write that leaves nothing.
        await self.run(_TRIAL, ["{chomp}:trial"], [])
        about = await self._answer(("INFO", "server"))
        if isinstance(about, NoPermissionError):
            return
        version = str(about.get("redis_version", "")) if isinstance(about, Mapping) else ""
        numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
        if numbers and numbers < OLDEST:
            raise self._explained(RuntimeError(f"version {version} is too old"))

    async def close(self) -> None:
        for task in (*self._lanes, self._probe):
            if task is not None:
                task.cancel()
        await asyncio.gather(*self._lanes, *([self._probe] if self._probe else []), return_exceptions=True)
        self._probe = self._trouble = None
        client, self._client = self._client, None
        if client is not None:
            manager = getattr(getattr(client, "connection_pool", None), "sentinel_manager", None)
            for each in (client, *(manager.sentinels if manager else ())):  # redis-py leaves the Sentinels open
                await each.aclose()

    async def _answer(self, command: tuple[Any, ...]) -> Any:
        """What Redis says, an error of its own as well; `StoreAway` where it says nothing."""
        from redis.exceptions import ConnectionError as Lost
        from redis.exceptions import RedisClusterException
        from redis.exceptions import TimeoutError as Late

        if self._trouble is not None:
            raise self._trouble.again()
        asked = _Asked(command, asyncio.get_running_loop().create_future())
        self._asked.append(asked)
        if not self._is_lane_coming and len(self._lanes) < LANES:
            self._is_lane_coming = True
            lane = asyncio.create_task(self._carry())
            self._lanes.add(lane)
            lane.add_done_callback(self._lanes.discard)
        began = looked = time.monotonic()
        waited = 0.0
        while not (await asyncio.wait([asked.answer], timeout=LOOK_SECONDS))[0]:
            before, looked = looked, time.monotonic()
            if looked - before < LOOK_SECONDS + _LATE_SECONDS:  # else it was we who had no processor
                waited += LOOK_SECONDS
            # Where others are answered meanwhile it is slow, or has much to do.
            is_silent = waited > ANSWER_SECONDS and self._heard_at < looked - ANSWER_SECONDS
            if is_silent or looked - began > LONGEST_SECONDS:
                raise self._away(TimeoutError(f"no answer within {ANSWER_SECONDS:g} s"))
        answer = asked.answer.result()
        # Nobody there, or somebody who answers nothing: a refusal of one command alone is none of these.
        if isinstance(answer, Lost | Late | OSError | TimeoutError | RedisClusterException):
            raise self._away(answer)
        return answer

    async def _carry(self) -> None:
        """Send what waits, and again what has come to wait meanwhile."""
        self._is_lane_coming = False
        while self._asked:
            batch, self._asked = self._asked[:_MOST_AT_ONCE], self._asked[_MOST_AT_ONCE:]
            try:
                answers = await self._exchange([asked.command for asked in batch])
                self._heard_at = time.monotonic()
            except Exception as error:  # noqa: BLE001 - told to everybody who waits
                answers = [error] * len(batch)
            except asyncio.CancelledError:
                answers = [ConnectionError("closed")] * len(batch)
                raise
            finally:
                for asked, answer in zip(batch, answers, strict=True):
                    if not asked.answer.done():
                        asked.answer.set_result(answer)

    async def _exchange(self, commands: Sequence[tuple[Any, ...]]) -> Sequence[Any]:
        if self._client is None:
            self._client = opened(self._url)
        if is_cluster(self._url):  # its pipelines take no scripts
            asked = (self._client.execute_command(*command) for command in commands)
            return await asyncio.gather(*asked, return_exceptions=True)
        pipe = self._client.pipeline(transaction=False)
        for command in commands:
            pipe.execute_command(*command)
        answers: Sequence[Any] = await pipe.execute(raise_on_error=False)
        return answers

    def _away(self, error: Exception) -> StoreAway:
        """Nothing answers: have it looked for, and keep nobody waiting until then."""
        trouble = self._explained(error)
        if self._trouble is None:
            if not self._is_checked:  # then it is told to who asked
                _log.error("%s", trouble)
            self._trouble = trouble
        if self._probe is None or self._probe.done():
            self._probe = asyncio.create_task(self._look())
        return trouble

    async def _look(self) -> None:
        while self._trouble is not None:
            await asyncio.sleep(PROBE_SECONDS)
            answers: Sequence[Any] = ()
            with suppress(Exception):
                answers = await self._exchange([("PING",)])
            if answers and not isinstance(answers[0], Exception):
                _log.warning("%s answers again", self.place)
                self._heard_at = time.monotonic()
                self._trouble = None

    def _explained(self, error: Exception) -> StoreAway:
        reason = without_secrets(str(error) or type(error).__name__, self._url)
        hint = next((hint for word, hint in _HINTS.items() if word in reason), _START)
        is_lasting = any(word in reason for word in _LASTING)
        says = "does not answer" if hint is _START else "refuses"
        return StoreAway(f"{self.place} {says}: {reason.rstrip('.')}.", hint=hint, is_lasting=is_lasting)
