"""What we send to a router comes back to nobody."""

from __future__ import annotations

import html
from pathlib import Path
from urllib.parse import quote

import pytest

from chomp_mcp import Chomp, Settings
from chomp_mcp.errors import ChompError
from tests.support.scripted import ScriptedRouter

pytestmark = pytest.mark.anyio

KEY, HEADER = "plain/secret+key=1", "Tok&en<of>the-row"

WIDE = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}


def settings(home: Path, lab: ScriptedRouter) -> Settings:
    home.mkdir(exist_ok=True)
    row = f'[routers.lab]\nurl = "{lab.url}"\nkey = "LAB_API_KEY"\nheaders = {{ X-Auth = "{HEADER}" }}\n'
    (home / "config.toml").write_text(row)
    return Settings.load({"CHOMP_HOME": str(home), "LAB_API_KEY": KEY})


@pytest.mark.parametrize(
    "spell",
    [str, lambda text: quote(text, safe=""), str.upper, html.escape, lambda text: text.translate(WIDE)],
    ids=["as sent", "URL", "upper case", "HTML", "full-width"],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_router_that_echoes_what_we_sent_is_not_quoted(home: Path, spell, *, stream: bool) -> None:
    async with ScriptedRouter() as lab, Chomp(settings(home, lab)) as chomp:
        echoed = [spell(KEY), spell(HEADER)]
        lab.fail(400, {"error": {"message": f"bad: {echoed[0]} with {echoed[1]}", "headers": {"x-auth": echoed[1]}}})
        with pytest.raises(ChompError) as caught:
            if stream:
                async for _ in chomp.chat([{"role": "user", "content": "hi"}], stream=True, model="lab/m"):
                    pass
            else:
                await chomp.ask("hi", model="lab/m")
        assert caught.value.receipt
        told = repr([str(caught.value), caught.value.envelope(), caught.value.receipt])
        assert "bad: …" in told
        assert [secret for secret in (*echoed, KEY, HEADER) if secret.lower() in told.lower()] == []


@pytest.mark.parametrize("path", ["/models"])
async def test_a_list_that_fails_with_an_echo_is_not_quoted(home: Path, path: str) -> None:
    async with ScriptedRouter() as lab, Chomp(settings(home, lab)) as chomp:
        lab.on(path=path).fail(401, {"error": {"message": f"who is {quote(KEY, safe='')}, with {HEADER}?"}})
        page = await chomp.list_models("lab")
    assert page.errors["lab"].startswith("who is …, with …")
