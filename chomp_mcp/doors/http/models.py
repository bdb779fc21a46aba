"""GET /v1/models, /v1/models/{id}: every model that the caller can use, in OpenAI's shape, Anthropic's or Codex'."""

from __future__ import annotations

import difflib

from starlette.requests import Request
from starlette.routing import Route

from chomp_mcp.app import Chomp
from chomp_mcp.doors.http import anthropic_models, codex_models
from chomp_mcp.doors.http.asgi import Json, caller_of
from chomp_mcp.doors.http.chat import list_errors, list_failed
from chomp_mcp.doors.views import openai_model
from chomp_mcp.errors import UnknownModel
from chomp_mcp.gateway.model_pages import ModelPage
from chomp_mcp.messages import AUTO, LOOKING_FOR, Model
from chomp_mcp.policy.agents import without_prefix


def routes(chomp: Chomp) -> list[Route]:
    """The models' part of the route table."""
    models = _Models(chomp)
    return [Route("/v1/models", models.list), Route("/v1/models/{id:path}", models.one)]


class _Models:
    def __init__(self, chomp: Chomp) -> None:
        self._chomp = chomp

    async def list(self, request: Request) -> Json:
        """GET /v1/models: every keyed router's models, or those of `?router=`; routers that failed are in `errors`."""
        if LOOKING_FOR in request.headers:  # a gateway, perhaps this one: it would wait for itself
            raise UnknownModel(f"No {request.headers[LOOKING_FOR][:100]!r} is here: this is a chomp gateway.")
        router = request.query_params.get("router") or AUTO
        page = await self._chomp.list_models(router, limit=None, caller=caller_of(request.scope))
        models = (*page.groups, *page.models)
        if _is_for_anthropic(request):
            entries = [anthropic_models.entry(model, self._name(model)) for model in models]
            shown = anthropic_models.page(entries, request.query_params)
            return Json({**shown, **list_errors(page)})
        # Codex names itself in `originator`, and asks with `?client_version=`.
        if request.headers.get("originator", "").startswith("codex") or "client_version" in request.query_params:
            return Json(codex_models.catalogue(models, self._name))
        rows = [openai_model(model, page.known_by.get(model.ref)) for model in models]
        return Json({"object": "list", "data": rows, **list_errors(page)})

    def _name(self, model: Model) -> str:
        return self._chomp.routers[model.router].name if model.router else "group"

    async def one(self, request: Request) -> Json:
        """GET /v1/models/{id}: `router/model`, or a model's own id as its router lists it."""
        wanted, caller = without_prefix(request.path_params["id"]), caller_of(request.scope)
        known = _by_name(await self._chomp.list_models(limit=None, caller=caller))
        router = wanted.partition("/")[0]
        if wanted not in known and router in self._chomp.routers:  # one that is in no `auto` list, or has failed there
            page = await self._chomp.list_models(router, limit=None, caller=caller)
            if page.errors and not page.models:
                raise list_failed(router, page)
            known = _by_name(page) | known
        if wanted in known and _is_for_anthropic(request):
            return Json(anthropic_models.entry(known[wanted], self._name(known[wanted])))
        if wanted in known:
            return Json(openai_model(known[wanted]))
        close = difflib.get_close_matches(wanted, known, n=3)
        hint = f"Did you mean {', '.join(close)}?" if close else "GET /v1/models lists them."
        raise UnknownModel(f"No model {wanted[:200]!r} is listed.", hint=hint, did_you_mean=close)


def _is_for_anthropic(request: Request) -> bool:
    """Asked by a program that speaks Anthropic's API, which has the same path."""
    return "anthropic-version" in request.headers


def _by_name(page: ModelPage) -> dict[str, Model]:
    """By ref, and by the id that the router itself uses."""
    named = {model.id: model for model in reversed(page.models)} | {model.ref: model for model in page.models}
    return named | {group.ref: group for group in page.groups}
