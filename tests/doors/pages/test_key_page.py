"""The one-time page, driven as a browser would: the form and its guards, on the listener of a stdio server."""

from __future__ import annotations

import re
from pathlib import Path

import anyio
import httpx2
import pytest

from chomp_mcp.app import Chomp
from chomp_mcp.doors.pages.key_page import KeyPages
from chomp_mcp.errors import InvalidRequest
from chomp_mcp.messages import OWNER
from chomp_mcp.store.key_pages import PAGE_SECONDS
from tests.support.clock import Clock
from tests.support.mcp_doors import running

pytestmark = pytest.mark.anyio
KEY = "gsk_abcdefghijklmnop4f2a"


def origin(url: str) -> dict[str, str]:
    return {"origin": url.rpartition("/keys/")[0]}


async def send(browser: httpx2.AsyncClient, url: str, *, router: str = "groq", key: str = KEY) -> httpx2.Response:
    return await browser.post(url, data={"router": router, "key": key}, headers=origin(url))


async def test_a_typed_key_is_stored_and_the_page_says_what_is_next(
    pages: KeyPages, chomp: Chomp, browser: httpx2.AsyncClient
) -> None:
    url = await pages.open(OWNER, "groq")
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/keys/[\w-]{32}", url)
    form = await browser.get(url)
    assert form.status_code == 200
    assert '<option value="groq" selected>' in form.text
    assert 'type="password"' in form.text
    assert 'href="https://console.groq.com/keys"' in form.text
    for router in chomp.routers.values():
        assert (f'<option value="{router.id}"' in form.text) == router.needs_key
    done = await send(browser, url)
    assert done.status_code == 200
    assert "Groq is ready" in done.text
    assert "go on in the chat" in done.text
    assert KEY not in done.text
    assert await chomp.keyring.previews(OWNER) == {"groq": "gsk_…4f2a"}
    assert await pages.wait(url.rpartition("/")[2], 5) == "groq"


async def test_a_page_works_once(pages: KeyPages, chomp: Chomp, browser: httpx2.AsyncClient) -> None:
    url = await pages.open(OWNER)
    await send(browser, url)
    again = await send(browser, url, router="cerebras", key="csk-0123456789abcdef")
    assert again.status_code == 410
    assert (await browser.get(url)).status_code == 410
    assert list(await chomp.keyring.previews(OWNER)) == ["groq"]


async def test_any_process_on_the_store_serves_the_page_and_hears_of_the_key(
    pages: KeyPages, tmp_path: Path, browser: httpx2.AsyncClient, clock: Clock
) -> None:
    nonce = (await pages.open(OWNER, "groq")).rpartition("/")[2]
    async with running(tmp_path, clock=clock) as other:
        elsewhere = KeyPages(other)
        base = (await elsewhere.open(OWNER)).rpartition("/")[0]
        assert (await send(browser, f"{base}/{nonce}")).status_code == 200
        await elsewhere.close()
    assert await pages.wait(nonce, 5) == "groq"


async def test_a_page_that_nobody_may_use_any_more_is_gone(pages: KeyPages, browser: httpx2.AsyncClient) -> None:
    url = await pages.open(OWNER)
    await pages.forget(url.rpartition("/")[2])
    assert (await browser.get(url)).status_code == 410


async def test_of_two_submissions_at_once_one_wins(pages: KeyPages, chomp: Chomp, browser: httpx2.AsyncClient) -> None:
    url = await pages.open(OWNER)
    seen: list[int] = []

    async def submit(router: str) -> None:
        seen.append((await send(browser, url, router=router)).status_code)

    async with anyio.create_task_group() as group:
        for router in ("groq", "cerebras", "fireworks"):
            group.start_soon(submit, router)
    assert sorted(seen) == [200, 410, 410]
    assert len(await chomp.keyring.previews(OWNER)) == 1


async def test_a_page_lasts_ten_minutes(pages: KeyPages, browser: httpx2.AsyncClient, clock: Clock) -> None:
    url = await pages.open(OWNER)
    clock.now += PAGE_SECONDS - 1
    assert (await browser.get(url)).status_code == 200
    clock.now += 1
    assert (await browser.get(url)).status_code == 410
    assert (await send(browser, url)).status_code == 410


async def test_a_guessed_page_is_not_there(pages: KeyPages, browser: httpx2.AsyncClient) -> None:
    url = await pages.open(OWNER)
    assert (await browser.get(url[:-1] + ("a" if url[-1] != "a" else "b"))).status_code == 410


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "[::1", ""])
async def test_a_foreign_host_is_refused(pages: KeyPages, browser: httpx2.AsyncClient, host: str) -> None:
    url = await pages.open(OWNER)
    answer = await browser.get(url, headers={"host": host})
    assert answer.status_code in {400, 421}
    assert "<form" not in answer.text


@pytest.mark.parametrize("sender", ["https://evil.example", "null", "http://127.0.0.1", "http://localhost:1", None])
async def test_a_form_from_elsewhere_is_refused(
    pages: KeyPages, chomp: Chomp, browser: httpx2.AsyncClient, sender: str | None
) -> None:
    url = await pages.open(OWNER)
    headers = {} if sender is None else {"origin": sender}
    answer = await browser.post(url, data={"router": "groq", "key": KEY}, headers=headers)
    assert answer.status_code == 403
    assert await chomp.keyring.previews(OWNER) == {}
    assert (await send(browser, url)).status_code == 200


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"router": "groq", "key": " "}, "There is no key yet."),
        ({"router": "groq", "key": "two words"}, "groq"),
        ({"router": "groq", "key": "x" * 5000}, "groq"),
        ({"router": "nope<script>", "key": KEY}, "no router that takes a key"),
        ({"router": "ollama", "key": KEY}, "no router that takes a key"),
        ({"filler": "x" * 100_000}, "no router that takes a key"),
        ({}, "no router that takes a key"),
    ],
)
async def test_a_wrong_form_comes_back_with_the_reason_and_can_be_mended(
    pages: KeyPages, browser: httpx2.AsyncClient, fields: dict[str, str], says: str
) -> None:
    url = await pages.open(OWNER)
    answer = await browser.post(url, data=fields, headers=origin(url))
    assert answer.status_code == 400
    assert '<p role="alert">' in answer.text
    assert says in answer.text
    assert KEY not in answer.text
    assert "<script" not in answer.text
    assert (await send(browser, url)).status_code == 200


async def test_each_router_is_chosen_by_name_and_a_wrong_one_is_told(pages: KeyPages) -> None:
    with pytest.raises(InvalidRequest, match="These do: zen, groq"):
        await pages.open(OWNER, "grok")
    with pytest.raises(InvalidRequest, match="takes a key"):
        await pages.open(OWNER, "mock")


async def test_nobody_waits_for_a_page_that_is_not_there(pages: KeyPages) -> None:
    assert await pages.wait("nope", 5) is None
    url = await pages.open(OWNER)
    assert await pages.wait(url.rpartition("/")[2], 0) is None


async def test_a_key_says_whose_it_is_where_no_router_was_named(
    pages: KeyPages, chomp: Chomp, browser: httpx2.AsyncClient
) -> None:
    url = await pages.open(OWNER)
    assert '<option value="" selected>' in (await browser.get(url)).text
    unknown = await send(browser, url, router="", key="nobody-knows-this-one")
    assert unknown.status_code == 400
    assert "Choose the router" in unknown.text
    assert (await send(browser, url, router="")).status_code == 200
    assert set(await chomp.keyring.previews(OWNER)) == {"groq"}
