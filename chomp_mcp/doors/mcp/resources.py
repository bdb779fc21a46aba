"""What a host may read beside the tools: routers, models, jobs and spend, as JSON."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError

from chomp_mcp import wire
from chomp_mcp.app import Chomp
from chomp_mcp.doors.caller import current_caller
from chomp_mcp.doors.mcp.answers import utf8
from chomp_mcp.doors.views import job_view, model_view, whole_job
from chomp_mcp.errors import ChompError, RequestError

JSON = "application/json"

P = ParamSpec("P")


def add_resources(server: MCPServer[Any], chomp: Chomp) -> None:
    """`chomp://routers`, `models/{router}`, `jobs`, `jobs/{job_id}` and `usage`; a caller reads only their own."""

    @server.resource("chomp://routers", title="Routers", mime_type=JSON)
    @_as_json
    async def routers() -> Any:
        """Every router: whether it has a key, where to get one, what auto prefers."""
        keys, book = await chomp.keyring.previews(current_caller.get()), await chomp.books.of(current_caller.get())
        return [
            {
                "id": router.id,
                "name": router.name,
                "key": keys.get(router.id),
                "needs_key": router.needs_key,
                "keys_page": router.keys_page,
                "models": [model for model in router.models if book.grant.allows("", f"{router.id}/{model}")],
                "deprecated": router.deprecated,
                "limits": router.limits,
            }
            for router in chomp.routers.values()
            if book.shows(router.id)
        ]

    @server.resource("chomp://models/{router}", title="A router's models", mime_type=JSON)
    @_as_json
    async def models(router: str) -> Any:
        """All models of one router, or of all keyed ones for `auto`, with prices per million tokens."""
        page = await chomp.list_models(router, limit=None, caller=current_caller.get())
        return {"models": [model_view(model) for model in page.models], "errors": page.errors}

    @server.resource("chomp://jobs", title="Recent jobs", mime_type=JSON)
    @_as_json
    async def jobs() -> Any:
        """The newest 50 jobs, without their texts."""
        return [job_view(job) for job in await chomp.jobs.recent(current_caller.get(), 50)]

    @server.resource("chomp://jobs/{job_id}", title="A job", mime_type=JSON)
    @_as_json
    async def job(job_id: str) -> Any:
        """One job whole: prompt, answer or error, receipt."""
        return whole_job(await chomp.result(job_id, caller=current_caller.get()))

    @server.resource("chomp://usage", title="Spend", mime_type=JSON)
    @_as_json
    async def usage() -> Any:
        """What today and this month have cost, against the budgets."""
        return (await chomp.status(current_caller.get()))["spend"]


def _as_json(read: Callable[P, Awaitable[Any]]) -> Callable[P, Awaitable[str]]:
    """JSON text; our errors in the words that reach the client."""

    @functools.wraps(read)
    async def as_json(*args: P.args, **kwargs: P.kwargs) -> str:
        try:
            return wire.dumps(utf8(await read(*args, **kwargs))).decode()
        except RequestError as error:
            raise ResourceNotFoundError(str(error)) from error
        except ChompError as error:
            raise ResourceError(str(error)) from error

    return as_json
