"""/v1/chat, /v1/chat/stream, /v1/providers, /healthz, /readyz, /metrics: a small API for agents."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

import anyio
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from chomp_mcp import wire
from chomp_mcp.app import Chomp
from chomp_mcp.dialects.openai.collect import Folder
from chomp_mcp.doors.http.asgi import Json, caller_of, read_json, server_sent, shutting_down
from chomp_mcp.doors.http.chat import chat_request, openai_usage
from chomp_mcp.doors.http.exchange import Call, Words, exchanged
from chomp_mcp.errors import ChompError, InvalidRequest, NotAllowed, Overloaded, StoreError
from chomp_mcp.messages import OWNER, Completion, Delta, Receipt
from chomp_mcp.store.proof import PROOF_PATH
from chomp_mcp.telemetry.calls import Calls
from chomp_mcp.telemetry.metrics import CONTENT_TYPE

_READY_SECONDS = 2.0
"""How long the store may take to answer."""

_CHALLENGE = re.compile("[0-9a-f]{32,128}")

_log = logging.getLogger("chomp_mcp.http")


def routes(chomp: Chomp) -> list[Route]:
    """The gateway API's part of the route table."""
    views = _Views(chomp)
    return [
        Route("/v1/chat", _Chat(chomp), methods=["POST"]),
        Route("/v1/chat/stream", _Chat(chomp, stream=True), methods=["POST"]),
        Route("/v1/providers", views.providers),
        Route("/healthz", views.healthz),
        Route("/readyz", views.readyz),
        Route(PROOF_PATH, views.proof),
        Route("/metrics", views.metrics),
    ]


class _Chat(Call):
    """POST /v1/chat and /v1/chat/stream; `stream: true` in the body of the first means the second."""

    def __init__(self, chomp: Chomp, *, stream: bool | None = None) -> None:
        super().__init__(chomp)
        self._stream_always = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_json(receive)
        agent = body.pop("agent_id", None)
        if not isinstance(agent, str | None):
            raise InvalidRequest("agent_id is not text.", hint="Name the agent, or leave it out.", param="agent_id")
        request = chat_request(body, stream=self._stream_always, session=agent or "")
        await exchanged(self._gateway, request, _PlainWords(), scope, receive, send)


class _PlainWords(Words):
    """`content`, `model` and `provider`; the last event of a stream, broken off or not, is `{"done": true}`."""

    door = "gateway_api"

    def __init__(self) -> None:
        self._folder = Folder()

    def _served(self) -> dict[str, str]:
        return {"model": self.route.model, "provider": self.route.router.id}

    def whole(self, completion: Completion, receipt: Receipt) -> bytes:
        return wire.dumps({"content": completion.text, **self._served(), "usage": openai_usage(receipt.usage)})

    def frames(self, batch: Sequence[Delta]) -> bytes:
        text = self._folder.add(batch)
        return server_sent({"content": text, **self._served()}) if text else b""

    def end(self, receipt: Receipt) -> bytes:  # noqa: ARG002
        rest = self._folder.rest()
        last = server_sent({"content": rest, **self._served()}) if rest else b""
        return last + server_sent({"done": True, **self._served()})

    def failure(self, error: ChompError) -> bytes:
        return server_sent(error.envelope()) + server_sent({"done": True, **self._served()})


class _Views:
    def __init__(self, chomp: Chomp) -> None:
        self._chomp = chomp
        self._metrics = chomp.metrics
        self._calls = Calls()
        chomp.observers.add(self._calls)

    async def proof(self, request: Request) -> Response:
        """GET /.well-known/chomp-gateway?challenge=: that we are who reads this store, to whoever can read it, too."""
        challenge = request.query_params.get("challenge", "")
        if not _CHALLENGE.fullmatch(challenge):
            raise InvalidRequest("challenge is not 32 to 128 hexadecimal digits.", param="challenge")
        host, port = request.scope["server"]
        return PlainTextResponse(await self._chomp.proof.of(challenge, host, port))

    async def healthz(self, _request: Request) -> Json:
        """GET /healthz: the process answers; needs no token and tells nothing else."""
        return Json({"status": "ok"})

    async def readyz(self, request: Request) -> Json:
        """GET /readyz: 503 while the store cannot be reached, or the server ends; needs no token."""
        if getattr(request.app.state, "stopped_at", None):
            raise shutting_down()
        try:
            with anyio.fail_after(_READY_SECONDS):
                await self._chomp.keyring.created_at(OWNER)
                await self._chomp.ledger.spent(OWNER.id)
        except (StoreError, TimeoutError) as error:
            _log.error("not ready: %s", error)
            raise Overloaded("The store cannot be reached.", hint="The log tells more.", retry_after=1.0) from None
        return Json({"status": "ready"})

    async def metrics(self, request: Request) -> Response:
        """GET /metrics: Prometheus text, of all callers together and so for the owner only."""
        if not caller_of(request.scope).is_owner:
            hint = "Use GATEWAY_AUTH_TOKEN; your own spend: /v1/providers."
            raise NotAllowed("The metrics are the owner's.", hint=hint)
        text = self._metrics.render(await self._chomp.metrics_snapshot())
        return Response(text, headers={"content-type": CONTENT_TYPE})

    async def providers(self, request: Request) -> Json:
        """GET /v1/providers: calls and health per router, and the caller's spend against the budgets."""
        caller = caller_of(request.scope)
        status, calls = await self._chomp.status(caller), self._calls.of(caller)
        spend = status["spend"]
        day, month = spend["daily_budget_usd"], spend["monthly_budget_usd"]
        cost = {
            "daily_spend_usd": float(spend["today_usd"]),
            "daily_budget_usd": None if day is None else float(day),  # None: no limit
            "monthly_spend_usd": float(spend["month_usd"]),
            "monthly_budget_usd": None if month is None else float(month),
            **({"trouble": status["trouble"]} if "trouble" in status else {}),
        }
        return Json({**calls.totals(), "providers": calls.beside(status["routers"]), "cost": cost})
