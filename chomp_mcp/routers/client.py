"""The only sockets to routers: send a wire request, hand back status, headers and bytes as they come.

Whatever goes wrong on the way is an `Unreachable` that names the host and never a header or a key. The `mock://` URLs
of the built-in router are played here without a socket, so that they pass through everything else as any router does.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import anyio

from chomp_mcp import wire
from chomp_mcp.messages import FailureKind, WireRequest

if TYPE_CHECKING:
    import ssl

    import aiohttp
    from yarl import URL

    from chomp_mcp.routers.dialects.mock import Script

__all__ = ["MAX_BODY_BYTES", "Client", "Response", "Unreachable"]

MAX_BODY_BYTES = 64 * 1024 * 1024
"""What one answer may send, streamed or whole; the longest outputs of today's models stay under 2 MB."""
MAX_CONNECTIONS = 1000
CONNECT_SECONDS = 10.0
IDLE_SECONDS = 30.0
"""How long an unused connection is kept: a TLS handshake costs 50 ms and more; routers hang up after a minute or so."""
PROBE_SECONDS = 0.3
DNS_SECONDS = 300
READ_BYTES = 256 * 1024
MAX_HEADER_BYTES = 64 * 1024
MOCK_SCHEME = "mock://"
FIRST_OTHER_STATUS = 300
"""Redirects are not followed, so that they are failures like 4xx and 5xx."""


class Unreachable(Exception):
    """No answer, or the rest of one did not come.

    `kind` is TRANSIENT (refused, reset, cut, too much sent) or TIMEOUT, and BAD_KEY where the key itself cannot stand
    in a header. The text names the host and what happened.
    """

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


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
        """The body as it comes in, decompressed. `Unreachable` when it breaks off, stalls or never ends."""
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
        if self._close:
            self._close()


class Client:
    """One pool of connections for all routers, opened on first use. TLS is verified, redirects are not followed.

    `upstream_timeout` (seconds) limits the way to the headers as a whole, then each wait for more bytes, and a body
    that is read at once as a whole. Proxies come from the environment, except for this machine itself.
    """

    def __init__(self, *, upstream_timeout: float) -> None:
        self._patience = upstream_timeout
        self._session: aiohttp.ClientSession | None = None
        self._proxies: dict[tuple[str, str | None], str | None] = {}

    async def send(self, request: WireRequest) -> Response:
        """Send, and wait for the headers. `Unreachable` when they do not come."""
        if request.url.startswith(MOCK_SCHEME):
            return _play(request)
        host = _host(request.url)
        try:
            url = _parsed(request.url)
            proxy = self._proxy(url)
            session = self._session or self._open()
            async with asyncio.timeout(self._patience):
                response = await session.request(
                    request.method,
                    url,
                    data=request.body or None,
                    headers=_wired(request),
                    proxy=proxy,
                    allow_redirects=False,
                )
        except Exception as error:  # noqa: BLE001 - whatever it is, its own text may hold a header
            raise _unreachable(error, host, self._patience) from None
        return Response(
            response.status,
            {name.lower(): value for name, value in response.headers.items()},
            self._chunks(response.content, host),
            arrived=partial(_arrived, response.content),
            close=response.close,
            host=host,
            patience=self._patience,
        )

    async def reachable(self, url: str) -> bool:
        """Whether anything listens there, asked with a TCP connection and the patience of a glance."""
        if url.startswith(MOCK_SCHEME):
            return True
        parts = urlsplit(url)
        port = parts.port or {"https": 443}.get(parts.scheme, 80)
        with anyio.move_on_after(PROBE_SECONDS):
            try:
                stream = await anyio.connect_tcp(parts.hostname or "", port)
            except OSError:
                return False
            await stream.aclose()
            return True
        return False

    async def close(self) -> None:
        """End all connections; a later `send` opens new ones."""
        session, self._session = self._session, None
        if session:
            await session.close()

    def _proxy(self, url: URL) -> str | None:
        origin = (url.scheme, url.host)
        if origin not in self._proxies:
            self._proxies[origin] = _proxy(url.scheme, url.host or "")
        return self._proxies[origin]

    def _open(self) -> aiohttp.ClientSession:
        """The pool; late, since the HTTP stack and the certificates take time that an MCP start does not have."""
        from importlib.metadata import version

        import aiohttp

        try:
            connector = aiohttp.TCPConnector(
                limit=MAX_CONNECTIONS, keepalive_timeout=IDLE_SECONDS, ssl=_tls(), ttl_dns_cache=DNS_SECONDS
            )
        except (OSError, ValueError):
            raise Unreachable(FailureKind.TRANSIENT, _WRONG_CERTIFICATES) from None
        self._session = aiohttp.ClientSession(
            connector=connector,
            # Cookies of one caller's answers must not travel with another caller's key.
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"user-agent": f"chomp-mcp/{version('chomp-mcp')}"},
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=min(CONNECT_SECONDS, self._patience), sock_read=self._patience
            ),
            read_bufsize=READ_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            max_line_size=MAX_HEADER_BYTES,
        )
        return self._session

    async def _chunks(self, content: aiohttp.StreamReader, host: str) -> AsyncIterator[bytes]:
        from aiohttp import ClientError

        left = MAX_BODY_BYTES
        try:
            while chunk := await content.readany():
                left -= len(chunk)
                if left < 0:
                    raise _too_much(host, MAX_BODY_BYTES)
                yield chunk
        except (OSError, TimeoutError, ClientError) as error:
            raise _unreachable(error, host, self._patience) from None


