"""/docs: every operation and shape, and nothing from elsewhere."""

from __future__ import annotations

import re

import pytest

from tests.doors.http.test_openapi import operations
from tests.support.serving import Served

pytestmark = pytest.mark.anyio


async def test_the_page_tells_every_operation_and_shape_and_loads_nothing(gateway: Served):
    answer = await gateway.http.get("/docs")
    described = (await gateway.http.get("/openapi.json")).json()
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    page = answer.text
    for path, method, operation in operations(described):
        assert f'<b class="method">{method}</b> {path}</code>' in page
        assert operation["summary"] in page.replace("&#x27;", "'")
    for link in re.findall(r'href="#([^"]+)"', page):
        assert f'id="{link}"' in page
    assert len(re.findall(r' id="([^"]+)"', page)) == len(set(re.findall(r' id="([^"]+)"', page)))
    assert not re.findall(r'(?:src|href)="(?!data:,|#|/)', page)
    assert "<script" not in page
    assert f"curl {gateway.url}/v1/chat/completions -H" in page
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    lost = (await gateway.http.get("/v1/nothing")).json()["error"]["message"]
    assert lost.endswith("all paths are at /docs.")
