"""What names a Redis, and what does not."""

from __future__ import annotations

import pytest

from chomp_mcp.errors import InvalidSetting
from chomp_mcp.store.kv.redis import Redis

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "url",
    [
        "http://h",
        "redis://",
        "redis://h:0/0",
        "redis://h:x",
        "redis://a,b/0",
        "redis://h/zero",
        "redis+sentinel://h:26379",
        "redis+cluster://h/3",
        "redis+magic://h",
        "redis://h /0",
    ],
)
async def test_a_url_that_names_no_store_is_a_wrong_setting(url: str):
    with pytest.raises(InvalidSetting, match=r"redis\+sentinel://"):
        Redis(url)
