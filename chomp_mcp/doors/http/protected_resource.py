"""What a client may read of a protected /mcp before it has a token: RFC 9728, section 3."""

from __future__ import annotations

from typing import Final

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import Scope

from chomp_mcp.settings import Settings

_METADATA = "/.well-known/oauth-protected-resource"
_RESOURCES = ("/mcp", "/sse", "/messages")
BROWSER_PATHS: Final = frozenset({"/", "/events", "/docs", "/openapi.json"})
"""What a person opens in a browser, which asks them for a password: the token is that, under any name."""


def challenge(scope: Scope | None) -> str:
    """The value of WWW-Authenticate in a 401: for a path of MCP it says where the metadata is."""
    path = "" if scope is None else str(scope.get("path", ""))
    resource = next((each for each in _RESOURCES if path == each or path.startswith(f"{each}/")), None)
    if path in BROWSER_PATHS:
        return 'Basic realm="chomp", charset="UTF-8"'
    if scope is None or resource is None:
        return "Bearer"
    return f'Bearer resource_metadata="{_origin(scope)}{_METADATA}{resource}"'


def routes(settings: Settings) -> list[Route]:
    """The metadata, where a token is due; it names no authorization server, for tokens are given out by hand."""

    async def metadata(request: Request) -> JSONResponse:
        if not settings.auth_token:
            raise HTTPException(404)
        resource = request.path_params.get("resource", "mcp")
        return JSONResponse(
            {
                "resource": f"{_origin(request.scope)}/{resource}",
                "resource_name": "chomp",
                "bearer_methods_supported": ["header"],
            }
        )

    return [Route(_METADATA, metadata), Route(f"{_METADATA}/{{resource:path}}", metadata)]


def _origin(scope: Scope) -> str:
    """How the client reached us: by its own word and, where a proxy ends TLS, the proxy's. It goes back to it alone."""
    headers = Headers(scope=scope)
    forwarded = headers.get("x-forwarded-proto", "")
    scheme = forwarded if forwarded in {"http", "https"} else str(scope.get("scheme", "http"))
    host = "".join(each for each in headers.get("host", "localhost") if each.isalnum() or each in ".-:[]")
    return f"{scheme}://{host}"
