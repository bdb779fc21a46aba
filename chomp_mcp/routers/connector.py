"""The only sockets to routers: aiohttp, and what routers and the paths to them make necessary on top of it.

Imported when the first request goes out: loading aiohttp takes 0.1 s, which starting a server does not have.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from functools import partial
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import SplitResult

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.http_exceptions import HttpProcessingError

from chomp_mcp.messages import FailureKind, WireRequest
from chomp_mcp.routers.dns import LookUps
from chomp_mcp.routers.exchange import FIRST_FINAL_STATUS, Exchanges, Sent
from chomp_mcp.routers.response import Response, Unreachable
from chomp_mcp.routers.sockets import socks_errors, through_socks, watch, watched_socket
from chomp_mcp.routers.target import proxy_from_environment, target_of

if TYPE_CHECKING:
    from aiohttp.connector import Connection


CONNECT_SECONDS = 10.0
"""For a free place among the connections to a router, the look-up of its name, TCP and TLS together."""
IDLE_SECONDS = 15.0
"""How long an unused connection is kept: a TLS handshake costs 50 ms and more, and paths forget what is silent."""
DNS_SECONDS = 60
UNANSWERED_SECONDS = 10.0
"""How long what was sent may stay unacknowledged by the other machine before the connection counts as dead."""
MOST_WAYS = 1024


class Session:
    """Connections to all routers of one event loop. TLS is verified with the operating system's own trust store.

    Of aiohttp it is the connector (pool, TLS, proxies, DNS), the parser and the reader. Its `ClientSession` does for
    every request what ours never need (cookies, redirects, URLs that are joined, headers that are made up), which takes
    as long as all the rest.
    """

    def __init__(self, *, patience: float, connections: int, look_ups: LookUps) -> None:
        self._patience = patience
        self._look_ups = look_ups
        self._connector = _Connector(
            look_ups=self._look_ups,
            unanswered_seconds=min(UNANSWERED_SECONDS, patience / 4),
            connect_seconds=min(CONNECT_SECONDS, patience),
            limit=0,
            limit_per_host=connections,
            keepalive_timeout=IDLE_SECONDS,
            ttl_dns_cache=DNS_SECONDS,
            resolver=_Resolver(self._look_ups),
        )
        self._ways: dict[str, Sent] = {}
        """By URL."""
        self._proxies: dict[tuple[str, str, int], SplitResult | None] = {}
        """By origin: what the environment said when it was first called."""
        self._loop = asyncio.get_running_loop()
        self._tls: ssl.SSLContext | None = None

    async def send(self, request: WireRequest) -> Response:
        """Send, and wait for the headers. `Unreachable` when they do not come."""
        way = self._ways.get(request.url)
        if way is None:
            if len(self._ways) >= MOST_WAYS:
                self._ways.clear()
            way = self._ways[request.url] = self._way(request.url)
        sent = way.begun(request)
        # In place of `asyncio.timeout`, which takes ten times as long: what waits here is woken when the connection
        # ends, and the connector looks at the clock itself.
        alarm = self._loop.call_later(self._patience, sent.give_up)
        try:
            try:
                message = await sent.exchanged(await self._connector.connected(sent))
            except (aiohttp.ClientConnectionError, OSError):
                # A router, or whatever stands before it, may close or forget a connection at any time between two
                # exchanges (RFC 9112, 9.3.1). Where no byte of an answer came, nothing has been said twice; nor is it
                # the router's failure.
                if not sent.was_lost or sent.is_late:
                    raise
                sent.is_resent = True
                message = await sent.exchanged(await self._connector.connected(sent))
        except _failures() as error:
            if sent.is_late or isinstance(error, TimeoutError):
                self._connector.drop_idle(sent)
                raise self._too_late(sent) from None
            if isinstance(error, aiohttp.ClientConnectorError):
                self._connector.clear_dns_cache(sent.url.raw_host, sent.port)
            raise _unreachable(error, sent) from None
        finally:
            alarm.cancel()
        if message.code < FIRST_FINAL_STATUS:
            sent.hang_up()
            raise Unreachable(FailureKind.TRANSIENT, f"{sent.target.name} sent something that is no HTTP.")
        return Response(
            message.code,
            {name.lower(): value for name, value in message.headers.items()},
            sent.next_bytes,
            host=sent.target.name,
            patience=self._patience,
            at_once=sent.at_once,
            close=sent.hang_up,
        )

    def _way(self, url: str) -> Sent:
        """The request that all to this URL are copies of."""
        target = target_of(url)
        origin = target[:3]
        if origin not in self._proxies:
            self._proxies[origin] = proxy_from_environment(target)
        proxy = self._proxies[origin]
        is_tls = target.scheme == "https" or (proxy is not None and proxy.scheme == "https")
        return Sent(target, proxy, self._verified() if is_tls else True)

    async def close(self) -> None:
        """End all connections, those in use as well."""
        await self._connector.close()
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

    def _too_late(self, sent: Sent) -> Unreachable:
        host = sent.target.name
        if sent.protocol is not None:
            reason = f"{host} sent nothing for {self._patience:g} s."
            return Unreachable(FailureKind.TIMEOUT, reason, resent=sent.is_resent)
        seconds = min(CONNECT_SECONDS, self._patience)
        if not sent.is_connecting:
            busy = f"{self._connector.limit_per_host} requests to {host} are under way"
            return Unreachable(FailureKind.LOCAL, f"{busy}, and none ended for {seconds:g} s.")
        at = sent.proxy or sent.url
        looked_up = (sent.socks.hostname if sent.socks else at.raw_host) or ""
        if self._look_ups.is_waiting_for(looked_up):
            return Unreachable(FailureKind.TIMEOUT, f"The DNS did not say within {seconds:g} s where {looked_up} is.")
        return Unreachable(FailureKind.TIMEOUT, f"{host} does not accept the connection: is the address right?")


class _Connector(aiohttp.TCPConnector):
    """aiohttp's pool; with fresh connections for those who need one, SOCKS, and sockets that notice a dead path."""

    def __init__(self, *, look_ups: LookUps, unanswered_seconds: float, connect_seconds: float, **options: Any) -> None:
        super().__init__(socket_factory=partial(watched_socket, unanswered_seconds), **options)
        self._factory = cast("partial[ResponseHandler]", partial(Exchanges, loop=self._loop))
        self._look_ups = look_ups
        self._unanswered_seconds = unanswered_seconds
        self._timeout = aiohttp.ClientTimeout(total=None, connect=connect_seconds, ceil_threshold=CONNECT_SECONDS)

    async def connected(self, request: Sent) -> Connection:
        """A connection for it, from the pool if it may be an old one."""
        if request.is_resent:
            request.protocol = None
            self.drop_idle(request)
        while True:
            connection = await self.connect(request, [], self._timeout)
            protocol: Any = connection.protocol
            if not protocol.exchanges or not (request.is_resent or protocol.should_close):
                return connection
            connection.close()

    def drop_idle(self, request: ClientRequest) -> None:
        """The other unused connections to the same place have most likely ended in the same way."""
        for protocol, _ in self._conns.pop(request.connection_key, ()):
            protocol.abort()

    def _release(self, key: Any, protocol: Any, *, should_close: bool = False) -> None:
        protocol.is_idle = True
        super()._release(key, protocol, should_close=should_close)

    async def _create_connection(self, req: ClientRequest, *how: Any) -> ResponseHandler:
        request = cast("Sent", req)
        request.is_connecting = True
        proxy = request.socks
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


