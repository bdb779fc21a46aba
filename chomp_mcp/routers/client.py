"""Requests to routers: send one, hand back status, headers and bytes as they come.

Whatever goes wrong on the way is an `Unreachable` that names the host and never a header or a key. The `mock://` URLs
of the built-in router are played here without a socket, so that they pass through everything else as any router does.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlsplit

import anyio

from chomp_mcp import wire
from chomp_mcp.messages import FailureKind, WireRequest
from chomp_mcp.routers.connection import Connection, Incoming, Stale, Unreachable
from chomp_mcp.routers.pool import PORTS, Place, Pool, basic_credentials

if TYPE_CHECKING:
    from chomp_mcp.dialects.mock import Script

__all__ = ["MAX_BODY_BYTES", "Client", "Response", "Unreachable"]

MAX_BODY_BYTES = 64 * 1024 * 1024
"""What one answer may send, streamed or whole; the longest outputs of today's models stay under 2 MB."""
UNPACKED_BYTES = 256 * 1024
"""Of a packed body, how much is unpacked at a time."""
PROBE_SECONDS = 0.3
PROBE_KEPT_SECONDS = 2.0
"""Whoever starts a program on this machine sees it within so much; many that ask at once look once."""
MOCK_SCHEME = "mock://"
FIRST_OTHER_STATUS = 300
"""Redirects are not followed, so that they are failures like 4xx and 5xx."""


class Response:
    """A router's answer: `status`, `headers` (names in lower case), and its bytes, once. Close it whatever happens."""

    __slots__ = ("_arrived", "_chunks", "_close", "_host", "_patience", "headers", "status")

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str],
        chunks: AsyncIterator[bytes],
        *,
        arrived: Callable[[], bytes | None] | None = None,
        close: Callable[[], None] | None = None,
        host: str = "",
        patience: float | None = None,
    ) -> None:
        self.status = status
        self.headers = headers
        self._chunks = chunks
        self._arrived = arrived
        """The whole body, where it came together with the headers, as short ones do."""
        self._close = close
        self._host = host
        self._patience = patience

    @property
    def is_success(self) -> bool:
        return self.status < FIRST_OTHER_STATUS

    def iter_bytes(self) -> AsyncIterator[bytes]:
        """The body as it comes in, unpacked. `Unreachable` when it breaks off, stalls or never ends."""
        return self._chunks

    async def read(self, limit: int = MAX_BODY_BYTES) -> bytes:
        """The whole body. Of a failure the first `limit` bytes; an answer above it is `Unreachable`."""
        body = self._arrived() if self._arrived else None
        if body is None:
            body = await self._gathered(limit)
        if len(body) <= limit:
            return body
        if self.is_success:
            raise _too_much(self._host, limit)
        return body[:limit]

    async def _gathered(self, limit: int) -> bytes:
        """All of it, or a little more than `limit`."""
        parts: list[bytes] = []
        left = limit
        try:
            async with asyncio.timeout(self._patience):
                async for chunk in self._chunks:
                    parts.append(chunk)
                    left -= len(chunk)
                    if left < 0:
                        break
        except TimeoutError:
            raise _too_slow(self._host, self._patience) from None
        return b"".join(parts)

    def close(self) -> None:
        """Give the connection back, or end it where the answer is not over: that is how a router learns to stop."""
        close, self._close = self._close, None
        if close:
            close()


