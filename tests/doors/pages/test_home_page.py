"""The owner's page as a browser gets it: whole without JavaScript, live by its event stream, nothing for strangers."""

from __future__ import annotations

import base64
import re

import anyio
import pytest

from tests.support.scripted import ScriptedRouter
from tests.support.serving import Served, serving, settings_for

pytestmark = pytest.mark.anyio
TOKEN = "a-long-enough-token"
KEY = "gsk_abcdefghijklmnop4f2a"


async def test_it_shows_routers_receipts_jobs_models_and_snippets(gateway: Served, upstream: ScriptedRouter):
    upstream.models([{"id": "m", "pricing": {"prompt": "0.000001", "completion": "0.000002"}}])
    await gateway.chomp.register_keys({"groq": KEY})
    upstream.answer("hello")
    assert (await gateway.chat()).status_code == 200
    assert (await gateway.chat(model="mock/500")).status_code == 502
    await gateway.is_quiet()
    answer = await gateway.http.get("/")
    page = answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "gsk_…4f2a" in page
    assert KEY not in page
    for heading in ("Routers", "Requests", "Jobs", "Models", "Connect a client", "Spent today"):
        assert f">{heading}</h2>" in page
    assert "lab/m → lab/m · 7 in, 3 out" in page
    cells = re.findall(r"<td[^>]*>(.*?)</td>", page)
    assert "mock/500|transient|500" in "|".join(cells)
    assert "lab/m|-|1|2" in "|".join(cells)
    assert f"OPENAI_BASE_URL={gateway.url}/v1" in page


async def test_what_comes_from_outside_is_text_and_nothing_from_elsewhere_is_loaded(gateway: Served):
    await gateway.chat(model="<script>alert(1)</script>")
    answer = await gateway.http.get("/")
    assert "<script>alert(1)" not in answer.text
    assert "&lt;script&gt;alert(1)" in answer.text
    assert not re.findall(r"(?:src|href)=\"(?!data:,|#|/docs\")", answer.text)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "'unsafe-inline'" not in policy
    assert "<form" not in answer.text


async def test_what_is_new_comes_over_the_event_stream_and_no_prompt_does(gateway: Served, upstream: ScriptedRouter):
    seen = ""
    with anyio.fail_after(30):
        async with gateway.http.stream("GET", "/events") as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            asked = False
            async for text in answer.aiter_text():
                seen += text
                if not asked and seen.endswith("\n\n"):
                    asked = True
                    assert (await gateway.chat(messages=[{"role": "user", "content": "sesame"}])).status_code == 200
                if "lab/m → lab/m" in seen:
                    break
    assert seen.startswith("event: panel\ndata: ")
    assert "sesame" not in seen


async def test_no_other_page_may_read_it_not_even_one_that_may_call_the_apis(gateway: Served):
    for origin in ("http://localhost:3000", "http://127.0.0.1:1", "https://evil.example", "null"):
        for path in ("/", "/events"):
            assert (await gateway.http.get(path, headers={"origin": origin})).status_code == 403
    assert (await gateway.http.get("/v1/models", headers={"origin": "http://localhost:3000"})).status_code == 200
    assert (await gateway.http.get("/", headers={"origin": gateway.url})).status_code == 200


async def test_it_is_the_owners_alone(home):
    async with serving(settings_for(home, environ={"GATEWAY_AUTH_TOKEN": TOKEN})) as gateway:
        for path in ("/", "/events"):
            refused = await gateway.http.get(path)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"].startswith("Basic ")
        shown = {"authorization": "Basic " + base64.b64encode(f"me:{TOKEN}".encode()).decode()}
        assert (await gateway.http.get("/", headers=shown)).status_code == 200
        assert (await gateway.http.get("/", headers={"authorization": f"Bearer {TOKEN}"})).status_code == 200
        assert (await gateway.http.get("/v1/models", headers=shown)).status_code == 401
        wrong = {"authorization": "Basic " + base64.b64encode(b"me:wrong").decode()}
        assert (await gateway.http.get("/", headers=wrong)).status_code == 401
        token, _ = await gateway.chomp.keyring.create()
        assert (await gateway.http.get("/", headers={"authorization": f"Bearer {token}"})).status_code == 403
        assert (await gateway.http.post("/", headers=shown)).status_code == 405
