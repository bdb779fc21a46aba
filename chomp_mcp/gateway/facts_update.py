"""`catalog update`: newer public data about the models, fetched, checked, and kept in the user's home."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import anyio

from chomp_mcp.errors import InvalidRequest, UpstreamFailed
from chomp_mcp.messages import Router, WireRequest
from chomp_mcp.routers import model_facts
from chomp_mcp.routers.client import Client
from chomp_mcp.routers.response import Unreachable
from chomp_mcp.store.kv.files import replace_file, unusable

_SECONDS = 60.0
_LEAST_SHARE = 0.5
"""A file that has lost more than half of the models is taken for a broken one."""
_DAY = 86_400.0
_HINT = "What was known before is kept. Try again later, or give a file that you have fetched: --from FILE."


@dataclass(frozen=True, slots=True)
class Update:
    """What is in use now; `is_new`: it was not before."""

    facts: model_facts.ModelFacts
    is_new: bool
    why: str = ""
    """Why not."""


async def update_facts(client: Client, home: Path, routers: Mapping[str, Router], source: str, *, now: float) -> Update:
    """Fetch from a URL, or read from a file, and keep it where it is whole and newer.

    Raises:
        UpstreamFailed: it could not be had, or is broken; what is there is kept.
        StoreError: it could not be written.
    """
    before = model_facts.current(home)
    place = source or model_facts.SOURCE
    if "://" in place:
        request = WireRequest("GET", place, {"accept": "application/json"})
        try:
            with anyio.fail_after(_SECONDS):
                response, body = await client.fetch(request)
        except TimeoutError:
            raise UpstreamFailed(f"{place} did not answer within {_SECONDS:g} s.", hint=_HINT) from None
        except (Unreachable, ValueError) as error:
            raise UpstreamFailed(f"{place} cannot be read: {error}", hint=_HINT) from None
        if not response.is_success:
            raise UpstreamFailed(f"{place} answered {response.status}.", hint=_HINT)
    else:
        try:
            body = await anyio.Path(place).read_bytes()
        except OSError as error:
            why = f"{place} cannot be read: {error.strerror}."
            raise InvalidRequest(why, hint="Name a file, or a URL with http:// or https://.") from None
    try:
        facts = model_facts.told(body, routers.values())
    except ValueError as error:
        raise UpstreamFailed(f"{place} cannot be used: {error}.", hint=_HINT) from None
    if facts.date > datetime.fromtimestamp(now + _DAY, UTC).date().isoformat():
        raise UpstreamFailed(f"{place} cannot be used: it is of {facts.date}, which is to come.", hint=_HINT)
    if len(facts) < _LEAST_SHARE * len(before):
        message = f"{place} cannot be used: it knows {len(facts)} models, and {len(before)} were known before."
        raise UpstreamFailed(message, hint=_HINT)
    if facts.date < before.date:
        return Update(before, is_new=False, why=f"{place} is older: of {facts.date}")
    facts = replace(facts, routers={**before.routers, **facts.routers})  # what it does not speak of stays
    if facts.routers == before.routers:
        return Update(before, is_new=False, why="it says the same")
    path = home / model_facts.FILE
    try:
        # No lock: of two that update at once each has a file of its own beside it, and the later one stays.
        replace_file(path, model_facts.written(facts), f".{path.name}.{os.getpid()}")
    except OSError as error:
        raise unusable(path, error) from error
    return Update(facts, is_new=True)
