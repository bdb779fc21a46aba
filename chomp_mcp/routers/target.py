"""Where a request goes and what stands in its head: the URL taken apart, the headers checked, the proxy on the way."""

from __future__ import annotations

import ipaddress
import re
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import SplitResult, quote, unquote, urlsplit

from chomp_mcp.messages import FailureKind, WireRequest
from chomp_mcp.routers.response import Unreachable
from chomp_mcp.version import version

PORTS = {"http": 80, "https": 443}


class Target(NamedTuple):
    """A router's URL: `url` is quoted and without the user, whose `credentials` are a header's value."""

    scheme: str
    host: str
    port: int
    name: str
    """As a host header has it, and as errors call it: the port only where it is not the usual one."""
    url: str
    credentials: str


def target_of(url: str) -> Target:
    """`Unreachable` for what is no http or https URL."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna").decode()
        port = parts.port or PORTS[parts.scheme]
    except (ValueError, KeyError):
        host = ""
    if not host:
        shown = url.partition("://")[2].partition("/")[0].rpartition("@")[2] or "the router"
        raise Unreachable(FailureKind.TRANSIENT, f"The URL of {shown} is not an http or https URL: correct it.")
    name = f"[{host}]" if ":" in host else host
    name += "" if port == PORTS[parts.scheme] else f":{port}"
    path = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe=_UNQUOTED)
    return Target(parts.scheme, host, port, name, f"{parts.scheme}://{name}{path}", basic_credentials(parts))


_UNQUOTED = "%/?:@!$&'()*+,;=-._~"
"""What may stand in a path and a query (RFC 3986, 3.3 and 3.4), and the sign of what is quoted already."""


def head(request: WireRequest, target: Target, path: str, more: Mapping[str, str]) -> bytes:
    """The request's line and headers (RFC 9112), names in lower case. `Unreachable` for one that cannot be sent.

    Lists are large and worth packing; a packed stream may wait in somebody's buffer.
    """
    packing = "identity" if request.body else "gzip"
    lines = _lines(target, packing, tuple(more.items()), tuple(request.headers.items()))
    if request.body or request.method != "GET":
        lines += f"content-length: {len(request.body)}\r\n"
    return f"{request.method} {path} HTTP/1.1\r\n{lines}\r\n".encode()


_Pairs = tuple[tuple[str, str], ...]


@lru_cache(maxsize=1024)
def _lines(target: Target, packing: str, more: _Pairs, given: _Pairs) -> str:
    """The headers, checked: the same for nearly all requests with one key."""
    headers = {
        "host": target.name,
        "user-agent": f"chomp-mcp/{version()}",
        "accept": "*/*",
        "accept-encoding": packing,
        **dict(more),
    }
    if target.credentials:
        headers["authorization"] = target.credentials
    headers |= {name.lower(): value for name, value in given}
    if not _FRAMING.isdisjoint(headers) or not _can_stand("".join(headers), "".join(headers.values())):
        for name, value in headers.items():
            if name in _FRAMING or not _can_stand(name, value):
                if name in _KEY_HEADERS:
                    unfit = "The key has characters that no header can carry: replace it."
                    raise Unreachable(FailureKind.BAD_KEY, unfit)
                wrong = f"The header {name} cannot be sent like that: correct it in the router's row."
                raise Unreachable(FailureKind.TRANSIENT, wrong)
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()])


def _can_stand(name: str, value: str) -> bool:
    """A token (RFC 9110, 5.6.2) and what may follow one; of several at once, joined, as well."""
    return value.isascii() and value.isprintable() and _TOKEN.fullmatch(name) is not None


_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
_FRAMING = frozenset({"", "connection", "content-length", "transfer-encoding"})
"""Those that say where a request ends; and what is no name."""
_KEY_HEADERS = frozenset({"authorization", "x-api-key"})
"""Where dialects put keys; what is wrong with any other header is not the key's fault."""


def proxy_from_environment(target: Target) -> SplitResult | None:
    """The proxy that HTTP(S)_PROXY or ALL_PROXY name for this host; never one on the way to this machine itself.

    NO_PROXY lists names with all that is below them, addresses, networks (10.0.0.0/8), each with or without a port,
    or `*`. SOCKS proxies look names up themselves, however their scheme is written.
    """
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    url = proxies.get(target.scheme) or proxies.get("all")
    is_local = target.host in {"localhost", "::1"} or target.host.startswith("127.")
    if not url or is_local:
        return None
    with suppress(ValueError):  # a name is in no network
        address = ipaddress.ip_address(target.host)
        for entry in proxies.get("no", "").split(","):
            with suppress(ValueError):  # nor is every entry one
                if address in ipaddress.ip_network(entry.strip().strip("[]"), strict=False):
                    return None
    if proxy_bypass(target.host) or proxy_bypass(f"{target.host}:{target.port}"):
        return None
    try:
        proxy = urlsplit(url if "://" in url else f"http://{url}")
        known = proxy.scheme in _PROXY_PORTS and bool(proxy.hostname) and (proxy.port or True)
    except ValueError:
        known = False
    if not known:
        raise Unreachable(FailureKind.TRANSIENT, _WRONG_PROXY)
    port = proxy.port or _PROXY_PORTS[proxy.scheme]
    user, at, _ = proxy.netloc.rpartition("@")
    host = f"[{proxy.hostname}]" if ":" in (proxy.hostname or "") else proxy.hostname
    return proxy._replace(netloc=f"{user}{at}{host}:{port}", path="", query="", fragment="")


_PROXY_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080, "socks4": 1080, "socks4a": 1080}
_WRONG_PROXY = (
    "Only http://, https://, socks5:// and socks4:// proxies work: check HTTP_PROXY, HTTPS_PROXY and ALL_PROXY."
)


def basic_credentials(url: SplitResult) -> str:
    """The value of an Authorization header for the user and password in a URL (RFC 7617); empty without a user."""
    if not url.username:
        return ""
    return "Basic " + b64encode(f"{unquote(url.username)}:{unquote(url.password or '')}".encode()).decode()
