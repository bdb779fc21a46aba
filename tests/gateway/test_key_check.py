"""Whether a router takes a key: by a call that needs one, and told to nobody else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from chomp_mcp.gateway import key_check
from chomp_mcp.gateway.key_check import KeyCheck, check_key
from tests.support.world import World, world

pytestmark = pytest.mark.anyio
KEY = "gsk_abcdefghijklmnop4f2a"


async def checked(w: World, router: str) -> KeyCheck:
    with anyio.fail_after(10):
        return await check_key(w.chomp.client, w.chomp.routers[router], KEY, clock=w.chomp.clock)


async def test_an_account_page_is_asked_where_there_is_one(home: Path) -> None:
    async with world(home, "openrouter") as w:
        w.openrouter.on(path="/key").reply(200, {"data": {}})
        assert (await checked(w, "openrouter")).ok
        assert [request.path for request in w.openrouter.requests] == ["/v1/key"]


async def test_a_list_that_is_shown_to_this_key_alone_is_enough(home: Path) -> None:
    async with world(home, "groq") as w:
        w.groq.on(path="/models").fail(401)
        w.groq.on(path="/models", key=KEY).reply(200, {"data": [{"id": "m"}]})
        told = await checked(w, "groq")
        assert (told.ok, told.detail) == (True, "its list of models came")
        assert w.groq.chats == []


async def test_where_everybody_gets_the_list_one_token_is_asked_for(home: Path) -> None:
    async with world(home, "groq") as w:
        w.groq.models(["m"])
        told = await checked(w, "groq")
        assert (told.ok, told.detail) == (True, "m answered")
        assert [(request.key, request.json["max_completion_tokens"]) for request in w.groq.chats] == [(KEY, 1)]


@pytest.mark.parametrize(
    ("status", "ok", "is_refused"), [(401, False, True), (403, False, True), (429, True, False), (500, False, False)]
)
async def test_a_refusal_is_told_from_a_key_with_nothing_left_and_no_router_quotes_the_key(
    home: Path, status: int, ok: bool, is_refused: bool
) -> None:
    async with world(home, "groq") as w:
        w.groq.models(["m"])
        w.groq.fail(status, {"error": {"message": f"no, not {KEY}"}})
        told = await checked(w, "groq")
        assert (told.ok, told.is_refused) == (ok, is_refused)
        assert "no, not" in told.detail
        assert KEY not in told.detail


async def test_a_router_that_does_not_answer_says_nothing_of_the_key(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_check, "SECONDS", 0.05)
    async with world(home, "groq") as w:
        w.groq.on(path="/models").hang()
        told = await checked(w, "groq")
        assert (told.ok, told.is_refused) == (False, False)
        assert "no answer in" in told.detail
        nobody = replace(w.chomp.routers["groq"], url="http://127.0.0.1:9")
        assert not (await check_key(w.chomp.client, nobody, KEY, clock=w.chomp.clock)).ok
        lacking = replace(nobody, url_lacks="CLOUDFLARE_ACCOUNT_ID")
        assert "CLOUDFLARE_ACCOUNT_ID" in (await check_key(w.chomp.client, lacking, KEY, clock=w.chomp.clock)).detail
