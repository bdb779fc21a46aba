"""What can I still use now, until when, what did today cost, and how each figure is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, NotRequired, TypedDict

from chomp_mcp.errors import StoreAway, StoreError
from chomp_mcp.gateway.account import CreditReader
from chomp_mcp.gateway.book import Books
from chomp_mcp.gateway.health import Health, KeyHealth, Rest
from chomp_mcp.gateway.jobs import JobRunner
from chomp_mcp.gateway.model_list import ModelList
from chomp_mcp.messages import OWNER, Caller, Router
from chomp_mcp.policy import budget
from chomp_mcp.policy.book import Book
from chomp_mcp.policy.breaker import BreakerState
from chomp_mcp.policy.grants import within
from chomp_mcp.policy.secrets import without_password
from chomp_mcp.routers.client import Client
from chomp_mcp.store.ledger import Ledger
from chomp_mcp.store.sealing import AtRest, Sealed
from chomp_mcp.store.spend import Spend

RECENT_JOBS = 5
LIST_SECONDS = 0.5
"""How long the list of a program on this machine is waited for."""


class RestView(TypedDict):
    """What is not asked for a while: `what` is `key`, `free`, or `model:` and its id."""

    what: str
    reason: str
    why: str
    """What a refusal is about: region, terms, byok, network, provider, plan; else empty."""
    until: str | None


class QuotaView(TypedDict):
    """One limit of a key; None is unknown."""

    kind: str
    """requests or tokens."""
    window: str
    """minute, hour, day, or empty where nobody says."""
    limit: int | None
    remaining: int | None
    resets_at: str | None
    known: str
    """headers, key (the account page), learned or documented."""
    model: str
    """Empty: it counts for the whole key."""


class CreditView(TypedDict):
    """What the account page says of a key."""

    free_only: bool
    remaining_usd: str | None


class RouterStatus(TypedDict):
    """One router, as this caller can use it now."""

    name: str
    key: bool | None
    """None: it needs none."""
    ready: bool
    breaker: str
    """closed, open or half_open."""
    cooldown_until: str | None
    reason: str
    resting: list[RestView]
    quota: list[QuotaView]
    credit: list[CreditView]
    limits: str
    """The documented ones, in words."""
    url: NotRequired[str]
    """Where it was moved from the catalog's address, without a password; told to the owner alone."""
    url_from: NotRequired[str]
    """What moved it: a variable, or config.toml."""
    spent_today_usd: str


class SpendView(TypedDict):
    """Today and this month against the budgets: decimal numbers of US dollars; no budget is None."""

    today_usd: str
    month_usd: str
    reserved_usd: str
    daily_budget_usd: str | None
    monthly_budget_usd: str | None
    calls_today: int
    unpriced_calls_today: int
    estimated_calls_today: int
    """Nobody counted these: they were left, cut, or their process died."""
    estimated_today_usd: str
    """What they are taken to have cost; part of `today_usd`."""
    input_tokens_today: int
    output_tokens_today: int


class RecentJob(TypedDict):
    """One of the newest jobs."""

    job_id: str
    status: str
    model: str
    created: str | None


class StatusView(TypedDict):
    """What can be used now, until when, and what it cost, as JSON; times are ISO 8601 in the user's time zone."""

    routers: dict[str, RouterStatus]
    spend: SpendView
    jobs: list[RecentJob]
    trouble: NotRequired[str]
    """Why the store cannot be read, and what mends that: `spend` is of this process alone then, and no job is told."""
    keys: NotRequired[AtRest]
    """How router keys lie in the store; told to the owner alone."""


