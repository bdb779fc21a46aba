"""Prometheus: counts every report as it comes, and shows what the caller of `render` knows at that moment.

Importing this module is free; making a `Metrics` imports prometheus_client. Label values stay few: routers are the
catalog's, models the first 200 that a router knew, everything else is `other`; no caller, no text of a user.
"""

from __future__ import annotations

import os
import sys
from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, TypeVar

from chomp_mcp.messages import Attempt, FailureKind, JobStatus
from chomp_mcp.telemetry.report import OK, Report, Transition, shown
from chomp_mcp.version import version

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter, Histogram, Metric


CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
OTHER: Final = "other"

T = TypeVar("T")
_MOST_MODELS: Final = 200
_MOST_STATUSES: Final = 50
_LONGEST_NAME: Final = 200

_BUCKETS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
"""OpenTelemetry's for gen_ai.client.operation.duration."""

_BREAKER_STATES: Final = {"closed": 0, "half_open": 1, "open": 2}


class Metrics:
    """An observer with a registry of its own. `routers` are the ids that may be label values.

    `replica` names this server among those on one store.
    """

    def __init__(self, routers: Iterable[str], *, replica: str = "") -> None:
        from prometheus_client import CollectorRegistry, Gauge

        self.registry: CollectorRegistry = CollectorRegistry()
        self._counted = _of_all_workers() or self.registry
        self._routers = {router: router for router in routers}
        self._models = _FirstNames(_MOST_MODELS)
        self._statuses = _FirstNames(_MOST_STATUSES)
        python = ".".join(map(str, sys.version_info[:3]))
        build = Gauge(
            "chomp_build_info",
            "This program.",
            ["version", "python"],
            registry=self.registry,
            multiprocess_mode="max",  # the same in every worker, and not their sum
        )
        build.labels(version(), python).set(1)
        self._replica = replica
        self._requests = self._counter("chomp_requests_total", "Exchanges that ended.", "door", "status")
        self._durations = self._histogram("chomp_request_duration_seconds", "Whole exchanges.", "door")
        self._tokens = self._counter("chomp_tokens_total", "Tokens; input has cached in it.", "router", "model", "type")
        self._costs = self._counter(
            "chomp_cost_usd_total",
            "US dollars; exchanges of unknown price add nothing here and one to chomp_unpriced_total.",
            "router",
            "model",
            "price",
        )
        self._kept = self._counter(
            "chomp_conversations_total", "Turns of conversations that had a route: kept it, or moved.", "route"
        )
        self._unpriced = self._counter("chomp_unpriced_total", "Exchanges of unknown price.", "router", "model")
        self._attempts = self._counter(
            "chomp_upstream_attempts_total", "Calls to routers.", "router", "model", "outcome"
        )
        self._upstream = self._histogram("chomp_upstream_duration_seconds", "Calls to routers.", "router")
        self._first_tokens = self._histogram("chomp_time_to_first_token_seconds", "Until the first delta.", "router")
        self._failovers = self._counter("chomp_failovers_total", "Steps to the next route, by reason.", "reason")
        self._transitions = self._counter("chomp_breaker_transitions_total", "Breakers that changed.", "router", "to")

    def exchange(self, report: Report) -> None:
        self._requests[report.door, self._statuses[report.status]].inc(1)
        self._durations[report.door,].observe(report.duration_seconds)
        attempts = report.receipt.attempts
        for attempt in attempts:
            tried = self._routers.get(attempt.router, OTHER)
            self._attempts[tried, self._model(attempt.model, attempt.outcome), attempt.outcome].inc(1)
            self._upstream[tried,].observe(attempt.ms / 1000)
        if len(attempts) > 1:
            for reason in _failovers(attempts):
                self._failovers[reason,].inc(1)
        receipt = report.receipt
        if not receipt.served:
            return
        served, model_id = report.served
        router, model = self._routers.get(served, OTHER), self._model(model_id, OK)
        if report.first_token_seconds is not None:
            self._first_tokens[router,].observe(report.first_token_seconds)
        self._tokens[router, model, "input"].inc(receipt.usage.input_tokens)
        self._tokens[router, model, "output"].inc(receipt.usage.output_tokens)
        if receipt.sticky is not None:
            self._kept["kept" if receipt.sticky else "moved",].inc(1)
        if receipt.usage.cached_tokens:
            self._tokens[router, model, "cached"].inc(receipt.usage.cached_tokens)
        # Prometheus counts in floats; the exact sums are the ledger's.
        self._costs[router, model, report.price].inc(float(receipt.cost_usd or 0))
        if report.price == "unknown":
            self._unpriced[router, model].inc(1)

    def transition(self, transition: Transition) -> None:
        self._transitions[self._routers.get(transition.router, OTHER), transition.to_state].inc(1)

    def render(self, snapshot: Mapping[str, Any]) -> bytes:
        """The text of /metrics, as `CONTENT_TYPE`. Every part of the snapshot may be absent:

        ```
        in_flight  int: exchanges that run now, in this process
        store_up   bool: the store answers; without it quotas, budgets and breakers are not known
        breakers   {router: "closed" | "half_open" | "open"}
        quotas     [{"router", "kind": "requests" | "tokens", "window": "minute" | …, "source": "headers" | …,
                     "remaining": int | None}]; rows that differ only in key or model are added up, None is left out
        budgets    {"day" | "month": {"limit": Decimal | None, "spent": Decimal, "reserved": Decimal}}, in US dollars;
                     a limit of None or 0 is no limit and is left out
        jobs       {"running": int, …}; states that are absent are 0
        ```
        """
        from prometheus_client import generate_latest

        return generate_latest(_Page(self._counted, {"replica": self._replica, **snapshot}, self._routers))

    def _model(self, model: str, outcome: str) -> str:
        """The label of a model. A name that no router knows takes no place; `?…` is the mock router's script."""
        name = model.partition("?")[0]
        return self._models.get(name, OTHER) if outcome == FailureKind.NO_SUCH_MODEL else self._models[name]

    def _counter(self, name: str, text: str, *labels: str) -> _ByLabels[Any]:
        from prometheus_client import Counter

        # The values' own `inc`: the counter's looks each time whether it has labels, and whether the number is one.
        return _ByLabels(Counter(name, text, labels, registry=self.registry), attrgetter("_value"))

    def _histogram(self, name: str, text: str, *labels: str) -> _ByLabels[_Time]:
        from prometheus_client import Histogram

        return _ByLabels(Histogram(name, text, labels, registry=self.registry, buckets=_BUCKETS), _Time)


