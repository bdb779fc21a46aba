"""Only what we wrote, and nobody changed since, is written over."""

from __future__ import annotations

from pathlib import Path

import pytest

from chomp_mcp.store.kv.protocol import KV
from chomp_mcp.store.written import KEPT_SECONDS, Written
from tests.support.clock import Clock

pytestmark = pytest.mark.anyio


async def test_a_file_is_ours_as_long_as_it_is_as_we_left_it(kv: KV, clock: Clock):
    written, path = Written(kv, clock=clock), Path("/a/\udcff.md")
    assert not await written.is_ours(path, b"x")
    assert await written.job_of(path) == ""
    await written.remember(path, b"x", "job_1")
    assert await written.is_ours(path, b"x")
    assert not await written.is_ours(path, b"y")
    assert not await written.is_ours(Path("/a/b.md"), b"x")
    assert await written.job_of(path) == "job_1"
    clock.advance(KEPT_SECONDS)
    assert not await written.is_ours(path, b"x")
