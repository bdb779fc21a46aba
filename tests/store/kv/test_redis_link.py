"""Every kind of Redis that CHOMP_STORE can name, each a real server; and those that cannot serve."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import pytest
from redis import Redis as RedisClient
from redis import RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from chomp_mcp.errors import StoreAway
from chomp_mcp.store.kv.protocol import Write
from chomp_mcp.store.kv.redis import Redis
from tests.store.other_process import increased

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed"),
]
Started = Callable[..., int]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Started]:
    """`start(port=…, option=value)` runs a server, which answers when it returns; gives its port."""
    servers: list[subprocess.Popen[bytes]] = []

    def run(*flags: str, wait: Callable[[int], RedisClient] | None = None, **options: object) -> int:
        port = int(str(options.pop("port", 0))) or free_port()
        folder = tmp_path / str(port)
        folder.mkdir()
        chosen = {"port": port, "bind": "127.0.0.1", "dir": folder, "save": "", "loglevel": "warning", **options}
        named = [text for name, value in chosen.items() for text in (f"--{name.replace('_', '-')}", str(value))]
        servers.append(subprocess.Popen(["redis-server", *flags, *named], stdout=subprocess.DEVNULL))
        with (wait or plain)(port) as client:
            answers(client.ping)
        return port

    yield run
    for server in servers:
        server.kill()
        server.wait()


def plain(port: int) -> RedisClient:
    return RedisClient(port=port, retry=Retry(NoBackoff(), 0))


def answers(ask: Callable[[], object], wanted: object = True) -> None:
    """Once it says so."""
    until = time.monotonic() + 30
    while True:
        with suppress(RedisError):
            if ask() == wanted:
                return
        if time.monotonic() > until:
            raise RuntimeError("the server does not come")
        time.sleep(0.01)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Redis]:
    store = Redis(url)
    try:
        yield store
    finally:
        await store.close()


async def reached(store: Redis) -> None:
    """A machine with much to do may need more than its patience for a first TLS handshake."""
    while True:
        with suppress(StoreAway):
            return await store.check()
        await asyncio.sleep(0.05)


async def serves(url: str) -> None:
    """All that a store does: write, read, list, change in one step, count calls, delete."""
    async with opened(url) as store:
        with anyio.fail_after(20):
            await reached(store)
            await store.put("a:1", {"n": 1}, expires_in=60)
            await asyncio.gather(*(store.update(["n"], increased) for _ in range(5)))
            await store.update(["b", "c"], lambda _: [Write({"b": 1}), Write({"c": 1})])
            assert await store.get_many(["a:1", "n", "b", "nothing"]) == [{"n": 1}, {"n": 5}, {"b": 1}, None]
            assert [entry.key for entry in await store.list("a:")] == ["a:1"]
            assert [await store.take("me", 0.001, 2, 0) for _ in range(2)] == [0.0, 0.0]
            assert await store.take("me", 0.001, 2, 0) > 900
            assert await store.delete("a:1")
            assert not await store.delete("a:1")


def test_a_cluster_serves_from_one_of_its_shards(start: Started):
    port = start(cluster_enabled="yes")
    with RedisClient(port=port) as client:
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        answers(lambda: b"cluster_state:ok" in client.execute_command("CLUSTER", "INFO"))
    anyio.run(serves, f"redis+cluster://127.0.0.1:{port}")

    async def named_otherwise() -> None:
        async with opened(f"redis://127.0.0.1:{port}/0") as store:
            with pytest.raises(StoreAway, match=r"redis\+cluster://"):
                await store.put("a", {})

    anyio.run(named_otherwise)


def test_the_primary_that_sentinels_tell_serves_and_another_one_after_it(start: Started, tmp_path: Path):
    primary = start()
    replica = start(replicaof=f"127.0.0.1 {primary}")
    configuration = tmp_path / "sentinel.conf"
    configuration.write_text(
        f"sentinel monitor main 127.0.0.1 {primary} 1\nsentinel down-after-milliseconds main 200\n"
        "sentinel failover-timeout main 1000\n"
    )
    sentinel = start(str(configuration), "--sentinel")
    url = f"redis+sentinel://127.0.0.1:1,127.0.0.1:{sentinel}/main/0"
    anyio.run(serves, url)

    if "CHOMP_TEST_FAILOVER" not in os.environ:  # it takes up to a minute
        return

    def role_of_the_first() -> bytes:
        with RedisClient(port=primary) as first:
            return bytes(first.execute_command("ROLE")[0])

    async def fail_over() -> None:
        async with opened(url) as store:
            await store.get("before")  # so that there is a connection to the first
            with RedisClient(port=sentinel) as asked:
                # It refuses until it has seen the replica in good order.
                answers(lambda: asked.execute_command("SENTINEL", "FAILOVER", "main"), b"OK")
            answers(role_of_the_first, b"slave")
            with anyio.fail_after(30):
                while True:
                    with suppress(StoreAway):
                        await store.put("after", {"n": 2})
                        break
                    await asyncio.sleep(0.05)

    anyio.run(fail_over)
    with RedisClient(port=sentinel) as client:
        assert client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main")[1] == b"%d" % replica
    with RedisClient(port=replica) as client:
        assert client.exists("chomp:value:after"), client.execute_command("ROLE")


def test_tls_and_a_user_of_the_access_lists(start: Started, tmp_path: Path):
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    )
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run([*command.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    tls = free_port()

    def client(port: int) -> RedisClient:
        return RedisClient("127.0.0.1", tls, ssl=True, ssl_ca_certs=str(certificate), retry=Retry(NoBackoff(), 0))

    start(
        wait=client,
        tls_port=tls,
        tls_cert_file=certificate,
        tls_key_file=key,
        tls_ca_cert_file=certificate,
        tls_auth_clients="no",
    )
    with client(0) as admin:
        rights = ["+@read", "+@write", "+@scripting", "+@connection"]
        admin.acl_setuser(
            "chomp", enabled=True, passwords=["+p@ss"], keys=["*chomp*"], categories=rights, commands=["+time"]
        )
    anyio.run(serves, f"rediss://chomp:p%40ss@127.0.0.1:{tls}/0?ssl_ca_certs={certificate}")

    async def untrusted() -> None:
        async with opened(f"rediss://chomp:p%40ss@127.0.0.1:{tls}/0") as store:
            with pytest.raises(StoreAway, match=r"CERTIFICATE_VERIFY_FAILED|no answer within"):
                await store.check()

    anyio.run(untrusted)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://127.0.0.1:{}/99", "number at the end of CHOMP_STORE"),
        ("redis://:+s3cret@127.0.0.1:{}/0", "take it out of CHOMP_STORE"),
    ],
)
async def test_a_database_and_a_password_that_the_server_does_not_have_are_refused(start: Started, url: str, told: str):
    async with opened(url.format(start())) as store:
        with pytest.raises(StoreAway, match=f"refuses: .*{told}") as refused:
            await store.check()
    assert refused.value.is_lasting
    assert "s3cret" not in str(refused.value)


async def test_a_read_only_replica_is_refused_at_the_start_and_says_whom_to_name(start: Started):
    primary = start()
    async with opened(f"redis://127.0.0.1:{start(replicaof=f'127.0.0.1 {primary}')}/0") as store:
        with pytest.raises(StoreAway, match=r"refuses: .*read only replica.*name the primary") as refused:
            await store.check()
    assert refused.value.is_lasting


async def test_a_full_redis_reads_on_and_its_refusals_say_what_to_raise(start: Started):
    port = start(maxmemory="3mb", maxmemory_policy="noeviction")
    async with opened(f"redis://127.0.0.1:{port}/0") as store:
        await store.put("small", {"n": 1})
        with pytest.raises(StoreAway, match=r"refuses: .*maxmemory") as refused:
            for n in range(200):
                await store.put(f"large:{n}", {"text": "x" * 100_000})
        assert refused.value.status == 503
        assert await store.get("small") == {"n": 1}
        with RedisClient(port=port) as client:
            client.config_set("maxmemory", "100mb")
        await store.put("small", {"n": 2})


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"$22\r\nredis_version:5.0.14\r\n\r\n", "version 5.0.14 is too old.*6.2 or newer"),
        (b"-ERR unknown command 'EVALSHA', with args beginning with:\r\n", "unknown command.*scripts allowed"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not answer"),
    ],
    ids=["too old", "without scripts", "no Redis at all"],
)
async def test_what_is_no_redis_for_us_is_told_at_the_start(answer: bytes, says: str):
    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                for command in re.split(rb"(?=\*\d+\r\n\$)", data)[1:]:  # several may come at once
                    is_script = b"EVALSHA" in command
                    writer.write(b":1\r\n" if is_script and answer.startswith(b"$") else answer)
        writer.transport.abort()

    async with (
        await asyncio.start_server(carry, "127.0.0.1", 0) as server,
        opened(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0") as store,
    ):
        with pytest.raises(StoreAway, match=says), anyio.fail_after(5):
            await store.check()
