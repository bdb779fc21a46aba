"""Bearer token -> Caller, once, for every HTTP path, MCP included."""

from __future__ import annotations

import base64
import hmac
import ipaddress
from dataclasses import replace
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from chomp_mcp.doors.caller import current_caller
from chomp_mcp.doors.http.asgi import HANG_UP, HEADERS
from chomp_mcp.doors.http.protected_resource import BROWSER_PATHS
from chomp_mcp.doors.http.traffic import SHARE
from chomp_mcp.errors import InvalidSetting, NotAllowed, NotAuthenticated
from chomp_mcp.gateway.admission import Admission
from chomp_mcp.messages import OWNER
from chomp_mcp.settings import Settings
from chomp_mcp.store.keyring import Keyring

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
_KEY_HEADERS = frozenset({b"x-api-key", b"x-goog-api-key"})
CREDENTIALS = _KEY_HEADERS | {b"authorization"}
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
    why = f"GATEWAY_HOST {settings.host!r} is reachable by others, and GATEWAY_AUTH_TOKEN {lacks}."
    hint = f"Set it to a random text of at least {MIN_TOKEN_LENGTH} characters, or bind 127.0.0.1."
    raise InvalidSetting(why, hint=hint)


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
        credential = b"" if CREDENTIALS.isdisjoint(scope[HEADERS]) else self._credential(scope)
        if not credential and path == "/api/keys" and scope["method"] == "POST":
            await self._app(scope, receive, send)
            return
        token = _bare(credential) if credential else b""
        if self._is_owners(token):
            caller = _OWNER
        elif token.startswith(_TOKEN):
            # Found by its hash: no byte of a stored token is ever compared with one that was sent.
            found = await self._keyring.find(token.decode("latin-1"))
            if found is None:
                raise NotAuthenticated("Nobody has this token, or it was revoked.", hint=_HINT)
            caller = replace(found, limited=True)
        elif self._is_open:
            caller = _OWNER  # whatever was sent: OpenAI's SDKs insist on sending something
        else:
            raise NotAuthenticated("The token is wrong." if token else "A token is needed here.", hint=_HINT)
        if caller.doors:
            needed = next((doors for beginnings, doors in _DOORS if path.startswith(beginnings)), set())
            if not needed & set(caller.doors):
                hint = f"It opens: {', '.join(caller.doors)}."
                raise NotAllowed(f"This token does not open {path[:100]}.", hint=hint)
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
        if scope.get("path") in BROWSER_PATHS and shown and shown[0][:6].lower() == b"basic ":
            # All that a browser's own dialog can give (RFC 7617): the token is the password, under any name.
            try:
                shown = [base64.b64decode(shown[0][6:].strip(), validate=True).partition(b":")[2]]
            except ValueError:
                shown = []
        shown += [value.strip() for name, value in headers if name in _KEY_HEADERS][:1]
        ours = (each for each in shown if (token := _bare(each)).startswith(_TOKEN) or self._is_owners(token))
        return next(ours, next(filter(None, shown), b""))

    def _is_owners(self, token: bytes) -> bool:
        """In constant time: how long it takes must not tell how much of a guess is right."""
        return bool(self._owner_token) and hmac.compare_digest(token, self._owner_token)


def _bare(credential: bytes) -> bytes:
    return credential[7:].strip() if credential[:7].lower() == b"bearer " else credential