def _failures() -> tuple[type[Exception], ...]:
    """What may be raised on the way to an answer's head."""
    return aiohttp.ClientError, HttpProcessingError, OSError, ValueError, *socks_errors()


def _unreachable(error: Exception, sent: Sent) -> Unreachable:
    """What went wrong, in words that hold neither the request nor what aiohttp knows about it."""
    host = sent.target.name
    cause = _cause(error)
    if isinstance(error, socks_errors()):
        if isinstance(error, OSError):
            why = f"The proxy on the way to {host} cannot be reached{cause}. {_PROXIES}"
            return Unreachable(FailureKind.TRANSIENT, why)
        return Unreachable(FailureKind.TRANSIENT, f"The proxy on the way to {host} refused: check ALL_PROXY.")
    reason = f"{host} broke the connection off."
    if isinstance(error, aiohttp.ClientConnectorDNSError | socket.gaierror) and (sent.proxy or sent.socks):
        # The router's own name is looked up by the proxy.
        unknown = f"The proxy on the way to {host} cannot be reached: the DNS does not know it{cause}. {_PROXIES}"
        return Unreachable(FailureKind.TRANSIENT, unknown)
    match error:
        case OSError() if (error.errno or getattr(error.__cause__, "errno", 0)) in _EXHAUSTED:
            return Unreachable(FailureKind.LOCAL, f"This machine has no free socket for {host}{cause}.")
        case aiohttp.ClientProxyConnectionError():
            reason = f"The proxy on the way to {host} cannot be reached{cause}. {_PROXIES}"
        case aiohttp.ClientHttpProxyError():
            reason = f"The proxy on the way to {host} refused: check HTTPS_PROXY."
        case aiohttp.ClientConnectorDNSError():
            reason = f"{host} cannot be reached: the DNS does not know it{cause}."
        case aiohttp.ClientConnectorCertificateError():
            reason = f"{host} cannot be reached{cause}. Does your company sign it? {_COMPANY}"
            named = os.environ.get("SSL_CERT_FILE", "")
            if named and not os.access(named, os.R_OK):  # OpenSSL passes over it without a word
                reason = f"{host} cannot be reached{cause}. SSL_CERT_FILE names {named}, which cannot be read."
        case aiohttp.ClientConnectorError() | ssl.SSLError():
            reason = f"{host} cannot be reached{cause}.{_NO_TLS if 'WRONG_VERSION_NUMBER' in cause else ''}"
        case aiohttp.ClientResponseError() | HttpProcessingError():
            reason = f"{host} sent something that is no HTTP."
    return Unreachable(FailureKind.TRANSIENT, reason, resent=sent.is_resent)


_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})
"""What our own machine lacks, whoever is called."""
_PROXIES = "Check HTTPS_PROXY and ALL_PROXY."
_NO_TLS = " It may speak no TLS there: http:// in its URL."
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
