"""The only sockets to routers: aiohttp, and what routers and the paths to them make necessary on top of it.

Imported when the first request goes out: loading aiohttp takes 0.1 s, which starting a server does not have.
"""

from __future__ import annotations

import asyncio
import errno
import io
import os
import socket
import ssl
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import SplitResult

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from yarl import URL

from chomp_mcp.messages import FailureKind, WireRequest
from chomp_mcp.routers.dns import LookUps
from chomp_mcp.routers.response import Response, Unreachable
from chomp_mcp.routers.sockets import socks_errors, through_socks, watch, watched_socket
from chomp_mcp.routers.target import Target, basic_credentials, head

if TYPE_CHECKING:
    from aiohttp.connector import Connection

__all__ = ["Session"]

CONNECT_SECONDS = 10.0
"""For a free place among the connections to a router, the look-up of its name, TCP and TLS together."""
IDLE_SECONDS = 15.0
"""How long an unused connection is kept: a TLS handshake costs 50 ms and more, and paths forget what is silent."""
DNS_SECONDS = 60
UNANSWERED_SECONDS = 10.0
"""How long what was sent may stay unacknowledged by the other machine before the connection counts as dead."""
MAX_HEAD_LINES, MAX_HEAD_LINE_BYTES = 256, 32 * 1024
FIRST_FINAL_STATUS = 200
"""101 is one: nobody asked for another protocol."""
LARGE_BODY_BYTES = 1024 * 1024
"""From here on in pieces, so that others have their turn between them."""
CHUNK_BYTES = 64 * 1024
"""Read ahead of whoever asked: twice that, then the router has to wait."""


