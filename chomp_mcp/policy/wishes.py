"""Wishes: fields that a program sends whatever the model, and that an answer can do without.

Claude Code asks every model for 64,000 tokens and for an effort. A router that refuses one of them is asked again
without it, for else no conversation could begin there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from chomp_mcp.messages import Failed, FailureKind

_WISHES: Mapping[str, re.Pattern[str]] = {
    "reasoning_effort": re.compile(r"reasoning|\beffort\b|\bthink", re.IGNORECASE),
    "max_tokens": re.compile(
        r"max_(completion_|output_|new_)?tokens|in the completion|(output|completion|new) tokens|\bmax_tokens\b",
        re.IGNORECASE,
    ),
    "user": re.compile(
        r"(unknown|extra|unsupported|unrecogni[sz]ed|not (permitted|allowed|supported)).*\buser\b"
        r"|\buser\b.*(unsupported|too long|not (permitted|allowed|supported))",
        re.IGNORECASE | re.DOTALL,
    ),
}
"""Each with the words by which a refusal shows that it is about this field."""

_KINDS = frozenset({FailureKind.CALLER_FAULT, FailureKind.TOO_LONG})


def refused(failed: Failed, wishes: Iterable[str]) -> str:
    """The wish that the router refuses; empty where the refusal is about something else."""
    if failed.kind not in _KINDS:
        return ""
    param = str(failed.body.get("param") or "")
    return next((name for name in wishes if param == name or _WISHES[name].search(failed.message)), "")