@dataclass(frozen=True, slots=True)
class Status:
    """Reads what the pipeline left behind; asks no router but for the account pages, every five minutes."""

    routers: Mapping[str, Router]
    books: Books
    health: Health
    models: ModelList
    credit: CreditReader
    ledger: Ledger
    jobs: JobRunner
    limits: budget.Limits
    clock: Callable[[], float]
    client: Client
    sealed: Sealed

    async def of(self, caller: Caller) -> StatusView:
        book = await self.books.of(caller)
        limits, jobs, trouble = within(self.limits, book.grant), [], ""
        try:
            spend, jobs = await self.ledger.spent(caller.id), await self.jobs.recent(caller, RECENT_JOBS)
        except StoreAway:  # it comes back by itself: ask again
            raise
        except StoreError as error:
            spend, trouble = await self.ledger.spent(caller.id, is_readable=False), str(error)
        breakers, keys = await self.health.breakers_of(self.routers), await self._keys(book, self.routers)
        rows = {
            router.id: await self._router(router, book, spend, breakers[router.id], keys[router.id])
            for router in self.routers.values()
            if book.shows(router.id)
        }
        for router in self.routers.values():
            if router.url_from and caller.is_owner:
                rows[router.id]["url"] = without_password(router.url)
                rows[router.id]["url_from"] = router.url_from
        view: StatusView = {
            "routers": rows,
            "spend": {
                "today_usd": _usd(spend.day_nano),
                "month_usd": _usd(spend.month_nano),
                "reserved_usd": _usd(spend.held_nano),
                "daily_budget_usd": _limit(limits.day_nano),
                "monthly_budget_usd": _limit(limits.month_nano),
                "calls_today": spend.calls,
                "unpriced_calls_today": spend.unpriced,
                "estimated_calls_today": spend.estimated,
                "estimated_today_usd": _usd(spend.estimated_nano),
                "input_tokens_today": spend.input_tokens,
                "output_tokens_today": spend.output_tokens,
            },
            "jobs": [
                {"job_id": job.id, "status": job.status.value, "model": job.model, "created": _when(job.created_at)}
                for job in jobs
            ],
        }
        if trouble:
            view["trouble"] = f"What was spent and dispatched before is not known: {trouble}"
        if caller.is_owner:
            view["keys"] = await self.sealed.at_rest()
        return view

    async def gauges(self, *, in_flight: int) -> dict[str, Any]:
        """What `telemetry.metrics.Metrics.render` takes; quotas and budgets are the owner's."""
        book, spend = await self.books.of(OWNER), await self.ledger.spent(OWNER.id)
        breakers = await self.health.breakers_of(self.routers)
        quotas = [
            {"router": router, **asdict(reading)}
            for router, keys in (await self._keys(book, book.keys)).items()
            for known in keys
            for readings in known.quotas.values()
            for reading in readings
        ]
        spent = {"day": (self.limits.day_nano, spend.day_nano), "month": (self.limits.month_nano, spend.month_nano)}
        return {
            "in_flight": in_flight,
            "breakers": {router: state.state for router, (state, _) in breakers.items()},
            "quotas": quotas,
            "budgets": {
                window: {
                    "limit": None if limit is None else budget.usd(limit),
                    "spent": budget.usd(nano),
                    "reserved": budget.usd(spend.held_nano),
                }
                for window, (limit, nano) in spent.items()
            },
            "jobs": self.jobs.counts(),
        }

    async def _keys(self, book: Book, routers: Iterable[str]) -> dict[str, list[KeyHealth]]:
        """By router, in the order of its keys."""
        found: dict[str, list[KeyHealth]] = {router: [] for router in routers}
        places = [(self.routers[router], key_id) for router in found for key_id in book.key_ids(router)]
        for (router, _), known in zip(places, await self.health.of_keys(places), strict=True):
            found[router.id].append(known)
        return found

    async def _router(
        self,
        router: Router,
        book: Book,
        spend: Spend,
        breaker: tuple[BreakerState, float | None],
        keys: list[KeyHealth],
    ) -> RouterStatus:
        def may_see(model: str) -> bool:
            return book.grant.allows("", f"{router.id}/{model}")

        state, breaker_until = breaker
        now = self.clock()
        asked = [await self.credit.of(router, *key) for key in book.keys.get(router.id, ())]
        accounts = [credit for credit in asked if credit]
        quotas = [*(known.quotas for known in keys), *({"": known.readings} for known in accounts)]
        rests = [rest for known in keys for scope, rest in known.rests.items() if scope == "key" and rest.is_on(now)]
        # Programs on this machine run or do not run: a look tells, and the list where another may have that port.
        answers = router.joins_auto != "reachable" or await self.client.reachable(router.url)
        if answers and router.owned_by:
            known = (await self.models.soon([router.id], book.keys, LIST_SECONDS))[router.id]
            answers = known is None or known.is_late or not known.error
        stop = None
        if state.state == "open":
            stop = Rest(breaker_until or now, "breaker_open")
        elif len(rests) == len(keys):
            stop = min(rests, key=lambda rest: rest.until)
        return {
            "name": router.name,
            "key": bool(book.keys.get(router.id)) if router.needs_key else None,
            "ready": stop is None and book.usable(router) and answers,
            "breaker": state.state,
            "cooldown_until": _when(stop.until) if stop else None,
            "reason": stop.reason if stop else "",
            "resting": [
                {"what": scope, "reason": rest.reason, "why": rest.why, "until": _when(rest.until)}
                for known in keys
                for scope, rest in known.rests.items()
                if rest.is_on(now) and (not (model := scope.partition("model:")[2]) or may_see(model))
            ],
            "quota": [
                {
                    "kind": reading.kind,
                    "window": reading.window,
                    "limit": reading.limit,
                    "remaining": reading.remaining,
                    "resets_at": _when(reading.resets_at),
                    "known": reading.source,
                    "model": model,
                }
                for each in quotas
                for model, readings in each.items()
                for reading in readings
                if not model or may_see(model)
            ],
            "credit": [{"free_only": known.free_only, "remaining_usd": known.remaining_usd} for known in accounts],
            "limits": router.limits,
            "spent_today_usd": _usd(spend.by_router.get(router.id, 0)),
        }


def _when(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at).astimezone().isoformat(timespec="seconds")


@lru_cache(maxsize=1024)
def _usd(nano: int) -> str:
    return format(budget.usd(nano).normalize() + Decimal(0), "f")


def _limit(nano: int | None) -> str | None:
    """None: no limit."""
    return None if nano is None else _usd(nano)
