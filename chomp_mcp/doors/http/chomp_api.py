"""/api/*: keys, dispatch, result, jobs, models: the gateway's own API."""

from __future__ import annotations

import math
from collections.abc import Mapping
from difflib import get_close_matches
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from chomp_mcp.app import Chomp
from chomp_mcp.doors.http.asgi import Json, by_method, caller_of, number, read_json, while_connected
from chomp_mcp.doors.http.auth import is_open, may_register
from chomp_mcp.doors.http.chat import list_errors, list_failed
from chomp_mcp.doors.views import ApiModel, api_job, api_model
from chomp_mcp.errors import ChompError, InvalidRequest, NotAllowed, RateLimited
from chomp_mcp.gateway.jobs import MAX_WAIT_SECONDS
from chomp_mcp.messages import OWNER, Caller, ChatRequest
from chomp_mcp.policy.grants import FIELDS
from chomp_mcp.policy.rate_limit import Rate

_MOST_JOBS = 500


def routes(chomp: Chomp) -> list[Route]:
    """The chomp API's part of the route table."""
    keys, jobs, models = _Keys(chomp), _Jobs(chomp), _Models(chomp)
    return [
        by_method("/api/keys", POST=keys.register, GET=keys.show, DELETE=keys.revoke),
        by_method("/api/dispatch", POST=jobs.dispatch),
        by_method("/api/result/{id}", GET=jobs.result, DELETE=jobs.cancel),
        by_method("/api/jobs", GET=jobs.recent),
        by_method("/api/models/free", GET=models.free),
        by_method("/api/models/{router}", GET=models.of_router),
    ]


REGISTRATIONS = Rate(rps=0.5, burst=20)
"""New callers from one address."""


class _Keys:
    def __init__(self, chomp: Chomp) -> None:
        self._chomp = chomp

    async def register(self, request: Request) -> Json:
        """POST /api/keys: a stranger gets a token for these keys, a caller's join those they have."""
        settings = self._chomp.settings
        if "caller" in request.scope.get("state", {}):
            caller = caller_of(request.scope)
            body = await _read_registration(request)
            if body.keys() & set(FIELDS):
                return Json(await self._issue(caller, body))
            routers = await self._chomp.register_keys(_keys_in(body), caller=caller)
            return Json({**await self._view(caller), "routers": routers})
        if not may_register(settings):  # before its body is read, and so is the limit
            raise NotAllowed("New callers are not taken here.", hint="Ask the owner for CHOMP_OPEN_REGISTRATION=1.")
        address = request.client.host if request.client else ""
        if wait := await self._chomp.rates.take(f"address:{address}", REGISTRATIONS):
            hint = f"Wait {math.ceil(wait)} s, or send the token you have."
            raise RateLimited("Too many registrations from this address.", hint=hint, retry_after=wait)
        body = await _read_registration(request)
        if body.keys() & set(FIELDS):
            return Json(await self._issue(OWNER if is_open(settings) else None, body))
        keys = _keys_in(body)
        token, stranger = await self._chomp.keyring.create()
        try:
            await self._chomp.register_keys(keys, caller=stranger)
        except ChompError:
            await self._chomp.keyring.revoke(stranger)  # a token without keys would open nothing
            raise
        return Json({"token": token, **await self._view(stranger)})

    async def _issue(self, caller: Caller | None, body: Mapping[str, Any]) -> dict[str, Any]:
        """The owner's new token, with its limits."""
        if caller is None or not caller.is_owner:
            raise NotAllowed("Only the owner gives tokens limits.", hint="Send GATEWAY_AUTH_TOKEN.")
        has_keys = body.get("keys") is not None or body.get("openrouter_key") is not None
        told = {name: body.get(name) for name in FIELDS}
        token, made = await self._chomp.issue_token(told, _keys_in(body) if has_keys else None)
        return {"token": token, **await self._view(made)}

    async def show(self, request: Request) -> Json:
        """GET /api/keys: masked previews and `created`."""
        return Json(await self._view(caller_of(request.scope)))

    async def _view(self, caller: Caller) -> dict[str, Any]:
        keyring = self._chomp.keyring
        return {"created": await keyring.created_at(caller), "routers": await keyring.previews(caller)}

    async def revoke(self, request: Request) -> Json:
        """DELETE /api/keys: the caller and all that is theirs is gone."""
        await self._chomp.forget(caller_of(request.scope))
        return Json({"deleted": True})


