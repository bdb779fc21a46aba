"""Tool ids that a router takes, the same on both sides of a pair."""

from __future__ import annotations

import hashlib
import re
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from chomp_mcp.dialects.values import as_list, as_text

_PLAIN = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_SHORT = re.compile(r"[a-zA-Z0-9]{9}")
_SHARED = 50
"""Ids that differ only behind this many characters may become one when they are cut, so they are counted together."""


class Ids:
    """Pairs the calls of a conversation with their results.

    Kimi's ids are `functions.get:0`, some servers count from `call_0` in every turn, some send none: a call without an
    id gets one, and whoever answers it in turn gets the same. `shape` is `Router.tool_ids`.
    """

    def __init__(self, shape: str) -> None:
        self._shape = _SHAPES[shape]
        self._count = 0
        self._taken: set[str] = set()
        self._turns: dict[str, int] = {}
        """How often an id that begins so was made anew: counting from one each time would take for ever."""
        self._open: dict[str, deque[str]] = {}
        """The caller's id -> ours, of calls that wait for their result; none is empty."""
        self._last: dict[str, str] = {}
        """The same of all calls so far: a result may come twice."""

    def pair(self, messages: list[Any]) -> list[str]:
        """Fit the ids of these messages, in place; tells of results and calls without the other."""
        notes = []
        for at, message in enumerate(messages):
            if not isinstance(message, dict):
                continue
            if message.get("role") == "tool":
                given = as_text(message.get("tool_call_id"))
                # A result without an id answers the call that has waited longest.
                name = given or next(iter(self._open), "")
                if waiting := self._open.get(name):
                    message["tool_call_id"] = waiting.popleft()
                    if not waiting:
                        del self._open[name]
                elif given in self._last:
                    message["tool_call_id"] = self._last[given]
                else:
                    message["tool_call_id"] = self._shape(given or f"call_{at}", 0)
                    notes.append(f"messages[{at}] is the result of a tool call that is not in the conversation")
                continue
            if self._open:
                notes.append(f"a tool call before messages[{at}] has no result")
                self._open.clear()
            if self._shape is _any:  # an id that goes as it is may come again (`call_0` does), one that we made may not
                self._taken.clear()
                self._turns.clear()
            for call in as_list(message.get("tool_calls")):
                if isinstance(call, dict):
                    given = as_text(call.get("id"))
                    wanted = given or f"call_{self._count}"
                    ours = self._shape(wanted, 0)
                    begins = ours[:_SHARED]
                    while ours in self._taken:
                        self._turns[begins] = turn = self._turns.get(begins, 0) + 1
                        ours = self._shape(wanted, turn)
                    self._taken.add(ours)
                    call["id"] = ours
                    self._count += 1
                    self._open.setdefault(given, deque()).append(ours)
                    self._last[given] = ours
        return notes


def _any(given: str, turn: int) -> str:
    return f"{given}_{turn + 1}" if turn else given


def _plain(given: str, turn: int) -> str:
    if not turn and _PLAIN.fullmatch(given):
        return given
    mark = f"_{turn + 1}" if turn else ""
    return re.sub(r"[^a-zA-Z0-9_-]", "_", given)[: 64 - len(mark)] + mark


def _short(given: str, turn: int) -> str:
    if not turn and _SHORT.fullmatch(given):
        return given
    return hashlib.sha256(f"{given} {turn}".encode("utf-8", "surrogatepass")).hexdigest()[:9]


_SHAPES: Mapping[str, Callable[[str, int], str]] = {"any": _any, "plain": _plain, "short": _short}
