"""The only sockets to routers: send a wire request, hand back status, headers and bytes as they come.

Whatever goes wrong on the way is an `Unreachable` that names the host and never a header or a key. The `mock://` URLs
of the built-in router are played here without a socket, so that they pass through everything else as any router does.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import anyio

from chomp_mcp import wire
from chomp_mcp.messages import FailureKind, WireRequest

if TYPE_CHECKING:
    import httpx2

    from chomp_mcp.routers.dialects.mock import Script

__all__ = ["FIRST_ERROR_STATUS", "MAX_BODY_BYTES", "Client", "Response", "Unreachable"]

MAX_BODY_BYTES = 64 * 1024 * 1024
"""What one answer may send, streamed or whole; the longest outputs of today's models stay under 2 MB."""
MAX_CONNECTIONS = 1000
MAX_IDLE_CONNECTIONS = 100
"""The pool looks at every idle one for every request (25 us each), so that a burst must not leave a thousand behind."""
CONNECT_SECONDS = 10.0
IDLE_SECONDS = 30.0
"""How long an unused connection is kept: a TLS handshake costs 50 ms and more; routers hang up after a minute or so."""
PROBE_SECONDS = 0.3
CLOSE_SECONDS = 1.0
MOCK_SCHEME = "mock://"
FIRST_ERROR_STATUS = 400


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

    __slots__ = ("_chunks", "_close", "_host", "_patience", "headers", "status")

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str],
        chunks: AsyncIterator[bytes],
        *,
        close: Callable[[], Awaitable[None]] | None = None,
        host: str = "",
        patience: float | None = None,
    ) -> None:
        self.status = status
        self.headers = headers
        self._chunks = chunks
        self._close = close
        self._host = host
        self._patience = patience

    def iter_bytes(self) -> AsyncIterator[bytes]:
        """The body as it comes in, decompressed. `Unreachable` when it breaks off, stalls or never ends."""
        return self._chunks

    async def read(self, limit: int = MAX_BODY_BYTES) -> bytes:
        """The whole body. Of an error (status >= 400) the first `limit` bytes; an answer above it is `Unreachable`."""
        body = bytearray()
        try:
            with anyio.fail_after(self._patience):
                async for chunk in self._chunks:
                    body += chunk
                    if len(body) > limit:
                        return self._first(body, limit)
        except TimeoutError:
            raise _too_slow(self._host, self._patience) from None
        return bytes(body)

    async def close(self) -> None:
        """Give the connection back, or end it where the answer is not over: that is how a router learns to stop."""
        if self._close:
            with anyio.CancelScope(shield=True), anyio.move_on_after(CLOSE_SECONDS):
                await self._close()

    def _first(self, body: bytearray, limit: int) -> bytes:
        if self.status < FIRST_ERROR_STATUS:
            raise _too_much(self._host, limit)
        return bytes(body[:limit])


