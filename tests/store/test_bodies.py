"""CHOMP_KEEP_BODIES: the home page shows what was asked and answered, and the disk holds it sealed or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.anthropic_answers import message, script_message
from tests.support.scripted import ScriptedRouter
from tests.support.serving import Served, serving, settings_for

pytestmark = pytest.mark.anyio
KEPT = {"CHOMP_KEEP_BODIES": "1"}
SEALED = {**KEPT, "CHOMP_MASTER_KEY": "a-long-enough-master-key-of-this-test"}
KEY = "gsk_abcdefghijklmnopqrstuvwxyz012345"


async def page(gateway: Served) -> str:
    await gateway.is_quiet()
    return (await gateway.http.get("/")).text


async def ask(gateway: Served, text: str, **fields) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]
    answer = await gateway.chat(model="mock/echo", messages=messages, **fields)
    assert answer.status_code == 200


def on_disk(home: Path) -> bytes:
    return b"".join(file.read_bytes() for file in home.rglob("*") if file.is_file())


async def test_they_are_kept_only_where_the_owner_says_so(home: Path):
    async with serving(settings_for(home)) as gateway:
        await ask(gateway, "sesame & <b>co</b>")
        told = await page(gateway)
    assert "sesame" not in told
    assert "no prompt and no answer" in told
    assert b"sesame" not in on_disk(home)


async def test_they_are_shown_by_every_process_and_lie_sealed_on_the_disk(home: Path):
    async with serving(settings_for(home, environ=SEALED)) as gateway:
        await ask(gateway, "sesame & <b>co</b>")
        await ask(gateway, "open up", stream=True)
        assert (
            await gateway.chat(model="mock/500", messages=[{"role": "user", "content": "or not"}])
        ).status_code == 502
        told = await page(gateway)
        whole = "system: Be brief.\nuser: sesame &amp; &lt;b&gt;co&lt;/b&gt;"
        assert f'<pre tabindex="0" aria-label="Asked">{whole}</pre>' in told
        assert '<pre tabindex="0" aria-label="Answered">sesame &amp; &lt;b&gt;co&lt;/b&gt;</pre>' in told
        assert '<pre tabindex="0" aria-label="Answered">open up</pre>' in told
        assert "user: or not" in told
        assert "what was asked and answered for a day" in told
    assert b"sesame" not in on_disk(home)
    async with serving(settings_for(home, environ=SEALED)) as later:
        assert "sesame" in await page(later)
    for environ in (
        {**SEALED, "CHOMP_KEEP_BODIES": "0"},
        {**SEALED, "CHOMP_MASTER_KEY": "another-one-that-opens-nothing"},
    ):
        async with serving(settings_for(home, environ=environ)) as other:
            assert "sesame" not in await page(other)


async def test_without_a_master_key_they_stay_in_memory(home: Path):
    async with serving(settings_for(home, environ=KEPT)) as gateway:
        await ask(gateway, "sesame")
        assert "user: sesame" in await page(gateway)
    assert b"sesame" not in on_disk(home)
    async with serving(settings_for(home, environ=KEPT)) as later:
        assert "mock/echo" in await page(later)
        assert "sesame" not in await page(later)


async def test_no_key_is_kept_and_long_texts_are_cut(home: Path):
    async with serving(settings_for(home, environ=KEPT)) as gateway:
        await ask(gateway, f"the key is {KEY}, is it not?")
        await ask(gateway, "beginning " + "x" * 20_000 + " end")
        told = await page(gateway)
    assert KEY not in told
    assert "is it not?" in told
    assert "user: beginning" not in told
    assert "x end</pre>" in told
    assert len(told) < 100_000


@pytest.mark.parametrize("environ", [KEPT, SEALED], ids=["memory", "disk"])
async def test_a_caller_who_is_forgotten_leaves_no_text_behind(home: Path, environ: dict[str, str]):
    async with serving(settings_for(home, environ=environ)) as gateway:
        token, _ = await gateway.chomp.issue_token({"name": "guest", "models": ["mock/*"]}, None)
        shown = {"authorization": f"Bearer {token}"}
        await ask(gateway, "of the owner")
        body = {"model": "mock/echo", "messages": [{"role": "user", "content": "sesame"}]}
        assert (await gateway.http.post("/v1/chat/completions", json=body, headers=shown)).status_code == 200
        assert "sesame" in await page(gateway)
        assert (await gateway.http.delete("/api/keys", headers=shown)).status_code == 200
        told = await page(gateway)
    assert "sesame" not in told
    assert "of the owner" in told


async def test_what_other_apis_say_is_kept_too(home: Path):
    """Untouched requests of a native route, whole and streamed; Responses; Gemini."""
    async with ScriptedRouter() as upstream:
        row = {"url": upstream.url, "dialect": "anthropic", "key": "LAB_KEY"}
        settings = settings_for(home, environ={**KEPT, "LAB_KEY": "sk-lab"})
        async with serving(replace(settings, router_rows={"claude": row})) as gateway:
            script_message(upstream, message("open now"))
            body = {"model": "claude/m", "max_tokens": 9, "messages": [{"role": "user", "content": "sesame"}]}
            for stream in (False, True):
                assert (await gateway.http.post("/v1/messages", json={**body, "stream": stream})).status_code == 200
            items = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "barley"}]}]
            answer = await gateway.http.post("/v1/responses", json={"model": "mock/echo", "input": items})
            assert answer.status_code == 200
            contents = [{"role": "user", "parts": [{"text": "oats"}]}]
            answer = await gateway.http.post("/v1beta/models/mock/echo:generateContent", json={"contents": contents})
            assert answer.status_code == 200
            told = await page(gateway)
    assert told.count('aria-label="Asked">user: sesame</pre>') == 2
    assert told.count('aria-label="Answered">open now</pre>') == 2
    for text in ("barley", "oats"):
        assert f'aria-label="Asked">user: {text}</pre>' in told
        assert f'aria-label="Answered">{text}</pre>' in told
