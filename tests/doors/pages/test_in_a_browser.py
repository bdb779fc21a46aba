"""The pages in Chromium: what axe-core says of them in both themes, at a desk and on a phone, by keyboard and live.

CHOMP_TEST_SCREENS names a folder for pictures of what is looked at; `nox -s screens` makes those in docs/.
"""

from __future__ import annotations

import base64
import itertools
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import axe_playwright_python
import pytest
from mcp import Client
from mcp.client.extension import advertise
from mcp.server.apps import APP_MIME_TYPE, EXTENSION_ID
from playwright.async_api import Browser, Frame, Page, ViewportSize, async_playwright, expect

from chomp_mcp.doors.mcp.server import build_server
from chomp_mcp.messages import OWNER
from tests.support.scripted import ScriptedRouter
from tests.support.serving import Served, serving, settings_for

pytestmark = pytest.mark.anyio
AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
COLOURS = ["color-contrast", "link-in-text-block"]
"""The rules that see a difference between the themes: a page that was judged whole in one is judged by these."""
PHONE: ViewportSize = {"width": 375, "height": 740}
DESK: ViewportSize = {"width": 1200, "height": 860}
KEY = "gsk_abcdefghijklmnop4f2a"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One event loop for this file, so that its tests share the browser and the gateway."""
    return "asyncio"


@pytest.fixture(scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = next(filter(None, map(shutil.which, names)), None)
    assert found, "The pages are looked at in Chromium: install it (Debian: apt-get install chromium)."
    async with async_playwright() as playwright:
        yield await playwright.chromium.launch(executable_path=found, chromium_sandbox=False)


@pytest.fixture(scope="module")
async def busy(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    """A gateway where something has happened."""
    async with ScriptedRouter() as lab, ScriptedRouter() as spare:
        lab.models(
            [{"id": "m", "context_length": 32768, "pricing": {"prompt": "0.0000002", "completion": "0.0000008"}}]
        )
        environ = {"CHOMP_KEEP_BODIES": "1", "LLM_DAILY_BUDGET_USD": "2"}
        settings = settings_for(tmp_path_factory.mktemp("busy"), environ=environ, lab=lab.url, spare=spare.url)
        async with serving(settings) as gateway:
            await gateway.chomp.register_keys({"groq": KEY, "openrouter": "sk-or-v1-0123456789abcdef"})
            lab.answer("It is a small copper-coloured fish.")
            hello = [{"role": "user", "content": "What is a copper shark's smallest cousin? " * 3}]
            assert (await gateway.chat(model="lab/m", messages=hello)).status_code == 200
            assert (await gateway.chat(model="mock/429?retry_after=20")).status_code == 429
            assert (await gateway.chat(model="mock/echo", stream=True)).status_code == 200
            job = await gateway.chomp.dispatch("Take your time.", model="mock/echo")
            await gateway.chomp.result(job.id, wait_seconds=10)
            await gateway.is_quiet()
            yield gateway


@asynccontextmanager
async def opened(browser: Browser, url: str, **options: Any) -> AsyncIterator[Page]:
    """The page in a fresh profile; what it logs is a failure."""
    context = await browser.new_context(color_scheme="light", viewport=DESK, **options)
    page = await context.new_page()
    logged: list[str] = []
    page.on("console", lambda message: logged.append(message.text))
    page.on("pageerror", lambda error: logged.append(str(error)))
    await page.goto(url)
    yield page
    await context.close()
    assert [line for line in logged if "the server responded with a status of 4" not in line] == []


async def judge(page: Page, *ids: str) -> None:
    """No violation of WCAG 2.2 AA with these details open (else all), in both themes; on a phone nothing is cut."""
    opening = "(ids) => document.querySelectorAll('details').forEach(\
        (each) => { each.open = !ids.length || ids.includes(each.id); })"
    await page.evaluate(opening, list(ids))
    assert await violations(page) == []
    await page.emulate_media(color_scheme="dark")
    assert await violations(page, {"type": "rule", "values": COLOURS}) == []
    await page.emulate_media(color_scheme="light")
    await page.set_viewport_size(PHONE)
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), page.url
    await page.set_viewport_size(DESK)
    await page.evaluate(opening, ["none"])


async def violations(page: Page | Frame, judged_by: Any = TAGS) -> list[str]:
    await page.evaluate(f"window.axe || (() => {{ {AXE} }})()")
    found = await page.evaluate("(by) => axe.run(document, {runOnly: by, resultTypes: ['violations']})", judged_by)
    assert len(found["passes"]) > (8 if judged_by == TAGS else 0)
    return [f"{each['id']}: {node['html'][:200]}" for each in found["violations"] for node in each["nodes"]]


async def keep(page: Page, name: str, *themes: Any, height: int = 1300) -> None:
    """Pictures for docs, where somebody wants them; CHOMP_TEST_PNG gives those that every viewer takes, too."""
    folder = os.environ.get("CHOMP_TEST_SCREENS")
    sizes = (("desk", 1100), ("phone", 390))
    for theme, (size, width) in itertools.product(themes or ("dark", "light"), sizes) if folder else ():
        await page.emulate_media(color_scheme=theme)
        await page.set_viewport_size({"width": width, "height": height})
        await page.evaluate("scrollTo(0, 0)")
        session = await page.context.new_cdp_session(page)
        shot = await session.send("Page.captureScreenshot", {"format": "webp", "quality": 60})
        await anyio.Path(folder, f"{name}-{theme}-{size}.webp").write_bytes(base64.b64decode(shot["data"]))
        if "CHOMP_TEST_PNG" in os.environ:
            await page.screenshot(path=f"{folder}/{name}-{theme}-{size}.png")
    await page.set_viewport_size(DESK)


async def test_every_page_can_be_read_by_everybody(busy: Served, browser: Browser):
    nonce = await busy.chomp.pages.open(OWNER, "")
    async with opened(browser, f"{busy.url}/") as page:
        await expect(page.locator("#live")).to_have_text("live")
        await judge(page)
        await page.locator("summary", has_text="lab/m →").click()
        await keep(page, "home")
        await page.goto(f"{busy.url}/docs")
        await judge(page, "createChatCompletion", "getResult", "protectedResource")
        await page.locator("#createChatCompletion summary").click()
        await keep(page, "docs")
        await page.goto(f"{busy.url}/keys/{nonce}")
        await judge(page)
        await keep(page, "keys", height=680)
        await page.get_by_label("Key").fill("no such key")
        await page.get_by_role("button", name="Save the key").click()
        await expect(page.get_by_role("alert")).to_contain_text("That is no key")
        await judge(page)
        await page.goto(f"{busy.url}/keys/used-up")
        await judge(page)


async def test_a_keyboard_is_enough(busy: Served, browser: Browser):
    nonce = await busy.chomp.pages.open(OWNER, "")
    async with opened(browser, f"{busy.url}/") as page:
        await page.keyboard.press("Tab")
        await expect(page.get_by_text("Skip to the content")).to_be_focused()
        await expect(page.get_by_text("Skip to the content")).to_be_in_viewport()
        request = page.locator("summary", has_text="lab/m →")
        for _ in range(20):
            await page.keyboard.press("Tab")
            if await request.evaluate("(each) => each === document.activeElement"):
                break
        await expect(request).to_be_focused()
        assert await request.evaluate("(each) => getComputedStyle(each).outlineStyle") == "solid"
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("It is a small copper-coloured fish.")).to_be_visible()
        await page.goto(f"{busy.url}/keys/{nonce}")
        await expect(page.get_by_label("Key")).to_be_focused()
        await page.keyboard.type("csk-0123456789abcdef0123456789abcdef")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading")).to_contain_text("Cerebras")
    assert "cerebras" in await busy.chomp.keyring.previews(OWNER)


async def test_what_is_new_appears_and_what_was_opened_stays_open(busy: Served, browser: Browser):
    async with opened(browser, f"{busy.url}/") as page:
        await page.locator("summary", has_text="lab/m →").click()
        await page.locator("summary", has_text="lab/m →").focus()
        assert (await busy.chat(model="mock/lorem?tokens=3")).status_code == 200
        await expect(page.locator("summary", has_text="mock/lorem")).to_be_visible(timeout=20_000)
        await expect(page.get_by_text("It is a small copper-coloured fish.")).to_be_visible()
        await expect(page.locator("summary", has_text="lab/m →")).to_be_focused()


async def test_without_javascript_everything_can_be_read(busy: Served, browser: Browser):
    async with opened(browser, f"{busy.url}/", java_script_enabled=False) as page:
        await expect(page.get_by_text("gsk_…4f2a")).to_be_visible()
        await page.locator("summary", has_text="lab/m →").click()
        await expect(page.get_by_text("It is a small copper-coloured fish.")).to_be_visible()
        await page.get_by_role("link", name="HTTP APIs").click()
        await page.locator("#createMessage summary").click()
        await expect(page.locator("#createMessage pre")).to_contain_text(f"curl {busy.url}/v1/messages")


async def test_the_panel_is_an_app_for_hosts_that_show_those(busy: Served, browser: Browser):
    shows_apps = advertise(EXTENSION_ID, {"mimeTypes": [APP_MIME_TYPE]})
    async with Client(build_server(busy.chomp), extensions=[shows_apps]) as client:
        (html,) = (await client.read_resource("ui://chomp/panel")).contents
        first = (await client.call_tool("status", {})).model_dump(by_alias=True, mode="json", exclude_none=True)

        async def call(request: dict[str, Any]) -> Any:
            assert request == {"name": "status", "arguments": {}}
            return (await client.call_tool(**request)).model_dump(by_alias=True, mode="json", exclude_none=True)

        for theme in ("dark", "light"):
            async with opened(browser, "about:blank") as page:
                await page.expose_function("callTool", call)
                await page.set_content(HOST)
                await page.evaluate("([html, result, theme]) => host(html, result, theme)", [html.text, first, theme])
                frame = page.frame_locator("iframe")
                await expect(frame.get_by_text("gsk_…4f2a")).to_be_visible()
                await expect(frame.locator("summary", has_text="lab/m →")).to_be_visible()
                await keep(page, "app", theme)
                assert await violations(page.frames[1]) == []
                assert (await busy.chat(model="mock/lorem?tokens=2")).status_code == 200
                await frame.get_by_role("button", name="Refresh").click()
                await expect(frame.locator("summary", has_text="mock/lorem").first).to_be_visible()
                heard = await page.evaluate("heard")
                with anyio.fail_after(10):
                    while "ui/notifications/size-changed" not in heard:
                        heard = await page.evaluate("heard")
                assert heard[:2] == ["ui/initialize", "ui/notifications/initialized"]
                assert "tools/call" in heard


HOST = """<!doctype html><title>a host</title>
<style>body { margin: 0 } iframe { border: 0; width: 100%; height: 95vh }</style>
<script>
const heard = [];
function host(html, result, theme) {
  const view = document.createElement("iframe");
  view.sandbox = "allow-scripts";
  view.srcdoc = `<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline';
    style-src 'unsafe-inline'; img-src data:; connect-src 'none'">` + html;
  const send = (message) => view.contentWindow.postMessage({ jsonrpc: "2.0", ...message }, "*");
  addEventListener("message", async ({ source, data }) => {
    if (source !== view.contentWindow) return;
    heard.push(data.method);
    if (data.method === "ui/initialize") send({ id: data.id, result: { protocolVersion: data.params.protocolVersion,
      hostInfo: { name: "host", version: "1" }, hostCapabilities: { serverTools: {} }, hostContext: { theme } } });
    if (data.method === "ui/notifications/initialized")
      send({ method: "ui/notifications/tool-result", params: result });
    if (data.method === "tools/call") send({ id: data.id, result: await callTool(data.params) });
  });
  document.body.append(view);
}
</script>"""
