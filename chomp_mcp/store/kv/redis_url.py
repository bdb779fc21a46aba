"""What a CHOMP_STORE URL names: one Redis, the primary that Sentinels tell, or a Redis Cluster; and a client for it.

redis://[user:password@]host:port/db                             one server; rediss://: over TLS, with
unix://[user:password@]/path                                     ?ssl_ca_certs=… and the like as redis-py has them
redis+sentinel://[user:password@]host:port,host:port/service/db  the primary that these Sentinels tell
redis+cluster://[user:password@]host:port                        a Redis Cluster; we live on one of its shards
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

from chomp_mcp.errors import InvalidSetting
from chomp_mcp.setting_fields import checked_store

LANES = 16
"""Connections of one process, each of which carries what was asked for at one moment."""
CONNECT_SECONDS = 5.0
REPLY_SECONDS = 5.0
"""After these a connection is given up; whoever asked has been told long before."""
SENTINEL_PORT = 26379


def is_cluster(url: str) -> bool:
    """Keys that belong together must lie on one shard there."""
    return urlsplit(url).scheme.endswith("+cluster")


def place_of(url: str) -> str:
    """What errors call it: host and port, never user or password."""
    parts = urlsplit(url)
    return f"Redis at {', '.join(_hosts(parts)) or parts.path}"


def without_secrets(text: str, url: str) -> str:
    """The text with the URL's password taken out, as it stands there and as it is meant."""
    password = urlsplit(url).netloc.rpartition("@")[0].partition(":")[2]
    for secret in (password, unquote(password)):
        text = text.replace(secret, "…") if secret else text
    return text


def opened(url: str) -> Any:
    """A client that has connected to nothing yet; `InvalidSetting`: redis-py is missing, or does not take the URL."""
    try:
        import redis.asyncio  # noqa: F401 - a look whether it is there
        from redis.exceptions import RedisError
    except ImportError:
        why = "CHOMP_STORE names a Redis, and its client is not installed."
        raise InvalidSetting(why, hint="Run: pip install 'chomp-mcp[redis]'") from None
    try:
        parts = urlsplit(checked_store(url))
        open_one = next((each for end, each in _OPENERS.items() if parts.scheme.endswith(end)), _single)
        return open_one(url, parts)
    except (ValueError, TypeError, RedisError):
        raise InvalidSetting(
            "CHOMP_STORE is not a Redis URL.",
            hint="Write redis://host:6379/0, rediss://…, unix://…, redis+sentinel://host:26379/service or"
            " redis+cluster://host:6379",
        ) from None


def _options() -> dict[str, Any]:
    """One more try for a connection that was closed while it was idle; a timeout is told at once."""
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import ConnectionError as Lost

    return {
        "socket_timeout": REPLY_SECONDS,
        "socket_connect_timeout": CONNECT_SECONDS,
        "retry": Retry(NoBackoff(), 1, (Lost,)),
        "protocol": 2,  # no handshake: each of its questions would cost a way to and fro
    }


def _single(url: str, _parts: SplitResult) -> Any:
    from redis.asyncio import BlockingConnectionPool, Redis

    return Redis.from_pool(BlockingConnectionPool.from_url(url, max_connections=LANES, timeout=None, **_options()))


def _by_sentinels(_url: str, parts: SplitResult) -> Any:
    """The password is the servers'; one of the Sentinels themselves is `?sentinel_password=`."""
    from redis.asyncio.connection import parse_url
    from redis.asyncio.sentinel import Sentinel

    base = parts.scheme.partition("+")[0]
    _, service, *db = parts.path.split("/")
    hosts = [urlsplit(f"//{each}") for each in _hosts(parts)]
    query = dict(parse_qsl(parts.query))
    own_password = query.pop("sentinel_password", None)
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    options: dict[str, Any] = {**parse_url(f"{base}://sentinel?{urlencode(query)}"), **_options()}
    for name in ("host", "port", "connection_class"):
        options.pop(name, None)
    options["ssl"] = base == "rediss"
    places = [(host.hostname, host.port or SENTINEL_PORT) for host in hosts]
    own = {**options, "password": own_password}
    sentinels = Sentinel(places, sentinel_kwargs=own)  # type: ignore[no-untyped-call]
    options |= {"username": unquote(user) or None, "password": unquote(password) or None, "max_connections": LANES}
    return sentinels.master_for(service, db=int(db[0]) if db and db[0] else 0, **options)


def _cluster(url: str, _parts: SplitResult) -> Any:
    from redis.asyncio import RedisCluster

    plain = url.replace("+cluster", "", 1)
    options = {name: value for name, value in _options().items() if name != "retry"}
    return RedisCluster.from_url(plain, max_connections=LANES, **options)


_OPENERS: Mapping[str, Callable[[str, SplitResult], Any]] = {"+sentinel": _by_sentinels, "+cluster": _cluster}


def _hosts(parts: SplitResult) -> list[str]:
    """`host:port`, as they stand there."""
    return [each for each in parts.netloc.rpartition("@")[2].split(",") if each]