class Session:
    """Connections to all routers of one event loop. TLS is verified with the operating system's own trust store."""

    def __init__(self, *, patience: float, connections: int, look_ups: LookUps) -> None:
        self._patience = patience
        self._look_ups = look_ups
        self._connector = _Connector(
            look_ups=self._look_ups,
            unanswered_seconds=min(UNANSWERED_SECONDS, patience / 4),
            limit=0,
            limit_per_host=connections,
            keepalive_timeout=IDLE_SECONDS,
            ttl_dns_cache=DNS_SECONDS,
            resolver=_Resolver(self._look_ups),
        )
        self._session = aiohttp.ClientSession(
            connector=self._connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS, ceil_threshold=CONNECT_SECONDS),
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            request_class=_Request,
            middlewares=(self._deliver,),
            read_bufsize=CHUNK_BYTES,
            max_line_size=MAX_HEAD_LINE_BYTES,
            max_field_size=MAX_HEAD_LINE_BYTES,
            max_headers=MAX_HEAD_LINES,
        )
        self._tls: ssl.SSLContext | None = None

    async def send(self, request: WireRequest, target: Target, proxy: SplitResult | None) -> Response:
        """Send, and wait for the headers. `Unreachable` when they do not come."""
        headers = head(request, target)
        options: dict[str, Any] = {}
        if target.scheme == "https" or (proxy and proxy.scheme == "https"):
            options["ssl"] = self._verified()
        if proxy is not None:
            if proxy.scheme not in {"http", "https"}:
                self._connector.socks[target.host, target.port] = proxy
            else:
                options["proxy"] = URL(proxy._replace(netloc=proxy.netloc.rpartition("@")[2]).geturl())
                if credentials := basic_credentials(proxy):
                    to_proxy = headers if target.scheme == "http" else options.setdefault("proxy_headers", {})
                    to_proxy["proxy-authorization"] = credentials
        answer = await self._session.request(
            request.method,
            _url(target.url),
            headers=headers,
            data=(request.body if len(request.body) < LARGE_BODY_BYTES else io.BytesIO(request.body)) or None,
            allow_redirects=False,
            **options,
        )
        if answer.status < FIRST_FINAL_STATUS:
            _hang_up(answer)
            raise Unreachable(FailureKind.TRANSIENT, f"{target.name} sent something that is no HTTP.")
        return Response(
            answer.status,
            {name.lower(): value for name, value in answer.headers.items()},
            partial(_next_bytes, answer, target.name),
            host=target.name,
            patience=self._patience,
            at_once=partial(_at_once, answer),
            close=partial(_hang_up, answer),
        )

    async def close(self) -> None:
        """End all connections, those in use as well."""
        await self._session.close()
        await asyncio.sleep(0)  # so that the event loop lets go of the sockets

    def _verified(self) -> ssl.SSLContext:
        """SSL_CERT_FILE adds to the operating system's trust store where OpenSSL reads it."""
        if self._tls is None:
            import truststore

            try:
                self._tls = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                self._tls.set_alpn_protocols(["http/1.1"])
            except (OSError, ValueError):
                raise Unreachable(FailureKind.TRANSIENT, _WRONG_CERTIFICATES) from None
        return self._tls

    async def _deliver(self, request: ClientRequest, deliver: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        """The answer from its head on; a request that met the end of an old connection goes out once more.

        A router, or whatever stands before it, may close or forget a connection at any time between two exchanges
        (RFC 9112, 9.3.1). Where no byte of an answer came, nothing has been said twice; nor is it the router's failure.
        """
        sent = cast("_Request", request)
        try:
            async with asyncio.timeout(self._patience):
                try:
                    return await deliver(sent)
                except (aiohttp.ClientConnectionError, OSError):
                    if not sent.was_lost:
                        raise
                sent.is_resent = True
                return await deliver(sent)
        except TimeoutError as error:
            sent.hang_up()
            self._connector.drop_idle(sent)
            raise self._too_late(sent, error) from None
        except _failures() as error:
            if isinstance(error, aiohttp.ClientConnectorError):
                self._connector.clear_dns_cache(sent.url.raw_host, sent.port)
            raise _unreachable(error, sent) from None
        except BaseException:
            sent.hang_up()
            raise

    def _too_late(self, sent: _Request, error: TimeoutError) -> Unreachable:
        host = sent.name
        if sent.protocol is not None:
            reason = f"{host} sent nothing for {self._patience:g} s."
            return Unreachable(FailureKind.TIMEOUT, reason, resent=sent.is_resent)
        seconds = CONNECT_SECONDS if isinstance(error, aiohttp.ConnectionTimeoutError) else self._patience
        if not sent.is_connecting:
            busy = f"{self._connector.limit_per_host} requests to {host} are under way"
            return Unreachable(FailureKind.LOCAL, f"{busy}, and none ended for {seconds:g} s.")
        at = sent.proxy or sent.url
        if self._look_ups.is_waiting_for(at.raw_host or ""):
            return Unreachable(FailureKind.TIMEOUT, f"The DNS did not say within {seconds:g} s where {at.host} is.")
        return Unreachable(FailureKind.TIMEOUT, f"{host} does not accept the connection: is the address right?")


class _Request(ClientRequest):
    """A request, and what became of it on the wire."""

    is_resent = False
    is_connecting = False
    protocol: _Exchanges | None = None
    transport: asyncio.Transport | None = None
    """Both of the connection that carries it, once it has one."""

    @property
    def name(self) -> str:
        return self.headers["host"]

    @property
    def was_lost(self) -> bool:
        """It met a connection that had carried others, and that ended before a byte of the answer came."""
        return self.protocol is not None and self.protocol.exchanges > 1 and not self.protocol.has_answered

    def hang_up(self) -> None:
        """At once, also where some of the request is still unsent."""
        if self.transport is not None:
            self.transport.abort()


class _Exchanges(ResponseHandler):
    """A connection that knows how many exchanges it has carried, and that speaks only when asked."""

    exchanges = 0
    has_answered = False
    is_idle = False

    def set_response_params(self, **how: Any) -> None:
        self.exchanges += 1
        self.has_answered = self.is_idle = False
        super().set_response_params(**how)

    def data_received(self, data: bytes) -> None:
        if data and self.is_idle:  # nobody has asked: it must not be taken for the next answer
            self.abort()
            return
        self.has_answered = True
        super().data_received(data)

    def resume_reading(self, resume_parser: bool = True) -> None:
        # aiohttp calls this for every chunk that is read, and enters its parser each time.
        if self._reading_paused:
            super().resume_reading(resume_parser)


class _Connector(aiohttp.TCPConnector):
    """aiohttp's pool; with fresh connections for those who need one, SOCKS, and sockets that notice a dead path."""

    def __init__(self, *, look_ups: LookUps, unanswered_seconds: float, **options: Any) -> None:
        super().__init__(socket_factory=partial(watched_socket, unanswered_seconds), **options)
        self._factory = cast("partial[ResponseHandler]", partial(_Exchanges, loop=self._loop))
        self._look_ups = look_ups
        self._unanswered_seconds = unanswered_seconds
        self.socks: dict[tuple[str, int], SplitResult] = {}

    async def connect(self, req: ClientRequest, *how: Any, **named: Any) -> Connection:
        request = cast("_Request", req)
        request.protocol = request.transport = None
        if request.is_resent:
            self.drop_idle(request)
        while True:
            connection = await super().connect(req, *how, **named)
            protocol = cast("_Exchanges", connection.protocol)
            if protocol.exchanges and (request.is_resent or protocol.should_close):
                connection.close()
                continue
            request.protocol, request.transport = protocol, connection.transport
            return connection

    def drop_idle(self, request: ClientRequest) -> None:
        """The other unused connections to the same place have most likely ended in the same way."""
        for protocol, _ in self._conns.pop(request.connection_key, ()):
            protocol.abort()

    def _release(self, key: Any, protocol: ResponseHandler, *, should_close: bool = False) -> None:
        cast("_Exchanges", protocol).is_idle = True
        super()._release(key, protocol, should_close=should_close)

    async def _create_connection(self, req: ClientRequest, *how: Any) -> ResponseHandler:
        cast("_Request", req).is_connecting = True
        proxy = self.socks.get((req.url.raw_host or "", req.url.port or 0))
        if proxy is None:
            return await super()._create_connection(req, *how)
        [(_, address), *_] = await self._look_ups.addresses(proxy.hostname or "")
        place = req.url.raw_host or "", req.url.port or 0
        connected = await through_socks(proxy, address, place, CONNECT_SECONDS)
        watch(connected, self._unanswered_seconds)
        tls, checked = (self._get_ssl_context(req), req.url.raw_host) if req.is_ssl() else (None, None)
        try:
            _, protocol = await self._loop.create_connection(
                self._factory, sock=connected, ssl=tls, server_hostname=checked
            )
        except BaseException:
            connected.close()
            raise
        return protocol


class _Resolver(AbstractResolver):
    def __init__(self, look_ups: LookUps) -> None:
        self._look_ups = look_ups

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST)
            for kind, address in await self._look_ups.addresses(host)
            if family in {socket.AF_UNSPEC, kind}
        ]

    async def close(self) -> None:
        """A thread that waits for the system cannot be stopped."""


