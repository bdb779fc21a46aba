from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import anyio
import pytest
from redis import Redis as RedisClient

from chomp_mcp.errors import InvalidSetting, StoreAway, StoreError
from chomp_mcp.store.kv.protocol import Write
from chomp_mcp.store.kv.redis import Redis
from tests.store.other_process import increased
from tests.support.clock import Clock

pytestmark = pytest.mark.anyio


@pytest.fixture
def client(redis_url: str):
    with RedisClient.from_url(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture
async def redis(redis_url: str, clock: Clock):
    store = Redis(redis_url, clock=clock)
    yield store
    await store.close()


async def test_everything_stands_under_one_prefix(redis: Redis, client):
    await redis.put("a:1", {"n": 1}, expires_in=50)
    await redis.update(["b"], lambda _: [None])

    assert sorted(client.keys()) == ["chomp:keys", "chomp:value:a:1"]
    assert 0 < client.ttl("chomp:value:a:1") <= 50
    await redis.delete("a:1")
    assert client.keys() == []


async def test_a_value_that_redis_dropped_is_swept_from_the_index(redis: Redis, client):
    for n in range(10):
        await redis.put(f"old:{n}", {}, expires_in=100)
        client.delete(f"chomp:value:old:{n}")
    assert await redis.list("old:") == []
    for n in range(490):
        await redis.put(f"new:{n % 3}", {})

    assert client.zrange("chomp:keys", 0, -1) == ["new:0", "new:1", "new:2"]


async def test_where_scripts_are_forbidden_the_error_says_what_to_allow(redis_url: str, client):
    commands = ["-eval", "-evalsha"]
    client.acl_setuser("bob", enabled=True, passwords=["+s3cret"], keys=["*"], categories=["+@all"], commands=commands)
    store = Redis(redis_url.replace("redis://", "redis://bob:s3cret@"))

    with pytest.raises(
        StoreAway, match=r"refuses: this user has no permissions to run the 'evalsha' command.*\+@scripting"
    ) as refused:
        await store.put("a", {})

    assert refused.value.is_lasting
    assert "s3cret" not in str(refused.value)
    assert await store.get("a") is None
    await store.close()
    client.acl_deluser("bob")


@asynccontextmanager
async def cutting(redis_url: str) -> AsyncIterator[str]:
    """The way to the server, over a wire that is cut once, right after the server carried out an update."""
    upstream, cuts = urlsplit(redis_url), [True]

    wires = set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wires.add(asyncio.current_task())
        answers, questions = await asyncio.open_connection(upstream.hostname, upstream.port)
        while question := await reader.read(65_536):
            questions.write(question)
            answer = await answers.read(65_536)
            if b"EVALSHA" in question and answer == b":1\r\n" and cuts:
                cuts.clear()
                break
            writer.write(answer)
        for end in (questions, writer):
            end.close()
            await end.wait_closed()

    async with await asyncio.start_server(carry, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"redis://127.0.0.1:{port}{upstream.path}"
        await asyncio.wait(wires)


async def test_an_update_whose_reply_is_lost_is_not_done_twice(redis_url: str, redis: Redis):
    async with cutting(redis_url) as url:
        store = Redis(url)
        with anyio.fail_after(5):
            for n in range(1, 4):
                await store.update(["a"], increased)
                assert await redis.get("a") == {"n": n}
        await store.close()


async def test_a_long_list_comes_in_pages_and_in_order(redis: Redis, client):
    keys = [f"a:{n:05}" for n in range(1_203)]
    for start in range(0, len(keys), 400):
        part = keys[start : start + 400]
        await redis.update(part, lambda old: [Write({}) for _ in old])
    client.delete(*(f"chomp:value:{key}" for key in keys[100:900]))
    left = keys[:100] + keys[900:]

    assert [entry.key for entry in await redis.list("a:")] == left
    assert [entry.key for entry in await redis.list("a:", limit=150)] == left[:150]
    assert [entry.key for entry in await redis.list("a:", limit=310, newest_first=True)] == left[::-1][:310]


async def test_a_server_that_is_not_there_is_an_error_that_hides_the_password():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    store = Redis(f"redis://me:p%40ssw0rd@127.0.0.1:{port}/0")

    for act in (store.get("a"), store.put("a", {}), store.delete("a"), store.list(""), store.update(["a"], list)):
        with pytest.raises(StoreError, match=rf"Redis at 127\.0\.0\.1:{port} does not answer.*CHOMP_STORE") as refused:
            await act
        assert "ssw0rd" not in str(refused.value) + repr(store)
    await store.close()


async def test_a_wrong_password_is_an_error_that_hides_it(redis_url: str):
    store = Redis(redis_url.replace("redis://", "redis://nobody:p%40ssw0rd@"))

    with pytest.raises(StoreError, match="Redis at") as refused:
        await store.get("a")

    assert "ssw0rd" not in str(refused.value)
    await store.close()


@pytest.mark.parametrize("url", ["redis://127.0.0.1:6379/?max_connections=many", "http://:s3cret@127.0.0.1/"])
async def test_a_url_that_redis_does_not_take_is_a_wrong_setting(url: str):
    with pytest.raises(InvalidSetting, match="CHOMP_STORE") as refused:
        await Redis(url).get("a")

    assert "s3cret" not in str(refused.value)


async def test_without_its_client_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)

    with pytest.raises(InvalidSetting, match=r"pip install 'chomp-mcp\[redis\]'"):
        await Redis("redis://127.0.0.1").get("a")


async def test_a_strange_value_is_named(redis: Redis, client):
    client.set("chomp:value:a", "[]")

    with pytest.raises(StoreError, match=r"'a' in Redis at.*not a JSON object"):
        await redis.get("a")