class Client:
    """One pool of connections for all routers. TLS is verified, redirects are not followed, cookies are not kept.

    `upstream_timeout` (seconds) limits the way to the headers as a whole, then each wait for more bytes, and a body
    that is read at once as a whole. Proxies come from the environment, except for this machine itself.
    """

    def __init__(self, *, upstream_timeout: float) -> None:
        self._patience = upstream_timeout
        self._pool = Pool()
        self._places: dict[tuple[str, str, int], Place] = {}
        self._probed: dict[str, tuple[float, bool]] = {}

    async def send(self, request: WireRequest) -> Response:
        """Send, and wait for the headers. `Unreachable` when they do not come."""
        if request.url.startswith(MOCK_SCHEME):
            return _play(request)
        target = _parsed(request.url)
        place = self._place(target)
        head = _head(request, target, place.proxy if place.scheme == "http" else None)
        connection, incoming = await self._answered(place, head + request.body, is_safe=request.method == "GET")
        chunks = incoming.chunks(patience=self._patience, limit=MAX_BODY_BYTES)
        is_packed = incoming.headers.get("content-encoding", "").lower() in _PACKINGS
        return Response(
            incoming.status,
            incoming.headers,
            _unpacked(chunks, connection.host) if is_packed else chunks,
            arrived=None if is_packed else incoming.arrived,
            close=partial(self._pool.give_back, place, connection),
            host=connection.host,
            patience=self._patience,
        )

    async def _answered(self, place: Place, sent: bytes, *, is_safe: bool) -> tuple[Connection, Incoming]:
        """The answer from its head on. A safe request that met the end of an old connection is sent again."""
        pool, patience = self._pool, self._patience
        until = asyncio.get_running_loop().time() + patience
        while True:
            used = pool.take(place)
            connection = used or await pool.open(place, patience=patience, until=until)
            try:
                return connection, await connection.start(sent, patience=patience, until=until)
            except BaseException as error:
                pool.give_back(place, connection)
                if not (used and is_safe and isinstance(error, Stale)):
                    raise

    async def reachable(self, url: str) -> bool:
        """Whether anything listens there, or did two seconds ago."""
        if url.startswith(MOCK_SCHEME):
            return True
        now = asyncio.get_running_loop().time()
        until, is_there = self._probed.get(url, (0.0, False))
        if now >= until:
            is_there = await _listens(url)
            self._probed[url] = now + PROBE_KEPT_SECONDS, is_there
        return is_there

    async def close(self) -> None:
        """End all connections; a later `send` opens new ones."""
        await self._pool.close()

    def _place(self, target: _Target) -> Place:
        origin = target.scheme, target.host, target.port
        place = self._places.get(origin)
        if place is None:
            place = self._places[origin] = Place(*origin, _proxy(target.scheme, target.host))
        return place


async def _listens(url: str) -> bool:
    """Asked with a TCP connection and the patience of a glance."""
    parts = urlsplit(url)
    with anyio.move_on_after(PROBE_SECONDS):
        try:
            stream = await anyio.connect_tcp(parts.hostname or "", parts.port or PORTS.get(parts.scheme, 80))
        except OSError:
            return False
        await stream.aclose()
        return True
    return False


class _Target(NamedTuple):
    """A URL, taken apart; `authority` is for the host header, `credentials` for an authorization that it brings."""

    scheme: str
    host: str
    port: int
    authority: str
    path: str
    credentials: str

    @property
    def origin(self) -> str:
        return f"{self.scheme}://{self.authority}"


@lru_cache(maxsize=1024)
def _parsed(url: str) -> _Target:
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna").decode()
        place = Place(parts.scheme, host, parts.port or PORTS[parts.scheme])
    except (ValueError, KeyError):
        host = ""
    if not host:
        told = f"The URL of {_host(url)} is not an http or https URL: correct it."
        raise Unreachable(FailureKind.TRANSIENT, told)
    query = f"?{parts.query}" if parts.query else ""
    path = quote((parts.path or "/") + query, safe=_UNQUOTED)
    return _Target(*place[:3], place.name, path, basic_credentials(parts))


_UNQUOTED = "%/?:@!$&'()*+,;=-._~"
"""What may stand in a path and a query (RFC 3986, 3.3 and 3.4), and the sign of what is quoted already."""


def _head(request: WireRequest, target: _Target, proxy: str | None) -> bytes:
    """The request up to its body; a proxy wants the whole URL, and to know who asks.

    Lists are large and worth packing; a packed stream may wait in somebody's buffer.
    """
    headers = {
        "host": target.authority,
        "user-agent": _user_agent(),
        "accept": "*/*",
        "accept-encoding": "identity" if request.body else "gzip",
    }
    if target.credentials:
        headers["authorization"] = target.credentials
    if proxy and (credentials := basic_credentials(urlsplit(proxy))):
        headers["proxy-authorization"] = credentials
    for name, value in request.headers.items():
        headers[name.lower()] = value
    lines = [f"{request.method} {target.origin if proxy else ''}{target.path} HTTP/1.1"]
    for name, value in headers.items():
        if not (value.isascii() and value.isprintable() and _may_be_set(name)):
            raise _wrong_header(name)
        lines.append(f"{name}: {value}")
    lines.append(f"content-length: {len(request.body)}\r\n\r\n" if request.method != "GET" else "\r\n")
    return "\r\n".join(lines).encode()


