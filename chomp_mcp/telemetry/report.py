"""What an exchange tells its observers: one frozen report, and the protocol of those who read it."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, Protocol

from chomp_mcp.messages import Receipt
from chomp_mcp.policy.secrets import masked

OK: Final = "ok"
"""The status of an exchange, and the outcome of an attempt, that went well."""

Price = Literal["known", "zero", "unknown"]

OUTRACED: Final = "outraced"
"""The outcome of an attempt that was called off because another route began to answer first."""
NO_FAILURES: Final = frozenset({OK, "hung_up", OUTRACED})
"""Outcomes of attempts that are no failure of the router's."""
_BLAMELESS: Final = frozenset({OK, "hung_up", "cancelled"})
SHOWN_CALLER: Final = 12
_SHOWN_REF: Final = 200

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Report:
    """One exchange as it ended. Holds no prompt, no answer, no key, so that every reader may show all of it."""

    door: str
    """Where it came in: mcp, openai_api, messages_api, responses_api, gemini_api, chomp_api, gateway_api, cli or
    python."""
    caller_id: str
    """At most the first 12 characters of `Caller.id`."""
    asked: str
    """The model ref as the caller wrote it, cut at 200 characters."""
    receipt: Receipt
    status: str = OK
    """`ok`, the `code` of the error that the caller met, or `hung_up` or `cancelled` when the caller left."""
    streamed: bool = False
    started_at: float = 0.0
    """Epoch seconds."""
    duration_seconds: float = 0.0
    first_token_seconds: float | None = None
    """From the start of the exchange to the first real delta; None when there was none, or no stream."""
    price: Price = "unknown"
    """Whether `receipt.cost_usd` is a price that we know, nothing by nature (a free model), or unknown."""
    job: bool = False
    """It ran, or ended, in the background."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "caller_id", self.caller_id[:SHOWN_CALLER])
        object.__setattr__(self, "asked", shown(self.asked))

    @property
    def failed(self) -> bool:
        """The caller met an error; a caller who left did not."""
        return self.status not in _BLAMELESS

    @property
    def served(self) -> tuple[str, str]:
        """Router and model that answered, or that took the last try; two empty strings when none was asked."""
        router, slash, model = self.receipt.served.partition("/")
        if slash:
            return router, model
        if self.receipt.attempts:
            last = self.receipt.attempts[-1]
            return last.router, last.model
        return "", ""


@dataclass(frozen=True, slots=True)
class Transition:
    """A breaker changed its state; states are `closed`, `open` and `half_open`."""

    router: str
    from_state: str
    to_state: str


class Observer(Protocol):
    """A reader of reports; called in the event loop after the answer, so it must be quick."""

    def exchange(self, report: Report) -> None: ...

    def transition(self, transition: Transition) -> None: ...


class Observers:
    """Many observers as one. What goes wrong in one of them is logged and reaches neither the others nor the caller."""

    __slots__ = ("_observers",)

    def __init__(self, observers: Iterable[Observer] = ()) -> None:
        self._observers = tuple(observers)

    def add(self, observer: Observer) -> None:
        self._observers = (*self._observers, observer)

    def exchange(self, report: Report) -> None:
        for observer in self._observers:
            try:
                observer.exchange(report)
            except Exception:
                _logger.exception("An observer could not read a report.")

    def transition(self, transition: Transition) -> None:
        for observer in self._observers:
            try:
                observer.transition(transition)
            except Exception:
                _logger.exception("An observer could not read a transition.")


HIDDEN = "…"
"""In place of a model's name that holds a secret."""


@lru_cache(maxsize=4096)
def shown(ref: str) -> str:
    """A caller's model ref as telemetry shows it: at most 200 characters, `?` for those that UTF-8 has no bytes for."""
    # Without what looks like a key: people paste them into the wrong field.
    ref = masked(ref[:_SHOWN_REF])
    return ref if ref.isprintable() else ref.encode("utf-8", "replace").decode()
