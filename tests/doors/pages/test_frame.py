"""The headers of a page: nothing foreign, nothing kept."""

from __future__ import annotations

import re

import httpx2
import pytest

from chomp_mcp.doors.pages.key_page import KeyPages
from chomp_mcp.messages import OWNER

pytestmark = pytest.mark.anyio


def origin(url: str) -> dict[str, str]:
    return {"origin": url.rpartition("/keys/")[0]}


async def test_no_cache_no_script_no_foreign_resource_and_no_referrer(
    pages: KeyPages, browser: httpx2.AsyncClient
) -> None:
    answer = await browser.get(await pages.open(OWNER))
    policy = answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "form-action 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "<script" not in answer.text
    assert not re.search(r'(?:src|<link[^>]*href)="', answer.text)