@lru_cache(maxsize=1024)
def _url(url: str) -> URL:
    return URL(url, encoded=True)


async def _next_bytes(answer: aiohttp.ClientResponse, host: str) -> bytes:
    try:
        return await answer.content.readany()
    except aiohttp.ClientPayloadError as error:
        broken = f"{host} sent something that cannot be unpacked."
        if not isinstance(error.__cause__, aiohttp.http_exceptions.ContentEncodingError):
            broken = f"{host} broke the connection off."
        raise Unreachable(FailureKind.TRANSIENT, broken) from None
    except (aiohttp.ClientError, aiohttp.http_exceptions.HttpProcessingError, OSError):
        raise Unreachable(FailureKind.TRANSIENT, f"{host} broke the connection off.") from None


def _at_once(answer: aiohttp.ClientResponse) -> bytes | None:
    content = answer.content
    return content.read_nowait() if content.is_eof() and content.exception() is None else None


def _hang_up(answer: aiohttp.ClientResponse) -> None:
    connection = answer.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()
    answer.close()


def _failures() -> tuple[type[Exception], ...]:
    """What may be raised on the way to an answer's head."""
    return aiohttp.ClientError, OSError, ValueError, *socks_errors()


def _unreachable(error: Exception, sent: _Request) -> Unreachable:
    """What went wrong, in words that hold neither the request nor what aiohttp knows about it."""
    host = sent.name
    cause = _cause(error)
    if isinstance(error, socks_errors()):
        if isinstance(error, OSError):
            return Unreachable(FailureKind.TRANSIENT, f"The proxy on the way to {host} cannot be reached{cause}.")
        return Unreachable(FailureKind.TRANSIENT, f"The proxy on the way to {host} refused: check ALL_PROXY.")
    reason = f"{host} broke the connection off."
    match error:
        case OSError() if (error.errno or getattr(error.__cause__, "errno", 0)) in _EXHAUSTED:
            return Unreachable(FailureKind.LOCAL, f"This machine has no free socket for {host}{cause}.")
        case aiohttp.ClientProxyConnectionError():
            reason = f"The proxy on the way to {host} cannot be reached{cause}."
        case aiohttp.ClientHttpProxyError():
            reason = f"The proxy on the way to {host} refused: check HTTPS_PROXY."
        case aiohttp.ClientConnectorDNSError():
            reason = f"{host} cannot be reached: the DNS does not know it{cause}."
        case aiohttp.ClientConnectorCertificateError():
            reason = f"{host} cannot be reached{cause}. Does your company sign it? {_COMPANY}"
        case aiohttp.ClientConnectorError() | ssl.SSLError():
            reason = f"{host} cannot be reached{cause}."
        case aiohttp.ClientResponseError():
            reason = f"{host} sent something that is no HTTP."
    return Unreachable(FailureKind.TRANSIENT, reason, resent=sent.is_resent)


_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})
"""What our own machine lacks, whoever is called."""
_COMPANY = "Name the file with its certificate in SSL_CERT_FILE."
_WRONG_CERTIFICATES = "The certificates cannot be read: check SSL_CERT_FILE and SSL_CERT_DIR in the environment."


def _cause(error: BaseException) -> str:
    """What TLS or the operating system said, found at the root of the error."""
    root: BaseException | None = error
    words = ""
    while root is not None and not words:
        words = getattr(root, "verify_message", "")
        if not words and isinstance(root, OSError):
            words = root.strerror or ""
            if words.startswith(_OWN_WORDS):
                words = os.strerror(root.errno or 0)
        several = root.exceptions if isinstance(root, ExceptionGroup) else ()
        root = several[0] if several else root.__cause__ or root.__context__
    return f": {words}" if words else ""


_OWN_WORDS = ("Connect call failed", "Could not connect")
"""asyncio's and python-socks', in place of the system's."""
