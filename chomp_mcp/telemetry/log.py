"""A JSON line per exchange, on stderr, through the standard library's logging.

The lines hold what a report holds, less the routers' own words, which may repeat the prompt. No line should hold a key;
what looks like one is masked in all that is not ours. Standard output is never
written to: on stdio it belongs to MCP.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final, TextIO

from chomp_mcp import wire
from chomp_mcp.errors import InvalidSetting
from chomp_mcp.policy.secrets import masked
from chomp_mcp.telemetry.lossy import LossyStream
from chomp_mcp.telemetry.report import Report, Transition, shown

LEVELS: Final[Mapping[str, int]] = MappingProxyType(
    {"off": logging.CRITICAL + 10, "error": logging.ERROR, "info": logging.INFO, "debug": logging.DEBUG}
)
"""The words of CHOMP_LOG: nothing; exchanges that failed; every exchange; what libraries and modules add as well."""

_logger = logging.getLogger("chomp_mcp")
_logger.addHandler(logging.NullHandler())  # a program that embeds us and sets no logging up hears nothing


def configure(level: str, stream: TextIO | None = None) -> None:
    """Send our log lines to `stream` (default: stderr) from `level` (of `LEVELS`) on; the last call counts."""
    threshold = LEVELS.get(level.strip().lower())
    if threshold is None:
        why = f"CHOMP_LOG is wrong: {level!r} must be one of {', '.join(LEVELS)}."
        raise InvalidSetting(why, hint="Correct or remove CHOMP_LOG.")
    is_terminal = stream is None and sys.stderr.isatty()
    if stream is None:
        stream = sys.stderr if isinstance(sys.stderr, LossyStream) else LossyStream(sys.stderr)
    handler = _LineHandler(stream)
    handler.setFormatter(_PersonFormatter() if is_terminal else _LineFormatter())
    # What libraries say goes the same way, and masked. With none at the root the MCP SDK puts rich's there, which draws
    # a traceback for seconds: when a Redis goes away, nobody would be answered meanwhile.
    of_libraries = _LineHandler(stream)
    of_libraries.setFormatter(handler.formatter)
    of_libraries.setLevel(threshold)
    for logger, new in ((_logger, handler), (logging.getLogger(), of_libraries)):
        for old in [each for each in logger.handlers if isinstance(each, _LineHandler)]:
            logger.removeHandler(old)
        logger.addHandler(new)
    _logger.setLevel(threshold)
    # A handler of the program at the root would write each line a second time.
    _logger.propagate = False


class LogObserver:
    """Writes each report as one line: `error` level when the caller met an error, `info` otherwise."""

    def exchange(self, report: Report) -> None:
        level = logging.ERROR if report.failed else logging.INFO
        if _logger.isEnabledFor(level):
            _logger.log(level, _Line(level, report.started_at + report.duration_seconds, _facts(report)))

    def transition(self, transition: Transition) -> None:
        facts = {
            "event": "breaker",
            "router": transition.router,
            "from": transition.from_state,
            "to": transition.to_state,
        }
        _logger.info(_Line(logging.INFO, None, facts))


def _facts(report: Report) -> dict[str, Any]:
    receipt = report.receipt
    return {
        "event": "exchange",
        "door": report.door,
        "caller": report.caller_id,
        "status": report.status,
        "asked": report.asked,
        "served": shown(receipt.served),
        "attempts": [
            {
                "router": attempt.router,
                "model": shown(attempt.model),
                "outcome": attempt.outcome,
                "status": attempt.status,
                "ms": attempt.ms,
            }
            for attempt in receipt.attempts
        ],
        "streamed": report.streamed,
        "job": report.job,
        "input_tokens": receipt.usage.input_tokens,
        "output_tokens": receipt.usage.output_tokens,
        "cached_tokens": receipt.usage.cached_tokens,
        "estimated": receipt.usage.estimated,
        "cost_usd": None if receipt.cost_usd is None else format(receipt.cost_usd, "f"),
        "price": report.price,
        "seconds": round(report.duration_seconds, 4),
        "first_token_seconds": report.first_token_seconds and round(report.first_token_seconds, 4),
    }


class _Line:
    """A log message that is JSON in whatever handler it ends up, and is built only when one wants it."""

    __slots__ = ("_facts",)

    def __init__(self, level: int, at: float | None, facts: Mapping[str, Any]) -> None:
        when = datetime.now(UTC) if at is None else datetime.fromtimestamp(at, UTC)
        head = {"at": when.isoformat(timespec="milliseconds"), "level": logging.getLevelName(level).lower()}
        self._facts = {**head, **facts}

    def for_a_person(self) -> str:
        """Of an exchange who asked what, who answered, how it ended; of a breaker where it stands."""
        facts = self._facts
        at = _clock(datetime.fromisoformat(str(facts["at"])))
        if facts["event"] != "exchange":
            rest = ", ".join(f"{name} {value}" for name, value in facts.items() if name not in {"at", "level", "event"})
            return f"{at} {facts['event']} {rest}"
        tried = ", ".join(f"{each['router']}/{each['model']} {each['outcome']}" for each in facts["attempts"])
        cost = "price unknown" if facts["cost_usd"] is None else f"${facts['cost_usd']}"
        return (
            f"{at} {facts['status']} {facts['door']}: {facts['asked']} -> {facts['served'] or 'nobody'} · "
            f"{facts['input_tokens']} in, {facts['output_tokens']} out · {cost} · {facts['seconds']:.1f} s · {tried}"
        )

    def __str__(self) -> str:
        try:
            return wire.dumps(self._facts).decode()
        except TypeError:  # half an emoji in a message, which the standard library writes as an escape
            return json.dumps(self._facts)


class _PersonFormatter(logging.Formatter):
    """The same in a line that a person reads, on a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        if isinstance(record.msg, _Line):
            return _printable(record.msg.for_a_person())
        at = _clock(datetime.fromtimestamp(record.created, UTC))
        told = _printable(f"{at} {record.levelname.lower()} {masked(record.getMessage())}")
        lines = masked(self.formatException(record.exc_info)).splitlines() if record.exc_info else []
        return "\n".join([told, *map(_printable, lines)])


def _printable(text: str) -> str:
    """On one line, without what could drive the terminal: callers and routers choose names."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _clock(at: datetime) -> str:
    return at.astimezone().strftime("%H:%M:%S")


class _LineHandler(logging.StreamHandler[TextIO]):
    """Ours, so that `configure` finds it again."""


class _LineFormatter(logging.Formatter):
    """One JSON object per line, whatever was logged."""

    def format(self, record: logging.LogRecord) -> str:
        if isinstance(record.msg, _Line):
            return str(record.msg)
        facts = {"event": "message", "logger": record.name, "message": masked(record.getMessage())}
        if record.exc_info:
            facts["exception"] = masked(self.formatException(record.exc_info))
        return str(_Line(record.levelno, record.created, facts))