@cache
def _user_agent() -> str:
    from importlib.metadata import version

    return f"chomp-mcp/{version('chomp-mcp')}"


@lru_cache(maxsize=1024)
def _may_be_set(name: str) -> bool:
    """A token (RFC 9110, 5.6.2), and none of those that say where a request ends."""
    return _TOKEN.fullmatch(name) is not None and name not in _FRAMING


_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
_FRAMING = frozenset({"connection", "content-length", "transfer-encoding"})
_KEY_HEADERS = frozenset({"authorization", "x-api-key"})
"""Where dialects put keys; what is wrong with any other header is not the key's fault."""


def _wrong_header(name: str) -> Unreachable:
    if name in _KEY_HEADERS:
        return Unreachable(FailureKind.BAD_KEY, "The key has characters that no header can carry: replace it.")
    told = f"The header {name} cannot be sent like that: correct it in the router's row."
    return Unreachable(FailureKind.TRANSIENT, told)


async def _unpacked(chunks: AsyncIterator[bytes], host: str) -> AsyncIterator[bytes]:
    """gzip, and deflate as it should be (with zlib's frame), found out by the first bytes."""
    unpacker = zlib.decompressobj(_EITHER_FRAME)
    left = MAX_BODY_BYTES
    try:
        async for chunk in chunks:
            packed = chunk
            while packed and not unpacker.eof:
                data = unpacker.decompress(packed, UNPACKED_BYTES)
                packed = unpacker.unconsumed_tail
                left -= len(data)
                if left < 0:
                    raise _too_much(host, MAX_BODY_BYTES)
                if data:
                    yield data
    except zlib.error:
        raise Unreachable(FailureKind.TRANSIENT, f"{host} sent something that cannot be unpacked.") from None
    if not unpacker.eof:
        raise Unreachable(FailureKind.TRANSIENT, f"{host} broke the connection off.")


_PACKINGS = frozenset({"gzip", "x-gzip", "deflate"})
_EITHER_FRAME = 32 + zlib.MAX_WBITS


def _proxy(scheme: str, host: str) -> str | None:
    """The proxy that the environment names for this host; never one on the way to this machine itself."""
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    if not proxy or _is_local(host) or proxy_bypass(host):
        return None
    if not proxy.lower().startswith(("http://", "https://")):
        raise Unreachable(FailureKind.TRANSIENT, _WRONG_PROXY)
    return proxy


def _is_local(host: str) -> bool:
    return host in {"localhost", "::1"} or host.startswith("127.")


_WRONG_PROXY = "Only http:// and https:// proxies work: check HTTP_PROXY, HTTPS_PROXY and ALL_PROXY."


def _too_slow(host: str, seconds: float | None) -> Unreachable:
    return Unreachable(FailureKind.TIMEOUT, f"{host} did not answer in full within {seconds or 0:g} s.")


def _too_much(host: str, limit: int) -> Unreachable:
    return Unreachable(FailureKind.TRANSIENT, f"{host} sent more than {limit / 1024**2:.3g} MiB.")


def _host(url: str) -> str:
    """`host:port` of a URL, without user, path and query."""
    return url.partition("://")[2].partition("/")[0].rpartition("@")[2] or "the router"


def _play(request: WireRequest) -> Response:
    from chomp_mcp.dialects.mock import play

    try:
        body: Any = wire.loads(request.body) if request.body else {}
    except ValueError:
        body = {}
    if not isinstance(body, Mapping):
        body = {}
    script = play(body, bool(body.get("stream")))
    return Response(script.status, script.headers, _frames(script), host="mock")


async def _frames(script: Script) -> AsyncIterator[bytes]:
    for frame in script.frames:
        if frame.delay_seconds:
            await anyio.sleep(frame.delay_seconds)
        yield frame.data
    if script.cut:
        raise Unreachable(FailureKind.TRANSIENT, "mock broke the connection off.")
