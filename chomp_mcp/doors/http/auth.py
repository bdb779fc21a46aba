"""Bearer token -> Caller, once, for every HTTP path, MCP included."""

from __future__ import annotations

import base64
import hmac
import ipaddress
from dataclasses import replace
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from chomp_mcp.doors.caller import current_caller
from chomp_mcp.doors.http.asgi import HANG_UP
from chomp_mcp.doors.http.protected_resource import BROWSER_PATHS
from chomp_mcp.doors.http.traffic import SHARE
from chomp_mcp.errors import InvalidSetting, NotAllowed, NotAuthenticated
from chomp_mcp.gateway.admission import Admission
from chomp_mcp.messages import OWNER, Caller
from chomp_mcp.settings import Settings
from chomp_mcp.store.keyring import Keyring

__all__ = [
    "HEALTH_PATHS",
    "OPEN_PREFIXES",
    "Authentication",
    "check_bind",
    "is_loopback",
    "is_open",
    "may_register",
]

HEALTH_PATHS: Final = ("/healthz", "/readyz")
OPEN_PREFIXES: Final = (*HEALTH_PATHS, "/keys/", "/.well-known/")
"""Paths without a token: health, the key page, which carries its own one-time secret, and what RFC 8615 holds."""
_NOT_THERE: Final = frozenset({"/register", "/authorize", "/token"})
"""Where MCP clients look for OAuth: 404 tells them that there is none, 401 that it refused them."""
MIN_TOKEN_LENGTH: Final = 16
_BUSY_PREFIXES: Final = ("/v1/", "/api/dispatch")
"""Whose POSTs the rate limit counts."""

_DOORS: Final = (
    (("/mcp", "/sse", "/messages/"), {"mcp"}),
    (("/v1/messages",), {"anthropic"}),
    (("/v1beta",), {"gemini"}),
    (("/v1/models",), {"openai", "anthropic", "gemini"}),
    (("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses"), {"openai"}),
    (("/api/", "/v1/chat", "/v1/providers"), {"api"}),
)
"""Beginnings of paths, and the doors (policy/grants.py) of which a token needs one there; the first that fits counts.

A path that is in no row is for tokens that open every door.
"""

_OWNER = replace(OWNER, limited=True)
_TOKEN = b"chomp_"
"""The prefix of the tokens that POST /api/keys gives."""

_HINT = "Send Authorization: Bearer <token>: GATEWAY_AUTH_TOKEN, or a token that POST /api/keys gave."


def is_loopback(host: str) -> bool:
    """This machine only. An empty host binds everything."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_bind(settings: Settings) -> None:
    """Refuse to listen beyond this machine for anybody who comes along.

    Raises:
        InvalidSetting: another bind than loopback without GATEWAY_AUTH_TOKEN, or with one that can be guessed.
    """
    if is_loopback(settings.host) or len(settings.auth_token) >= MIN_TOKEN_LENGTH:
        return
    lacks = f"has only {len(settings.auth_token)} characters" if settings.auth_token else "is not set"
    raise InvalidSetting(
        f"GATEWAY_HOST {settings.host!r} is reachable by others, and GATEWAY_AUTH_TOKEN {lacks}.",
        hint=f"Set it to a random text of at least {MIN_TOKEN_LENGTH} characters, or bind 127.0.0.1.",
    )


def is_open(settings: Settings) -> bool:
    """No token is due: whoever comes is the owner."""
    return not settings.auth_token and is_loopback(settings.host)


def may_register(settings: Settings) -> bool:
    """Strangers get a token of their own: on this machine, or where the owner opened the door."""
    return settings.open_registration or is_loopback(settings.host)


class Authentication:
    """Pure ASGI: tells the app the caller in `scope["state"]["caller"]` and in `current_caller`.

    A POST to /api/keys without a token passes with no caller in the scope: it is somebody who registers.
    """

    def __init__(self, app: ASGIApp, settings: Settings, keyring: Keyring, admission: Admission) -> None:
        self._app = app
        self._admission = admission
        self._keyring = keyring
        self._owner_token = settings.auth_token.encode()
        self._is_open = is_open(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http" or path.startswith(OPEN_PREFIXES) or path in _NOT_THERE:
            await self._app(scope, receive, send)
            return
        credential = self._credential(scope)
        if not credential and path == "/api/keys" and scope["method"] == "POST":
            await self._app(scope, receive, send)
            return
        caller = await self._identify(credential)
        if caller.doors:
            _check_door(path, caller)
        scope.setdefault("state", {})["caller"] = caller
        scope[SHARE].belongs_to(caller)
        if HANG_UP not in scope and scope["method"] == "POST" and path.startswith(_BUSY_PREFIXES):
            self._admission.refuse_early(caller)  # its body is still on its way, and need not be read
        before = current_caller.set(caller)
        try:
            await self._app(scope, receive, send)
        finally:
            current_caller.reset(before)

    def _credential(self, scope: Scope) -> bytes:
        """`Authorization`, or Anthropic's and Google's own headers. Claude Code may send two: ours counts."""
        headers = scope["headers"]
        shown = [value.strip() for name, value in headers if name == b"authorization"][:1]
        if scope.get("path") in BROWSER_PATHS:
            shown = [_password(value) for value in shown]
        shown += [value.strip() for name, value in headers if name in _KEY_HEADERS][:1]
        return next((each for each in shown if self._is_ours(_bare(each))), next(filter(None, shown), b""))

    def _is_ours(self, token: bytes) -> bool:
        return token.startswith(_TOKEN) or bool(self._owner_token and hmac.compare_digest(token, self._owner_token))

    async def _identify(self, credential: bytes) -> Caller:
        """The caller, or NotAuthenticated. Stored tokens are found by their hash, so their bytes are never compared."""
        token = _bare(credential)
        # In constant time: how long it takes must not tell how much of a guess is right.
        if self._owner_token and hmac.compare_digest(token, self._owner_token):
            return _OWNER
        if token.startswith(_TOKEN):
            caller = await self._keyring.find(token.decode("latin-1"))
            if caller is None:
                raise NotAuthenticated("Nobody has this token, or it was revoked.", hint=_HINT)
            return replace(caller, limited=True)
        if self._is_open:
            return _OWNER
        raise NotAuthenticated("The token is wrong." if token else "A token is needed here.", hint=_HINT)


_KEY_HEADERS = frozenset({b"x-api-key", b"x-goog-api-key"})


def _check_door(path: str, caller: Caller) -> None:
    needed = next((doors for beginnings, doors in _DOORS if path.startswith(beginnings)), set())
    if not needed & set(caller.doors):
        raise NotAllowed(f"This token does not open {path[:100]}.", hint=f"It opens: {', '.join(caller.doors)}.")


def _password(credential: bytes) -> bytes:
    """The password of Basic credentials (RFC 7617), all that a browser's own dialog can give; else as it is."""
    if credential[:6].lower() != b"basic ":
        return credential
    try:
        return base64.b64decode(credential[6:].strip(), validate=True).partition(b":")[2]
    except ValueError:
        return b""


def _bare(credential: bytes) -> bytes:
    return credential[7:].strip() if credential[:7].lower() == b"bearer " else credential
