"""The models' list in Anthropic's shape, for programs that ask with `anthropic-version`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from chomp_mcp.errors import InvalidRequest
from chomp_mcp.messages import Model
from chomp_mcp.policy.agents import VIA_CHOMP

MOST = 1000
DEFAULT_LIMIT = 20
"""Both as platform.claude.com has them for GET /v1/models."""

_SHOWN = re.compile("claude|anthropic", re.IGNORECASE)
"""Claude Code's picker shows ids in which one of these stands; the others get a prefix, which the door takes off."""
_UNKNOWN_DATE = "1970-01-01T00:00:00Z"


def entry(model: Model, router_name: str) -> dict[str, Any]:
    """One model; `created_at` is not known, and null limits are not either."""
    return {
        "type": "model",
        "id": model.ref if _SHOWN.search(model.ref) else VIA_CHOMP + model.ref,
        "display_name": f"{model.name or model.id} ({router_name})",
        "created_at": _UNKNOWN_DATE,
        "max_input_tokens": model.context_length,
        "max_tokens": model.max_output,
    }


def page(entries: Sequence[Mapping[str, Any]], query: Mapping[str, str]) -> dict[str, Any]:
    """Those after `after_id`, or before `before_id`, at most `limit` (20; 1 to 1,000).

    Raises:
        InvalidRequest: a limit that is none, or an id that is not in the list.
    """
    told = query.get("limit") or str(DEFAULT_LIMIT)
    # By its length first: int() of thousands of digits is slow, and refused by Python in words of its own.
    if not (told.isascii() and told.isdecimal() and len(told) <= len(str(MOST)) and 1 <= int(told) <= MOST):
        raise InvalidRequest(f"limit is not a number from 1 to {MOST}.", hint=f"Try ?limit={MOST}.", param="limit")
    limit = int(told)
    ids = [str(each["id"]) for each in entries]
    after, before = query.get("after_id"), query.get("before_id")
    start = _index(ids, after, "after_id") + 1 if after else 0
    end = _index(ids, before, "before_id") if before else len(ids)
    chosen = entries[max(start, end - limit) : end] if before else entries[start : start + limit]
    return {
        "data": list(chosen),
        "has_more": len(chosen) < end - start,
        "first_id": chosen[0]["id"] if chosen else None,
        "last_id": chosen[-1]["id"] if chosen else None,
    }


def _index(ids: Sequence[str], wanted: str, name: str) -> int:
    if wanted not in ids:
        raise InvalidRequest(f"{name} is no id of this list.", hint="Give an id as the list told it.", param=name)
    return ids.index(wanted)
