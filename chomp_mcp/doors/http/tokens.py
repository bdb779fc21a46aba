"""/api/tokens: the owner's list of what others may, as `chomp-mcp tokens` has it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.routing import Route

from chomp_mcp.app import Chomp
from chomp_mcp.doors.http.asgi import Json, by_method, caller_of
from chomp_mcp.doors.views import SHOWN_ID, token_view
from chomp_mcp.errors import InvalidRequest, NotAllowed
from chomp_mcp.messages import Caller


def routes(chomp: Chomp) -> list[Route]:
    """The tokens' part of the route table; POST /api/keys makes them."""
    tokens = _Tokens(chomp)
    return [
        by_method("/api/tokens", GET=tokens.list),
        by_method("/api/tokens/{name}", DELETE=tokens.revoke),
        by_method("/api/tokens/{name}/rotate", POST=tokens.rotate),
    ]


class _Tokens:
    def __init__(self, chomp: Chomp) -> None:
        self._chomp = chomp

    async def list(self, request: Request) -> Json:
        """GET /api/tokens: what each may, and when it was last seen; never what it is."""
        _check_owner(request)
        return Json({"tokens": [token_view(token) for token in await self._chomp.keyring.tokens()]})

    async def revoke(self, request: Request) -> Json:
        """DELETE /api/tokens/{name}: the token opens nothing more, and what is its caller's is gone."""
        caller = await self._named(request)
        await self._chomp.forget(caller)
        return Json({"revoked": caller.id[:SHOWN_ID]})

    async def rotate(self, request: Request) -> Json:
        """POST /api/tokens/{name}/rotate: another token for the same caller, told this once."""
        caller = await self._named(request)
        token = await self._chomp.keyring.rotate(caller)
        if token is None:
            raise InvalidRequest("The token was revoked meanwhile.", hint="Make one: POST /api/keys.")
        return Json({"token": token, "id": caller.id[:SHOWN_ID]})

    async def _named(self, request: Request) -> Caller:
        _check_owner(request)
        try:
            return await self._chomp.keyring.named(request.path_params["name"])
        except InvalidRequest as error:
            error.status, error.code = 404, "not_found"
            raise


def _check_owner(request: Request) -> None:
    if not caller_of(request.scope).is_owner:
        raise NotAllowed("The tokens are the owner's.", hint="Use GATEWAY_AUTH_TOKEN; your own keys: /api/keys.")
