"""The only sockets to routers: opened through DNS, proxies and TLS, and kept for a while between exchanges."""

from __future__ import annotations

import asyncio
import os
import socket
from base64 import b64encode
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from chomp_mcp.messages import FailureKind
from chomp_mcp.routers.connection import Connection, Unreachable

if TYPE_CHECKING:
    import ssl

__all__ = ["PORTS", "Place", "Pool", "basic_credentials"]

CONNECT_SECONDS = 10.0
NEXT_ADDRESS_SECONDS = 0.25
"""How long the first address of a name is tried alone (RFC 8305, 5)."""
IDLE_SECONDS = 30.0
"""How long an unused connection is kept: a TLS handshake costs 50 ms and more; routers hang up after a minute or so."""
DNS_SECONDS = 300.0
PORTS = {"http": 80, "https": 443}
_SUCCESSES = range(200, 300)
_Address = tuple[Any, ...]
"""As `getaddrinfo` gives it."""


class Place(NamedTuple):
    """Where connections lead, and through which proxy."""

    scheme: str
    host: str
    port: int
    proxy: str | None = None

    @property
    def name(self) -> str:
        """As a host header has it: the port only where it is not the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


class Pool:
    """Connections by place. TLS is verified with the operating system's own trust store, as browsers do it."""

    def __init__(self, *, idle_seconds: float = IDLE_SECONDS) -> None:
        self._idle_seconds = idle_seconds
        self._open: set[Connection] = set()
        self._idle: defaultdict[Place, list[tuple[float, Connection]]] = defaultdict(list)
        """Since when each was unused; the last used at the end, to be used again first."""
        self._sweeping: asyncio.TimerHandle | None = None
        self._addresses: dict[tuple[str, int], tuple[float, list[_Address]]] = {}
        self._context: ssl.SSLContext | None = None

    def take(self, place: Place) -> Connection | None:
        """An unused one, if there is any."""
        idle = self._idle.get(place)
        while idle:
            _, connection = idle.pop()
            if connection.is_open:
                return connection
            self._open.discard(connection)
        return None

    def give_back(self, place: Place, connection: Connection) -> None:
        """An exchange is over: keep its connection for the next where it can carry another, else end it."""
        if not connection.release():
            self._open.discard(connection)
            return
        loop = asyncio.get_running_loop()
        self._idle[place].append((loop.time(), connection))
        if self._sweeping is None:
            self._sweeping = loop.call_later(self._idle_seconds, self._sweep)

    async def open(self, place: Place, *, patience: float, until: float) -> Connection:
        """A new one, before `until` on the event loop's clock. `Unreachable` when there is no way."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(min(until, loop.time() + CONNECT_SECONDS)):
                if place.proxy is None:
                    connection = await self._connect(place.host, place.port, place.scheme, place.name)
                else:
                    connection = await self._connect_through(urlsplit(place.proxy), place, patience, until)
        except Unreachable:
            raise
        except TimeoutError:
            raise Unreachable(FailureKind.TIMEOUT, _NO_ANSWER.format(host=place.name)) from None
        except Exception as error:  # noqa: BLE001 - whatever it is, there is no connection
            raise Unreachable(FailureKind.TRANSIENT, f"{place.name} cannot be reached{_cause(error)}.") from None
        self._open.add(connection)
        return connection

    async def close(self) -> None:
        """End all connections, those in use as well."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        self._idle.clear()
        for connection in self._open:
            connection.abort()
        self._open.clear()
        await asyncio.sleep(0)  # so that the event loop lets go of the sockets

    async def _connect(self, host: str, port: int, scheme: str, name: str) -> Connection:
        """`name` is whom errors are about."""
        from aiohappyeyeballs import start_connection

        loop = asyncio.get_running_loop()
        addresses = await self._look_up(host, port)
        try:
            connected = await start_connection(addresses, happy_eyeballs_delay=NEXT_ADDRESS_SECONDS)
        except OSError:
            self._addresses.pop((host, port), None)
            raise
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        tls, checked = (self._tls(), host) if scheme == "https" else (None, None)
        try:
            _, connection = await loop.create_connection(
                partial(Connection, name), sock=connected, ssl=tls, server_hostname=checked
            )
        except BaseException:
            connected.close()
            raise
        return connection

    async def _connect_through(self, proxy: SplitResult, place: Place, patience: float, until: float) -> Connection:
        """To a proxy, which takes whole URLs for http, and makes a tunnel for https (RFC 9110, 9.3.6)."""
        try:
            port = proxy.port or PORTS[proxy.scheme]
            connection = await self._connect(proxy.hostname or "", port, proxy.scheme, place.name)
        except TimeoutError:
            raise
        except OSError as error:
            told = f"The proxy on the way to {place.name} cannot be reached{_cause(error)}."
            raise Unreachable(FailureKind.TRANSIENT, told) from None
        if place.scheme == "http":
            return connection
        try:
            return await self._tunnel(connection, proxy, place, patience, until)
        except BaseException:
            connection.abort()
            raise

    async def _tunnel(
        self, connection: Connection, proxy: SplitResult, place: Place, patience: float, until: float
    ) -> Connection:
        host = f"[{place.host}]" if ":" in place.host else place.host
        lines = [f"CONNECT {host}:{place.port} HTTP/1.1", f"Host: {place.name}"]
        if credentials := basic_credentials(proxy):
            lines.append(f"Proxy-Authorization: {credentials}")
        asked = "\r\n".join([*lines, "\r\n"]).encode("ascii")
        if (await connection.start(asked, patience=patience, until=until)).status not in _SUCCESSES:
            raise Unreachable(FailureKind.TRANSIENT, _PROXY_REFUSED.format(host=place.name))
        inner = Connection(place.name)
        loop = asyncio.get_running_loop()
        transport = await loop.start_tls(connection.transport, inner, self._tls(), server_hostname=place.host)
        if transport is None:
            raise ConnectionError("closed in the handshake")
        inner.connection_made(transport)
        return inner

    async def _look_up(self, host: str, port: int) -> list[_Address]:
        loop = asyncio.get_running_loop()
        until, known = self._addresses.get((host, port), (0.0, []))
        if until <= loop.time():
            known = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            self._addresses[host, port] = loop.time() + DNS_SECONDS, known
        return known

    def _tls(self) -> ssl.SSLContext:
        """SSL_CERT_FILE adds to the operating system's trust store where OpenSSL reads it."""
        if self._context is None:
            import ssl

            import truststore

            try:
                self._context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                self._context.set_alpn_protocols(["http/1.1"])
            except (OSError, ValueError):
                raise Unreachable(FailureKind.TRANSIENT, _WRONG_CERTIFICATES) from None
        return self._context

    def _sweep(self) -> None:
        """End what was not used for long, and look again when the next is due."""
        loop = asyncio.get_running_loop()
        due = loop.time() - self._idle_seconds
        for place, idle in list(self._idle.items()):
            while idle and idle[0][0] <= due:
                _, connection = idle.pop(0)
                connection.close()
                self._open.discard(connection)
            if not idle:
                del self._idle[place]
        oldest = min((idle[0][0] for idle in self._idle.values()), default=None)
        self._sweeping = None if oldest is None else loop.call_at(oldest + self._idle_seconds, self._sweep)


def basic_credentials(url: SplitResult) -> str:
    """The value of an Authorization header for the user and password in a URL (RFC 7617); empty without a user."""
    if not url.username:
        return ""
    return "Basic " + b64encode(f"{unquote(url.username)}:{unquote(url.password or '')}".encode()).decode()


_NO_ANSWER = "{host} does not accept the connection: is the address right?"
_PROXY_REFUSED = "The proxy on the way to {host} refused: check HTTPS_PROXY."
_WRONG_CERTIFICATES = "The certificates cannot be read: check SSL_CERT_FILE and SSL_CERT_DIR in the environment."


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
