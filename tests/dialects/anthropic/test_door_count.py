"""How many tokens a Messages body may have."""

from __future__ import annotations

from chomp_mcp.dialects.anthropic.door_count import estimate
from tests.dialects.anthropic.door import HELLO


def test_an_estimate_counts_what_is_said_and_media_flat():
    base = estimate({"messages": HELLO})
    assert estimate({"messages": HELLO, "system": "x" * 400}) == base + 100
    assert estimate({"messages": HELLO, "tools": [{"name": "x" * 400}]}) > base + 100
    large = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "Q" * 1_000_000}}
    assert estimate({"messages": [{"role": "user", "content": [large]}]}) < 2_000
    assert estimate({"messages": [{"role": "user", "content": "日" * 400}]}) >= 300
