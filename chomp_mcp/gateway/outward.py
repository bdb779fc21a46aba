"""The outward guard: what leaves for a router that is not on this machine is looked at first, at one place."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from chomp_mcp import wire
from chomp_mcp.errors import SecretFound
from chomp_mcp.gateway.book import Books
from chomp_mcp.messages import OWNER, Caller, Route, WireRequest
from chomp_mcp.policy.book import Book
from chomp_mcp.policy.outward import OWN, Finding, Scanner, is_local, redacted, told

_log = logging.getLogger("chomp_mcp.outward")
_MOST_SCANNERS = 1000
_ALLOW = "Take it out; or, where it is none, put its hash into secrets_allow in config.toml."


class StayLocal(SecretFound):
    """It may go to routers on this machine, and this one is elsewhere."""


@dataclass(frozen=True, slots=True)
class Guard:
    """The guard of one caller's requests."""

    policy: str
    """warn, redact, local or block."""
    scanner: Scanner

    def checked(self, route: Route, wired: WireRequest) -> tuple[WireRequest, str]:
        """The call as it may be made, and a note or ""; `SecretFound`: it may not, `StayLocal`: not to this router."""
        if is_local(route):
            return wired, ""
        findings = self.scanner.scan(wired.body)
        if not findings:
            return wired, ""
        what, place = told(findings), route.router.name
        if self.policy == "local":
            why = f"This holds {what}, and {place} is not on this machine."
            raise StayLocal(why, hint="Ask a model of Ollama, or of a row with local = true; or take it out.")
        if self.policy == "block" or any(finding.rule == OWN for finding in findings):
            raise SecretFound(f"Not sent to {place}: this holds {what}.", hint=_ALLOW)
        if self.policy == "redact":
            wired = replace(wired, body=redacted(wired.body, findings))
        note = f"{'redacted for' if self.policy == 'redact' else 'sent to'} {place}: {what}"
        _log.warning("%s", note)
        return wired, note

    def check_for_all(self, routes: Iterable[Route], body: Mapping[str, Any]) -> None:
        """Raises: SecretFound, where none of the routes may get this."""
        if any(map(is_local, routes)):
            return
        findings = self.scanner.scan(wire.dumps(body))
        if findings and (self.policy in {"block", "local"} or any(finding.rule == OWN for finding in findings)):
            raise SecretFound(f"Not sent anywhere: this holds {told(findings)}.", hint=_ALLOW)

    def without_own(self, text: str) -> str:
        """The text without the keys that we hold."""
        own = [finding for finding in self.in_text(text) if finding.rule == OWN]
        return redacted(text.encode("utf-8", "replace"), own).decode("utf-8", "replace") if own else text

    def in_text(self, text: str) -> tuple[Finding, ...]:
        return self.scanner.scan(text.encode("utf-8", "replace"))


class OutwardGuards:
    """Makes a caller's guard once, and again when their keys, or the owner's, have changed."""

    def __init__(self, policy: str, allowed: tuple[str, ...], held: tuple[str, ...], books: Books) -> None:
        self._policy = policy
        self._allowed = allowed
        self._held = held
        """What we hold beside router keys: the owner's token, the master key."""
        self._books = books
        self._made: dict[str, tuple[Mapping[str, object], Mapping[str, object], Guard]] = {}

    async def of(self, caller: Caller) -> Guard | None:
        """None: nothing is looked at."""
        if self._policy == "off":
            return None
        book = await self._books.as_read(caller)
        owners = book if caller.is_owner else await self._books.of(OWNER)
        known = self._made.get(caller.id)
        # Compared by identity: a book is made anew when its keys have changed, and a request must not compare them all.
        if known is None or known[0] is not book.keys or known[1] is not owners.keys:
            if len(self._made) >= _MOST_SCANNERS:
                self._made.clear()
            own = (*self._held, *_keys(book), *_keys(owners))
            known = self._made[caller.id] = book.keys, owners.keys, Guard(self._policy, Scanner(own, self._allowed))
        return known[2]


def _keys(book: Book) -> tuple[str, ...]:
    return tuple(key for few in book.keys.values() for key, _ in few)
