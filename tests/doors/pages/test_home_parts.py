"""What the home page shows, and that all of it is text."""

from __future__ import annotations

import re

import pytest

from tests.support.scripted import ScriptedRouter
from tests.support.serving import Served

pytestmark = pytest.mark.anyio
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