class Client:
    """One pool of connections for all routers, opened on first use. TLS is verified, redirects are not followed.

    `upstream_timeout` (seconds) limits the way to the headers as a whole, then each wait for more bytes, and a body
    that is read at once as a whole. Proxies come from the environment, except for this machine itself.
    """

    def __init__(self, *, upstream_timeout: float, clock: Callable[[], float] | None = None) -> None:  # noqa: ARG002
        self._patience = upstream_timeout
        self._http: httpx2.AsyncClient | None = None
        self._base_headers: dict[str, str] = {}

    async def send(self, request: WireRequest) -> Response:
        """Send, and wait for the headers. `Unreachable` when they do not come."""
        if request.url.startswith(MOCK_SCHEME):
            return _play(request)
        http = self._http or self._open()
        import httpx2

        try:
            with anyio.fail_after(self._patience):
                response = await http.send(self._wired(request), stream=True)
        except TimeoutError:
            raise _too_slow(_host(request.url), self._patience) from None
        except (httpx2.HTTPError, httpx2.InvalidURL, UnicodeError) as error:
            raise _unreachable(error, request.url, self._patience) from None
        return Response(
            response.status_code,
            dict(response.headers.items()),
            self._chunks(response, request.url),
            close=response.aclose,
            host=_host(request.url),
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
        http, self._http = self._http, None
        if http:
            await http.aclose()

    def _open(self) -> httpx2.AsyncClient:
        """The pool; late, since the HTTP stack and the certificates take 0.2 s that an MCP start does not have."""
        from http.cookiejar import CookieJar, DefaultCookiePolicy
        from importlib.metadata import version

        import httpx2

        # Cookies of one caller's answers must not travel with another caller's key.
        no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
        try:
            self._http = httpx2.AsyncClient(
                timeout=httpx2.Timeout(self._patience, connect=min(CONNECT_SECONDS, self._patience)),
                limits=httpx2.Limits(
                    max_connections=MAX_CONNECTIONS,
                    max_keepalive_connections=MAX_IDLE_CONNECTIONS,
                    keepalive_expiry=IDLE_SECONDS,
                ),
                cookies=no_cookies,
                mounts=dict.fromkeys(_THIS_MACHINE),
            )
        except (ValueError, ImportError, OSError, httpx2.InvalidURL):
            raise Unreachable(FailureKind.TRANSIENT, _WRONG_ENVIRONMENT) from None
        self._base_headers = {"user-agent": f"chomp-mcp/{version('chomp-mcp')}", "accept": "*/*"}
        return self._http

    def _wired(self, request: WireRequest) -> httpx2.Request:
        import httpx2

        # Lists are large and worth packing; a packed stream may wait in somebody's buffer.
        packing = {"accept-encoding": "identity" if request.body else "gzip, deflate"}
        headers = {name.lower(): value for name, value in request.headers.items()}
        return httpx2.Request(
            request.method, request.url, headers={**self._base_headers, **packing, **headers}, content=request.body
        )

    async def _chunks(self, response: httpx2.Response, url: str) -> AsyncIterator[bytes]:
        import httpx2

        left = MAX_BODY_BYTES
        try:
            async for chunk in response.aiter_bytes():
                left -= len(chunk)
                if left < 0:
                    raise _too_much(_host(url), MAX_BODY_BYTES)
                yield chunk
        except httpx2.HTTPError as error:
            raise _unreachable(error, url, self._patience) from None


_THIS_MACHINE = ("all://localhost", "all://127.0.0.1", "all://[::1]")
_WRONG_ENVIRONMENT = (
    "The HTTP client does not start: check HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, SSL_CERT_FILE and SSL_CERT_DIR "
    "in the environment (SOCKS proxies need the package socksio)."
)
_WRONG_HEADER = "The key for {host}, or a header of its row, has characters that no header can carry: replace it."


@cache
def _errors() -> tuple[tuple[type[Exception], FailureKind, str], ...]:
    """What the HTTP stack's errors mean, the narrow ones first."""
    import httpx2

    transient, timeout, bad_key = FailureKind.TRANSIENT, FailureKind.TIMEOUT, FailureKind.BAD_KEY
    return (
        (httpx2.ConnectTimeout, timeout, "{host} does not accept the connection: is the address right?"),
        (httpx2.PoolTimeout, timeout, "All connections were busy for {seconds:g} s."),
        (httpx2.TimeoutException, timeout, "{host} sent nothing for {seconds:g} s."),
        (httpx2.ConnectError, transient, "{host} cannot be reached{cause}."),
        (httpx2.ProxyError, transient, "The proxy on the way to {host} refused: check HTTPS_PROXY."),
        (httpx2.DecodingError, transient, "{host} sent bytes that do not decompress."),
        (httpx2.UnsupportedProtocol, transient, "The URL of {host} is not http or https: correct it."),
        (httpx2.InvalidURL, transient, "The URL of {host} is none: correct it."),
        (httpx2.LocalProtocolError, bad_key, _WRONG_HEADER),
        (UnicodeError, bad_key, _WRONG_HEADER),
        (Exception, transient, "{host} broke the connection off."),
    )


def _unreachable(error: Exception, url: str, seconds: float) -> Unreachable:
    """Our words for an error of the HTTP stack, whose own text may hold a header."""
    kind, words = next((kind, words) for kinds, kind, words in _errors() if isinstance(error, kinds))
    return Unreachable(kind, words.format(host=_host(url), seconds=seconds, cause=_cause(error)))


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