def _arrived(content: aiohttp.StreamReader) -> bytes | None:
    """The whole body without waiting, None where more of it is to come or it broke off."""
    return content.read_nowait() if content.is_eof() and content.exception() is None else None


def _tls() -> ssl.SSLContext:
    """The operating system's own trust store, as browsers use; SSL_CERT_FILE adds to it where OpenSSL reads it."""
    import ssl

    import truststore

    return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@lru_cache(maxsize=1024)
def _parsed(url: str) -> URL:
    from yarl import URL

    return URL(url)


def _wired(request: WireRequest) -> dict[str, str]:
    """Lists are large and worth packing; a packed stream may wait in somebody's buffer."""
    packing = "identity" if request.body else "gzip, deflate"
    for name, value in request.headers.items():
        if not (value.isascii() and value.isprintable()):
            wrong_key = name.lower() in _KEY_HEADERS
            kind = FailureKind.BAD_KEY if wrong_key else FailureKind.TRANSIENT
            raise Unreachable(kind, _WRONG_KEY if wrong_key else _WRONG_HEADER.format(name=name))
    return {"accept": "*/*", "accept-encoding": packing, **request.headers}


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


_WRONG_CERTIFICATES = "The certificates cannot be read: check SSL_CERT_FILE and SSL_CERT_DIR in the environment."
_WRONG_PROXY = "Only http:// and https:// proxies work: check HTTP_PROXY, HTTPS_PROXY and ALL_PROXY."
_WRONG_KEY = "The key has characters that no header can carry: replace it."
_WRONG_HEADER = "The header {name} has characters that no header can carry: correct it in the router's row."
_KEY_HEADERS = frozenset({"authorization", "x-api-key"})
"""Where dialects put keys; what is wrong with any other header is not the key's fault."""


@cache
def _errors() -> tuple[tuple[type[Exception], FailureKind, str], ...]:
    """What the HTTP stack's errors mean, the narrow ones first."""
    import aiohttp

    transient, timeout = FailureKind.TRANSIENT, FailureKind.TIMEOUT
    return (
        (aiohttp.ConnectionTimeoutError, timeout, "{host} does not accept the connection: is the address right?"),
        (TimeoutError, timeout, "{host} sent nothing for {seconds:g} s."),
        (aiohttp.ClientProxyConnectionError, transient, "The proxy on the way to {host} cannot be reached{cause}."),
        (aiohttp.ClientHttpProxyError, transient, "The proxy on the way to {host} refused: check HTTPS_PROXY."),
        (aiohttp.ClientConnectorError, transient, "{host} cannot be reached{cause}."),
        (aiohttp.InvalidURL, transient, "The URL of {host} is not an http or https URL: correct it."),
        (aiohttp.ClientError, transient, "{host} broke the connection off."),
        (Exception, transient, "{host} broke the connection off."),
    )


def _unreachable(error: Exception, host: str, seconds: float) -> Unreachable:
    """Our words for an error of the HTTP stack, whose own text may hold a header."""
    if isinstance(error, Unreachable):
        return error
    kind, words = next((kind, words) for kinds, kind, words in _errors() if isinstance(error, kinds))
    return Unreachable(kind, words.format(host=host, seconds=seconds, cause=_cause(error)))


def _cause(error: BaseException) -> str:
    """What TLS or the operating system said, found at the root of the error."""
    root: BaseException | None = error
    words = ""
    while root is not None and not words:
        words = getattr(root, "verify_message", "") or (_system_words(root) if isinstance(root, OSError) else "")
        several = root.exceptions if isinstance(root, ExceptionGroup) else ()
        root = several[0] if several else root.__cause__ or root.__context__
    return f": {words}" if words else ""


def _system_words(error: OSError) -> str:
    words = error.strerror or ""
    return os.strerror(error.errno or 0) if words.startswith("Connect call failed") else words  # asyncio's own words


def _too_slow(host: str, seconds: float | None) -> Unreachable:
    return Unreachable(FailureKind.TIMEOUT, f"{host} did not answer in full within {seconds or 0:g} s.")


def _too_much(host: str, limit: int) -> Unreachable:
    return Unreachable(FailureKind.TRANSIENT, f"{host} sent more than {limit / 1024**2:.3g} MiB.")


def _host(url: str) -> str:
    """`host:port` of a URL, without user, path and query."""
    return url.partition("://")[2].partition("/")[0].rpartition("@")[2] or "the router"


def _play(request: WireRequest) -> Response:
    from chomp_mcp.routers.dialects.mock import play

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