async def _read_registration(request: Request) -> dict[str, Any]:
    """The body; a field that nobody reads is refused, for it may be a limit with a slip in its name."""
    body = await read_json(request.receive)
    known = ("keys", "openrouter_key", *FIELDS)
    for name in body.keys() - {*known}:
        close = get_close_matches(name, known, n=1)
        hint = f"Did you mean {close[0]}?" if close else f"Known: {', '.join(known)}."
        raise InvalidRequest(f"There is no field {name[:40]!r}, and nothing was made.", hint=hint, param=name[:40])
    return body


def _keys_in(body: Mapping[str, Any]) -> dict[str, str]:
    """`{"keys": {router: key}}` and the old `{"openrouter_key": key}`, together if need be."""
    given = {} if body.get("keys") is None else body["keys"]
    old = {} if body.get("openrouter_key") is None else {"openrouter": body["openrouter_key"]}
    if not isinstance(given, dict) or not (keys := {**old, **given}):
        raise InvalidRequest("There are no keys in it.", hint='Send {"keys": {"groq": "gsk_…"}}.', param="keys")
    for router, key in keys.items():
        if not isinstance(key, str):
            raise InvalidRequest(f"The key of {router!r} is not text.", hint="Give it as text.", param="keys")
    return keys


class _Jobs:
    def __init__(self, chomp: Chomp) -> None:
        self._jobs = chomp.jobs

    async def dispatch(self, request: Request) -> Json:
        """POST /api/dispatch: a job that runs on its own; `{"id", "model", "router", "status"}` at once."""
        body = await read_json(request.receive)
        options = body.pop("options", None)
        if not isinstance(options, dict | None):
            raise InvalidRequest("options is not an object.", hint="Give an object, or leave it out.", param="options")
        if not isinstance(body.get("messages"), list | None):
            raise InvalidRequest("messages is not a list.", hint="Give a list of chat messages.", param="messages")
        fields = {**(options or {}), **body}  # all may stand in either place; beside `options` they count first
        words: dict[str, str] = {}
        for name in ("prompt", "model", "router", "system"):
            value = fields.pop(name, None)
            if not isinstance(value, str | None):
                raise InvalidRequest(f"{name} is not text.", hint=f"Give {name} as text.", param=name)
            words[name] = value or ""
        chat = ChatRequest.from_prompt(**words, options=fields)
        prompt, system = words["prompt"], words["system"]
        job = await self._jobs.dispatch(caller_of(request.scope), chat, prompt=prompt, system=system, door="chomp_api")
        return Json({"id": job.id, "model": job.model, "router": job.router, "status": job.status.value})

    async def result(self, request: Request) -> Json:
        """GET /api/result/{id}: the job, once it ended or after `?wait=` seconds (at most 45)."""
        seconds = number(request.query_params.get("wait"), "wait", default=0, most=MAX_WAIT_SECONDS)
        ask = partial(self._jobs.result, caller_of(request.scope), request.path_params["id"], seconds)
        return Json(api_job(await while_connected(request.scope, request.receive, ask) if seconds else await ask()))

    async def cancel(self, request: Request) -> Json:
        """DELETE /api/result/{id}: stop it; the text so far stays."""
        job = await self._jobs.cancel(caller_of(request.scope), request.path_params["id"])
        return Json(api_job(job))

    async def recent(self, request: Request) -> Json:
        """GET /api/jobs: the newest first."""
        limit = int(number(request.query_params.get("limit"), "limit", default=50, most=_MOST_JOBS))
        jobs = await self._jobs.recent(caller_of(request.scope), limit) if limit else []
        return Json([api_job(job) for job in jobs])


class _Models:
    def __init__(self, chomp: Chomp) -> None:
        self._chomp = chomp

    async def of_router(self, request: Request) -> Json:
        """GET /api/models/{router}: its models, ids as the router writes them."""
        router = request.path_params["router"]
        page = await self._chomp.list_models(router, limit=None, caller=caller_of(request.scope))
        if page.errors and not page.models:
            raise list_failed(router, page)
        return Json(_listed(router, [api_model(model, model.id) for model in page.models]))

    async def free(self, request: Request) -> Json:
        """GET /api/models/free: every keyed router's free models, ids as `router/model`."""
        page = await self._chomp.list_models(free_only=True, limit=None, caller=caller_of(request.scope))
        listed = _listed("free", [api_model(model, model.ref) for model in page.models])
        return Json({**listed, **list_errors(page)})


def _listed(router: str, models: list[ApiModel]) -> dict[str, Any]:
    return {"router": router, "count": len(models), "models": models}
