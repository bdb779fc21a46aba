"""Breakers, cooldowns, quotas and dead models as they stand now, shared by every process on the store."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from typing import Any, Literal

from chomp_mcp.gateway.inabilities import Inabilities
from chomp_mcp.gateway.speeds import Speeds
from chomp_mcp.messages import Failed, FailureKind, Route, Router
from chomp_mcp.policy import breaker, failover, quota
from chomp_mcp.policy.breaker import BreakerRules, BreakerState
from chomp_mcp.policy.quota import Reading
from chomp_mcp.store.holds import SKEW_SECONDS
from chomp_mcp.store.kv.lenient import Lenient, unwritten_is_logged
from chomp_mcp.store.kv.protocol import KV, Value, Write
from chomp_mcp.telemetry.report import Observers, Transition

_log = logging.getLogger("chomp_mcp.health")
_unwritten_is_logged = partial(unwritten_is_logged, _log, "the health of a router could not be written")

QUOTA_WRITE_SECONDS = 1.0
"""Readings of one key go to the store at most this often; the last answer of a burst decides."""
QUOTA_KEPT_SECONDS = 86_400.0
TOO_MANY = 429
BREAKER_KEPT_SECONDS = 86_400.0
DOUBTED_SECONDS = 2 * failover.KEY_REFUSED_AGAIN_SECONDS
"""How long a refusal of a key is remembered after which the next one counts for more."""


@dataclass(frozen=True, slots=True)
class Rest:
    """Why a route is left alone, and until when (epoch seconds)."""

    until: float
    reason: str
    """A failure kind, or `quota_used_up`, or `breaker_open`."""
    seconds: float = failover.LONGEST_REST_SECONDS
    """How long it was when it was written: a clock that jumped ahead meanwhile makes none longer."""
    why: str = ""
    """What a refusal is about, see `Failed.why`."""

    def is_on(self, now: float) -> bool:
        return 0 < self.until - now <= self.seconds + SKEW_SECONDS

    @property
    def words(self) -> str:
        return f"{self.reason}: {self.why}" if self.why else self.reason


@dataclass(frozen=True, slots=True)
class KeyHealth:
    """What is known of one key: what rests, and what it has left."""

    rests: Mapping[str, Rest] = field(default_factory=dict)
    """Scope -> rest; the scope is `key`, `free` or `model:<id>`."""
    quotas: Mapping[str, tuple[Reading, ...]] = field(default_factory=dict)
    """Model -> readings; "" where the router counts per key."""


class Health:
    """Asked before every attempt, told after it."""

    def __init__(self, kv: KV, rules: BreakerRules, *, clock: Callable[[], float], observers: Observers) -> None:
        self._kv = kv
        self._rules = rules
        self._clock = clock
        self._observers = observers
        self.inabilities, self.speeds = Inabilities(kv, clock=clock), Speeds(kv, clock=clock)
        self._quota_written: dict[str, float] = {}
        self._clean: set[str] = set()
        """Breakers without a failure to forget, when last asked, and none of ours since."""
        self._doubted: set[str] = set()
        """Records of keys that were refused and are tried once more."""

    async def admits(
        self, route: Route, *, mind_quota: bool, only_look: bool = False
    ) -> Literal["yes", "probe"] | Rest:
        """Whether this route may be tried now, as a probe of its breaker perhaps; else why not, and until when.

        `mind_quota`: leave it alone also when its quota reads as used up. `only_look`: take no probe's place.
        """
        now, names = self._clock(), _names(route)
        rested, tripped, readings = await self._kv.get_many(names)
        if rested:
            rests = _rests(rested, now)
            is_free = route.model.endswith(":free") or (route.listed is not None and route.listed.free)
            for scope in ("key", f"model:{route.model}", "free" if is_free else ""):
                if scope in rests:
                    return rests[scope]
            if "refused_at" in rested:
                self._doubted.add(names[0])
        if mind_quota and readings and (until := quota.exhausted(_readings(readings, now), now)):
            return Rest(until, "quota_used_up")
        if tripped is None:
            self._clean.add(names[1])
            return "yes"
        self._clean.discard(names[1])
        state = BreakerState.from_value(tripped)
        if state.state == "closed":
            return "yes"
        may_probe = breaker.allows(state, now, self._rules)[0]
        if may_probe and not only_look:
            may_probe = False
            with unwritten_is_logged(_log, "the probe of a breaker could not be written"):
                # Another process may be the quicker one.
                may_probe = await self._change_breaker(route, lambda s, now: breaker.allows(s, now, self._rules))
        if may_probe:
            return "probe"
        return Rest(breaker.open_until(state, self._rules) or now, "breaker_open")

    @property
    def missing(self) -> str:
        """What nobody knows at the moment, as a note; empty: all is there."""
        if not isinstance(self._kv, Lenient) or not self._kv.trouble:
            return ""
        if self._kv.is_remote:
            return f"{self._kv.trouble} Until it is back, breakers, rests, quotas and stored keys are not known."
        return f"{self._kv.trouble} Breakers, rests and quotas are not known. {self._kv.hint}"

    async def standing(self, route: Route, *, mind_quota: bool) -> Rest | None:
        """Why this route would be left alone now; nothing is changed by asking."""
        verdict = await self.admits(route, mind_quota=mind_quota, only_look=True)
        return verdict if isinstance(verdict, Rest) else None

    async def of_keys(self, keys: Sequence[tuple[Router, str]]) -> list[KeyHealth]:
        """Everything known of these (router, key id), expired rests included."""
        names = [
            name for router, key_id in keys for name in (_rest_name(router.id, key_id), _quotas_of(router, key_id))
        ]
        values, now, found = await self._kv.get_many(names), self._clock(), []
        for (router, key_id), rests, quotas in zip(keys, values[::2], values[1::2], strict=True):
            by_model = {"": quotas} if quotas else {}
            if router.quota_scope == "model":
                prefix = _quotas_of(router, key_id)
                by_model = {each.key.removeprefix(prefix): each.value for each in await self._kv.list(prefix)}
            read = {model: _readings(value, now) for model, value in by_model.items()}
            found.append(KeyHealth(_rests(rests), read))
        return found

    async def readings(self, routes: Sequence[Route]) -> list[tuple[Reading, ...]]:
        """Route by route, what is known of the quota that it takes from."""
        names = [_names(route)[2] for route in routes]
        asked, now = list(dict.fromkeys(names)), self._clock()
        found = dict(zip(asked, await self._kv.get_many(asked), strict=True))
        return [_readings(found[name], now) for name in names]

    async def breakers_of(self, routers: Collection[str]) -> dict[str, tuple[BreakerState, float | None]]:
        """By router: the state, and when the next probe may pass."""
        stored = await self._kv.get_many([f"health:{router}" for router in routers])
        states = {router: BreakerState.from_value(value) for router, value in zip(routers, stored, strict=True)}
        return {router: (state, breaker.open_until(state, self._rules)) for router, state in states.items()}

    async def succeeded(self, route: Route) -> None:
        """The router answered to the end: its failures are forgotten, and so are doubts in the key."""
        rests, name, _ = _names(route)
        if name in self._clean and rests not in self._doubted:
            return  # mostly there is nothing to forget
        with _unwritten_is_logged():
            if name not in self._clean and await self._kv.get(name) is not None:
                await self._change_breaker(route, lambda s, _: (True, breaker.after_success(s)))
            if rests in self._doubted:
                self._doubted.discard(rests)
                now = self._clock()
                await self._kv.update([rests], lambda v: [_record(_rests(v[0], now), None, now) if v[0] else None])

    async def failed(self, route: Route, failed: Failed) -> None:
        """Draw the consequences of a failed attempt: breaker, cooldown, dead model."""
        action, now = failover.ACTIONS[failed.kind], self._clock()

        def gone(values: Sequence[Value | None]) -> Sequence[Write | None]:
            before = (values[0] or {}).get("models", {})
            models = {model: until for model, until in before.items() if _is_gone(until, now)}
            models[route.model] = now + failover.GONE_SECONDS
            return [Write({"models": models}, expires_in=failover.GONE_SECONDS)]

        with _unwritten_is_logged():
            if action.counts_for_breaker:
                await self._change_breaker(route, lambda s, now: (True, breaker.after_failure(s, now, self._rules)))
            if failed.kind is FailureKind.NOT_CAPABLE:
                await self.inabilities.learn(route, failed.why)
            if action.rest == "model_gone":
                if route.listed or route.model in route.router.models:  # a name that somebody made up is no news
                    await self._kv.update([_gone_name(route.router.id, route.key_id)], gone)
            elif action.rest:
                await self._remember_rest(route, failed)

    async def released(self, route: Route) -> None:
        """A probe ended without a verdict on the router (a 429, the caller left): its place is free again."""
        with _unwritten_is_logged():
            await self._change_breaker(route, lambda s, _: (True, breaker.after_release(s)))

    async def learned(self, route: Route, readings: Sequence[Reading]) -> None:
        """Keep what an answer's headers said of the key's quota."""
        name, now = _names(route)[2], self._clock()
        is_used_up = quota.exhausted(readings, now) is not None
        if not is_used_up and 0 <= now - self._quota_written.get(name, 0.0) < QUOTA_WRITE_SECONDS:
            return
        self._quota_written[name] = now
        value = {"readings": [asdict(reading) for reading in readings], "at": now}
        with _unwritten_is_logged():
            await self._kv.put(name, value, expires_in=QUOTA_KEPT_SECONDS)

    async def gone(self, keys: Collection[tuple[str, str]]) -> frozenset[tuple[str, str]]:
        """(router, model) pairs that routers said, to these (router, key id), they do not serve; of the last hours."""
        now = self._clock()
        stored = await self._kv.get_many([_gone_name(router, key_id) for router, key_id in keys])
        if not any(stored):
            return frozenset()
        return frozenset(
            (router, model)
            for (router, _), record in zip(keys, stored, strict=True)
            for model, until in (record or {}).get("models", {}).items()
            if _is_gone(until, now)
        )

    async def forget_key(self, router: str, key_id: str) -> None:
        """The key was given anew: whatever the router said of it before is to be seen."""
        await self._kv.delete(_rest_name(router, key_id))
        await self._kv.delete(_gone_name(router, key_id))

    async def _change_breaker(
        self, route: Route, change: Callable[[BreakerState, float], tuple[bool, BreakerState]]
    ) -> bool:
        """One atomic step of a breaker; observers hear of a new position."""
        name = _names(route)[1]
        self._clean.discard(name)
        now = self._clock()
        seen: list[tuple[bool, BreakerState, BreakerState]] = []

        def step(values: Sequence[Value | None]) -> Sequence[Write | None]:
            before = BreakerState.from_value(values[0])
            verdict, after = change(before, now)
            seen.append((verdict, before, after))
            if after is before:
                return [None]
            is_clean = after == breaker.CLOSED
            return [Write(None) if is_clean else Write(asdict(after), expires_in=BREAKER_KEPT_SECONDS)]

        await self._kv.update([name], step)
        # Called again where another process was quicker: the last call is the one that was written.
        verdict, before, after = seen[-1]
        if before.state != after.state:
            self._observers.transition(Transition(route.router.id, before.state, after.state))
        return verdict

    async def _remember_rest(self, route: Route, failed: Failed) -> None:
        """What the failure says rests; else for a 429 what the router counts by; else it is the purse: the key."""
        now = self._clock()
        is_counted = failed.kind is FailureKind.RATE_LIMITED or failed.status == TOO_MANY
        scope = failed.scope or (route.router.quota_scope if is_counted else "key")
        if scope == "model" or failed.kind is FailureKind.REFUSED_HERE:
            scope = f"model:{route.model}"
        first_rest = failover.rest_seconds(Failed(FailureKind.BAD_KEY, "")) or 0.0

        def step(values: Sequence[Value | None]) -> Sequence[Write | None]:
            refused_at = (values[0] or {}).get("refused_at")
            # Failures during its first rest were sent before it: only one after that is a second refusal.
            refused_before = isinstance(refused_at, int | float) and first_rest <= now - refused_at <= DOUBTED_SECONDS
            seconds = failover.rest_seconds(failed, refused_before=refused_before) or 0.0
            rest = Rest(now + seconds, failed.kind.value, seconds, failed.why)
            kept = _rests(values[0], now)
            kept[scope] = max(rest, kept.get(scope, rest), key=lambda each: each.until)
            if failed.kind is FailureKind.BAD_KEY and not (refused_at and 0 <= now - refused_at < seconds):
                refused_at = now
            return [_record(kept, refused_at, now)]

        await self._kv.update([_names(route)[0]], step)


_READING = tuple(each.name for each in fields(Reading))
"""What we know of a reading; another version that shares the store may know more."""


def _names(route: Route) -> tuple[str, str, str]:
    """The records of its rests, of its breaker and of its quota."""
    router, key_id, model = route.router, route.key_id, route.model
    return (
        f"rest:{router.id}:{key_id}",
        # One for each router; the mock's models fail on purpose, each by itself.
        f"health:{router.id}:{model}" if router.dialect == "mock" else f"health:{router.id}",
        f"quota:{router.id}:{key_id}:{model if router.quota_scope == 'model' else ''}",
    )


def _rest_name(router: str, key_id: str) -> str:
    return f"rest:{router}:{key_id}"


def _gone_name(router: str, key_id: str) -> str:
    """By key: "does not exist" often means "or you do not have access"."""
    return f"gone:{router}:{key_id}"


def _quotas_of(router: Router, key_id: str) -> str:
    return f"quota:{router.id}:{key_id}:"


def _record(rests: Mapping[str, Rest], refused_at: float | None, now: float) -> Write:
    last = max((rest.until - now for rest in rests.values()), default=0.0)
    value: dict[str, Any] = {"rests": {scope: asdict(rest) for scope, rest in rests.items()}}
    if refused_at is None:
        return Write(value if rests else None, expires_in=last or None)
    return Write({**value, "refused_at": refused_at}, expires_in=max(last, DOUBTED_SECONDS))


def _is_gone(until: Any, now: float) -> bool:
    """Until then, and not longer than it was ever written for."""
    return bool(0 < float(until) - now <= failover.GONE_SECONDS + SKEW_SECONDS)


def _rests(stored: Value | None, now: float | None = None) -> dict[str, Rest]:
    """By scope; with `now` without those that are over."""
    found = {}
    for scope, row in (stored or {}).get("rests", {}).items():
        seconds = float(row.get("seconds", failover.LONGEST_REST_SECONDS))
        rest = Rest(float(row["until"]), str(row["reason"]), seconds, str(row.get("why", "")))
        if now is None or rest.is_on(now):
            found[scope] = rest
    return found


def _readings(stored: Value | None, now: float) -> tuple[Reading, ...]:
    if stored is None or float(stored.get("at", 0.0)) > now + SKEW_SECONDS:
        return ()
    rows: list[dict[str, Any]] = stored.get("readings", [])
    return tuple(Reading(**{name: row[name] for name in _READING if name in row}) for row in rows)
