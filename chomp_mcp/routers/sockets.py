"""Sockets that notice a dead path, and the way through a SOCKS proxy."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Iterable
from typing import Any
from urllib.parse import SplitResult, unquote

from chomp_mcp.messages import FailureKind
from chomp_mcp.routers.dns import Address
from chomp_mcp.routers.response import Unreachable

PROBE_AFTER_SECONDS, PROBE_EVERY_SECONDS, PROBES = 15, 5, 3
"""TCP keepalive: what stands between us and a router forgets silent connections after some minutes."""


def watched_socket(unanswered_seconds: float, info: tuple[Any, ...]) -> socket.socket:
    """A socket for this address, as `getaddrinfo` gives it."""
    made = socket.socket(family=info[0], type=info[1], proto=info[2])
    watch(made, unanswered_seconds)
    return made


def watch(made: socket.socket, unanswered_seconds: float) -> None:
    """Let the system probe the other side while it is silent, and give up what it does not acknowledge in time."""
    options = [(socket.SOL_SOCKET, "SO_KEEPALIVE", 1)]
    options += [(socket.IPPROTO_TCP, name, seconds) for name, seconds in _PROBING.items()]
    options += [(socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", round(unanswered_seconds * 1000))]
    for level, name, value in options:
        if hasattr(socket, name):
            with contextlib.suppress(OSError):  # a kernel that does not know it
                made.setsockopt(level, getattr(socket, name), value)
    if sys.platform == "darwin":
        with contextlib.suppress(OSError):
            made.setsockopt(socket.IPPROTO_TCP, _TCP_RXT_CONNDROPTIME, max(1, round(unanswered_seconds)))


_PROBING = {
    "TCP_KEEPIDLE": PROBE_AFTER_SECONDS,
    "TCP_KEEPALIVE": PROBE_AFTER_SECONDS,  # macOS's name for the same
    "TCP_KEEPINTVL": PROBE_EVERY_SECONDS,
    "TCP_KEEPCNT": PROBES,
}
_TCP_RXT_CONNDROPTIME = 0x80
"""macOS's TCP_USER_TIMEOUT, in seconds; Python has no name for it."""


async def listens(addresses: Iterable[Address], port: int) -> bool:
    """Whether a TCP connection is accepted at one of them."""
    for _, address in addresses:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(address, port)
            writer.transport.abort()
            return True
    return False


async def through_socks(proxy: SplitResult, address: str, place: tuple[str, int], seconds: float) -> socket.socket:
    """A socket to host and port of `place`, through the proxy at `address`, which looks the host up itself."""
    try:
        from python_socks import ProxyType
        from python_socks.async_.asyncio import Proxy
    except ImportError:
        raise Unreachable(FailureKind.TRANSIENT, _NO_SOCKS) from None
    kind = ProxyType.SOCKS5 if proxy.scheme.startswith("socks5") else ProxyType.SOCKS4
    user, password = (unquote(part) if part else None for part in (proxy.username, proxy.password))
    way = Proxy(kind, address, proxy.port or 0, username=user, password=password, rdns=True)
    return await way.connect(*place, timeout=seconds)


_NO_SOCKS = 'A SOCKS proxy needs one more package: pip install "chomp-mcp[socks]".'


def socks_errors() -> tuple[type[Exception], ...]:
    """What `through_socks` may raise; nothing while nobody has used it."""
    if "python_socks" not in sys.modules:
        return ()
    from python_socks import ProxyConnectionError, ProxyError, ProxyTimeoutError

    return ProxyError, ProxyConnectionError, ProxyTimeoutError
