"""The owner's page as a browser gets it: whole without JavaScript, live by its event stream, nothing for strangers."""

from __future__ import annotations

import base64

import anyio
import pytest

from tests.support.scripted import ScriptedRouter
from tests.support.serving import Served, serving, settings_for

pytestmark = pytest.mark.anyio
TOKEN = "a-long-enough-token"


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
