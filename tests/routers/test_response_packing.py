"""Packed bodies: what is unpacked, in how many pieces, and how little they may stand for."""

from __future__ import annotations

import gzip
import random
import sys
import zlib

import anyio
import brotli
import pytest

from chomp_mcp.messages import FailureKind, WireRequest
from chomp_mcp.routers import response as response_module
from chomp_mcp.routers.client import Unreachable
from tests.dialects.asking import ask, failure

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_proxies")]


def raw_deflate(data: bytes) -> bytes:
    """Without zlib's frame, as some servers understand the word."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def members(data: bytes) -> bytes:
    """Gzip's members one after the other are one body (RFC 1952, 2.2)."""
    return b"".join(gzip.compress(data[at : at + 1000]) for at in range(0, len(data), 1000))


PACKINGS = {
    "gzip": ("gzip", gzip.compress),
    "gzip in several members": ("gzip", members),
    "deflate": ("deflate", zlib.compress),
    "deflate without a frame": ("deflate", raw_deflate),
    "br": ("br", brotli.compress),
    "zstd": ("zstd", zstd.compress),
    "zstd in two frames": ("zstd", lambda data: zstd.compress(data[:9]) + zstd.compress(data[9:])),
}


def post(url: str) -> WireRequest:
    return WireRequest("POST", url, {}, b"{}")


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("piece", [1, 10_000])
async def test_packed_bodies_are_unpacked(client, upstream, packing, piece):
    name, pack = PACKINGS[packing]
    body = random.Random(1).randbytes(200) + 3000 * b"x"
    packed = pack(body)
    head = f"HTTP/1.1 200 OK\r\ncontent-encoding: {name}\r\ncontent-length: {len(packed)}\r\n\r\n".encode()
    upstream.raw([head, *(packed[at : at + piece] for at in range(0, len(packed), piece))], close=False)
    assert await ask(client, post(upstream.url)) == body


@pytest.mark.parametrize("packing", PACKINGS)
async def test_a_large_packed_body_comes_in_pieces(client, upstream, packing):
    name, pack = PACKINGS[packing]
    upstream.reply(200, pack(3_000_000 * b"x"), {"content-encoding": name})
    response = await client.send(post(upstream.url))
    sizes = [len(chunk) async for chunk in response.iter_bytes()]
    response.close()
    assert (sum(sizes), max(sizes) <= 512 * 1024) == (3_000_000, True)


@pytest.mark.parametrize("name", ["gzip", "deflate", "br", "zstd"])
async def test_a_body_that_is_packed_wrongly_is_transient(client, upstream, name):
    upstream.reply(200, b"\xffhello", {"content-encoding": name})
    error = await failure(client, post(upstream.url))
    assert (error.kind, error.message) == (
        FailureKind.TRANSIENT,
        f"127.0.0.1:{upstream.port} sent something that cannot be unpacked.",
    )


@pytest.mark.parametrize("packing", ["gzip", "br", "zstd"])
async def test_a_small_body_that_unpacks_to_too_much_is_refused(client, upstream, monkeypatch, packing):
    monkeypatch.setattr(response_module, "MAX_BODY_BYTES", 10_000_000)
    name, pack = PACKINGS[packing]
    upstream.reply(200, pack(12_000_000 * b"x"), {"content-encoding": name})
    response = await client.send(post(upstream.url))
    with pytest.raises(Unreachable, match=r"sent more than 9\.54 MiB"):
        async for _ in response.iter_bytes():
            pass
    response.close()


async def test_others_have_their_turn_while_much_is_unpacked(client, upstream):
    upstream.reply(200, gzip.compress(2_000_000 * b": still here\n"), {"content-encoding": "gzip"})
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await anyio.lowlevel.checkpoint()

    response = await client.send(post(upstream.url))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(others)
        assert sum([len(chunk) async for chunk in response.iter_bytes()]) == 26_000_000
        tasks.cancel_scope.cancel()
    response.close()
    assert turns > 100


async def test_streams_are_asked_for_unpacked_and_lists_packed(client, upstream):
    await ask(client, post(f"{upstream.url}/chat/completions"))
    await ask(client, WireRequest("GET", f"{upstream.url}/models", {}))
    assert [seen.headers["accept-encoding"] for seen in upstream.requests] == ["identity", "gzip"]
