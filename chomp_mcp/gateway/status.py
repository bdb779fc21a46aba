"""What can I still use now, until when, what did today cost, and how each figure is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from chomp_mcp.gateway.account import CreditReader
from chomp_mcp.gateway.book import Books
from chomp_mcp.gateway.health import Health, KeyHealth, Rest
from chomp_mcp.gateway.jobs import JobRunner
from chomp_mcp.messages import OWNER, Caller, Job, Router
from chomp_mcp.policy import budget
from chomp_mcp.policy.breaker import BreakerState
from chomp_mcp.policy.budget import Limits
from chomp_mcp.policy.quota import Reading
from chomp_mcp.policy.routing import Book
from chomp_mcp.routers.client import Client
from chomp_mcp.store.ledger import Ledger, Spend

__all__ = ["Status"]

RECENT_JOBS = 5


@dataclass(frozen=True, slots=True)
class Status:
    """Reads what the pipeline left behind; asks no router but for the account pages, every five minutes.

    `of(caller)` gives JSON: `routers` {id: `key`, `ready`, `breaker`, `cooldown_until`, `reason`, `resting`, `quota`
    [{`kind`, `window`, `limit`, `remaining`, `resets_at`, `known`, `model`}], `credit` (what the account page says),
    `limits` (the documented ones, in words), `spent_today_usd`}, `spend` (today and month against the budgets, in US
    dollars as strings), `jobs` (the newest). Times are ISO 8601 in the user's time zone.
    """

    routers: Mapping[str, Router]
    books: Books
    health: Health
    credit: CreditReader
    ledger: Ledger
    jobs: JobRunner
    limits: Limits
    clock: Callable[[], float]
    client: Client

    async def of(self, caller: Caller) -> dict[str, Any]:
        book = await self.books.of(caller)
        spend = await self.ledger.spent(caller.id)
        jobs = await self.jobs.recent(caller, RECENT_JOBS)
        breakers, keys = await self.health.breakers_of(self.routers), await self._keys(book, self.routers)
        return {
            "routers": {
                router.id: await self._router(router, book, spend, breakers[router.id], keys[router.id])
                for router in self.routers.values()
            },
            "spend": self._spend(spend),
            "jobs": [_job(job) for job in jobs],
        }

    async def gauges(self, *, in_flight: int) -> dict[str, Any]:
        """What `telemetry.metrics.Metrics.render` takes; quotas and budgets are the owner's."""
        book, spend = await self.books.of(OWNER), await self.ledger.spent(OWNER.id)
        quotas = [
            {"router": router, **asdict(reading)}
            for router, keys in (await self._keys(book, book.keys)).items()
            for known in keys
            for readings in known.quotas.values()
            for reading in readings
        ]
        spent = {"day": (self.limits.day_micro, spend.day_micro), "month": (self.limits.month_micro, spend.month_micro)}
        return {
            "in_flight": in_flight,
            "breakers": {
                router: state.state for router, (state, _) in (await self.health.breakers_of(self.routers)).items()
            },
            "quotas": quotas,
            "budgets": {
                window: {
                    "limit": None if limit is None else budget.usd(limit),
                    "spent": budget.usd(micro),
                    "reserved": budget.usd(spend.held_micro),
                }
                for window, (limit, micro) in spent.items()
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
        keys: Sequence[KeyHealth],
    ) -> dict[str, Any]:
        state, breaker_until = breaker
        now = self.clock()
        asked = [await self.credit.of(router, *key) for key in book.keys.get(router.id, ())]
        accounts = [credit for credit in asked if credit]
        rests = [rest for known in keys for scope, rest in known.rests.items() if scope == "key" and rest.until > now]
        stop = None
        if state.state == "open":
            stop = Rest(breaker_until or now, "breaker_open")
        elif len(rests) == len(keys):
            stop = min(rests, key=lambda rest: rest.until)
        return {
            "name": router.name,
            "key": bool(book.keys.get(router.id)) if router.needs_key else None,
            "ready": stop is None and book.usable(router) and await self._answers(router),
            "breaker": state.state,
            "cooldown_until": _when(stop.until) if stop else None,
            "reason": stop.reason if stop else "",
            "resting": [row for known in keys for row in _rests(known, now)],
            "quota": [row for known in keys for row in _quota(known.quotas)]
            + [row for known in accounts for row in _quota({"": known.readings})],
            "credit": [{"free_only": known.free_only, "remaining_usd": known.remaining_usd} for known in accounts],
            "limits": router.limits,
            "spent_today_usd": _usd(spend.by_router.get(router.id, 0)),
        }

    async def _answers(self, router: Router) -> bool:
        """Programs on this machine run or do not run; a look tells."""
        return router.joins_auto != "reachable" or await self.client.reachable(router.url)

    def _spend(self, spend: Spend) -> dict[str, Any]:
        return {
            "today_usd": _usd(spend.day_micro),
            "month_usd": _usd(spend.month_micro),
            "reserved_usd": _usd(spend.held_micro),
            "daily_budget_usd": _limit(self.limits.day_micro),
            "monthly_budget_usd": _limit(self.limits.month_micro),
            "calls_today": spend.calls,
            "unpriced_calls_today": spend.unpriced,
            "input_tokens_today": spend.input_tokens,
            "output_tokens_today": spend.output_tokens,
        }


def _rests(known: KeyHealth, now: float) -> list[dict[str, Any]]:
    return [
        {"what": scope, "reason": rest.reason, "until": _when(rest.until)}
        for scope, rest in known.rests.items()
        if rest.until > now
    ]


def _quota(quotas: Mapping[str, tuple[Reading, ...]]) -> list[dict[str, Any]]:
    rows = []
    for model, readings in quotas.items():
        for reading in readings:
            row = asdict(reading)
            row.update(known=row.pop("source"), model=model, resets_at=_when(reading.resets_at))
            rows.append(row)
    return rows


def _job(job: Job) -> dict[str, Any]:
    return {"job_id": job.id, "status": job.status.value, "model": job.model, "created": _when(job.created_at)}


def _when(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at).astimezone().isoformat(timespec="seconds")


@lru_cache(maxsize=1024)
def _usd(micro: int) -> str:
    return format(budget.usd(micro).normalize() + Decimal(0), "f")


def _limit(micro: int | None) -> str | None:
    """None: no limit."""
    return None if micro is None else _usd(micro)