def _of_all_workers() -> CollectorRegistry | None:
    """The counters of all processes of this server, where doors/http/server/workers.py has made a folder for them."""
    # That each process writes its own there is prometheus_client's doing, once that variable is set.
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return None
    from prometheus_client import CollectorRegistry
    from prometheus_client.multiprocess import MultiProcessCollector

    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


class _ByLabels(dict[tuple[str, ...], T]):
    """A metric's values by their labels: a dict look-up where `labels()` takes a lock and microseconds."""

    def __init__(self, metric: Counter | Histogram, value_of: Callable[[Any], T]) -> None:
        super().__init__()
        self._metric, self._value_of = metric, value_of

    def __missing__(self, labels: tuple[str, ...]) -> T:
        value = self[labels] = self._value_of(self._metric.labels(*labels))
        return value


class _Time:
    __slots__ = ("_buckets", "_sum")

    def __init__(self, child: Any) -> None:
        self._sum, self._buckets = child._sum, child._buckets  # noqa: SLF001

    def observe(self, seconds: float) -> None:
        self._sum.inc(seconds)
        self._buckets[bisect_left(_BUCKETS, seconds)].inc(1)  # each holds what fell into it alone


class _FirstNames(dict[str, str]):
    """The first `most` names stand for themselves; further ones are `other`, and so are names no person would read."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def __missing__(self, name: str) -> str:
        if len(self) >= self._most or len(name) > _LONGEST_NAME or not name.isprintable():
            return OTHER
        self[name] = shown(name)
        return self[name]


def _failovers(attempts: Sequence[Attempt]) -> Iterator[str]:
    """Why the plan went on. Only TRANSIENT is tried again on the same route; after others it is the next key's turn."""
    for failed, following in pairwise(attempts):
        same = (failed.router, failed.model) == (following.router, following.model)
        if failed.outcome != OK and not (same and failed.outcome == FailureKind.TRANSIENT):  # ok: it won a race
            yield failed.outcome


class _Page:
    """What a scrape collects: the registry, then the snapshot."""

    def __init__(self, registry: CollectorRegistry, snapshot: Mapping[str, Any], routers: Mapping[str, str]) -> None:
        self._registry = registry
        self._snapshot = snapshot
        self._routers = routers

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            # `_created` doubles the number of series and says nothing that a restart would not.
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric
        yield _family("chomp_in_flight", "Exchanges now.", [], {(): self._snapshot.get("in_flight", 0)})
        yield _family("chomp_replica_info", "Which replica tells this.", ["replica"], {(self._snapshot["replica"],): 1})
        yield _family("chomp_store_up", "1: the store answers.", [], {(): float(self._snapshot.get("store_up", True))})
        breakers = self._snapshot.get("breakers", {})
        known: dict[tuple[str, ...], float] = {
            (router,): _BREAKER_STATES[state] for router, state in breakers.items() if router in self._routers
        }
        yield _family("chomp_breaker_state", "0 closed, 1 half-open, 2 open.", ["router"], known)
        left: Tally[tuple[str, ...]] = Tally()
        for row in self._snapshot.get("quotas", ()):
            if row["remaining"] is not None and row["router"] in self._routers:
                left[row["router"], row["kind"], row["window"], row["source"]] += row["remaining"]
        yield _family(
            "chomp_quota_remaining", "What keys have left.", ["router", "kind", "window", "source"], dict(left)
        )
        budgets: Mapping[str, Mapping[str, Decimal | None]] = self._snapshot.get("budgets", {})
        for part, text in (("limit", "May be spent."), ("spent", "Has been spent."), ("reserved", "Is held back.")):
            amounts = {(window,): amounts.get(part) for window, amounts in budgets.items()}
            # A limit of 0 is none, and a row of 0 would read as nothing left.
            told: dict[tuple[str, ...], Decimal] = {
                key: usd for key, usd in amounts.items() if usd is not None and (usd or part != "limit")
            }
            yield _family(f"chomp_budget_{part}_usd", text, ["window"], told)
        jobs: Mapping[str, int] = self._snapshot.get("jobs", {})
        states: dict[tuple[str, ...], float] = {(state.value,): jobs.get(state.value, 0) for state in JobStatus}
        yield _family("chomp_jobs", "Jobs by state.", ["state"], states)


def _family(name: str, text: str, labels: Sequence[str], values: Mapping[tuple[str, ...], float | Decimal]) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(name, text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, float(value))
    return family
