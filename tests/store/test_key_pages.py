"""One-time pages: opened once, taken by one, gone after ten minutes."""

from __future__ import annotations

import pytest

from chomp_mcp.messages import OWNER, Caller
from chomp_mcp.store.key_pages import PAGE_SECONDS, Page, Pages
from chomp_mcp.store.kv.protocol import KV
from tests.support.clock import Clock

pytestmark = pytest.mark.anyio


@pytest.fixture
def pages(kv: KV, clock: Clock) -> Pages:
    return Pages(kv, clock=clock)


async def test_a_page_is_for_its_caller_and_only_its_hash_is_stored(pages: Pages, kv: KV):
    nonce = await pages.open(OWNER, "groq")
    other = await pages.open(Caller("f" * 64), "")
    assert await pages.find(nonce) == Page(OWNER, "groq")
    assert await pages.find(other) == Page(Caller("f" * 64), "")
    assert nonce not in repr(await kv.list("page:"))


async def test_who_takes_it_closes_it_for_all_others_until_it_is_given_back(pages: Pages):
    nonce = await pages.open(OWNER, "groq")
    assert await pages.take(nonce)
    assert (await pages.take(nonce), await pages.find(nonce), await pages.outcome(nonce)) == (None, None, "")
    await pages.give_back(nonce)
    assert await pages.take(nonce)
    await pages.save(nonce, "zen")
    assert await pages.outcome(nonce) == "zen"
    await pages.give_back(nonce)
    assert await pages.find(nonce) is None, "what was saved stays saved"


async def test_it_is_gone_after_ten_minutes_whatever_was_done_with_it(pages: Pages, clock: Clock):
    nonce = await pages.open(OWNER, "groq")
    clock.advance(PAGE_SECONDS - 1)
    assert await pages.take(nonce)
    await pages.give_back(nonce)
    clock.advance(1)
    assert (await pages.find(nonce), await pages.take(nonce), await pages.outcome(nonce)) == (None, None, None)


@pytest.mark.parametrize("nonce", ["", "guessed", "\ud800", "page:*"])
async def test_a_page_that_nobody_opened_is_none(pages: Pages, nonce: str):
    await pages.save(nonce, "groq")
    await pages.forget(nonce)
    assert (await pages.find(nonce), await pages.take(nonce), await pages.outcome(nonce)) == (None, None, None)
