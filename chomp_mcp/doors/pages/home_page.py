"""The home page: what can be used, what it cost, and what happened, for the owner alone.

It only shows: nothing on it changes anything, so that no other site can make a browser do something here. It is whole
without JavaScript; with it, what is new comes over /events.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from chomp_mcp.app import Chomp
from chomp_mcp.doors.http.asgi import KEEPALIVE_SECONDS, caller_of
from chomp_mcp.doors.pages import frame, home_parts
from chomp_mcp.doors.pages.panel import panel
from chomp_mcp.errors import NotAllowed
from chomp_mcp.messages import OWNER
from chomp_mcp.policy.book import listed_routers
from chomp_mcp.version import version

LOOK_SECONDS = 2.0
STOP_SECONDS = 0.25
"""How soon a stream sees that the server ends."""
LIST_SECONDS = 0.5
"""How long the page waits for model lists that were never read; later ones stand on the next."""
CLIENTS = ("claude-desktop", "claude-code", "cursor", "vscode", "codex", "gemini", "opencode", "zed")


def routes(chomp: Chomp) -> list[Route]:
    """`/` and `/events`."""
    page = _HomePage(chomp)
    return [Route("/", page.show), Route("/events", page.events)]


class _HomePage:
    def __init__(self, chomp: Chomp) -> None:
        self._chomp = chomp

    async def show(self, request: Request) -> Response:
        """GET /: the page."""
        _check_owner(request)
        is_kept = self._chomp.settings.keep_bodies
        book = await self._chomp.books.of(OWNER)
        lists = await self._chomp.models.soon(listed_routers(book), book.keys, LIST_SECONDS)
        found = await self._chomp.priced([model for known in lists.values() if known for model in known.models])
        snippets = home_parts.snippets(self._snippets(frame.address(request)))
        return frame.page(
            "home",
            version=version(),
            now=datetime.now().astimezone().strftime("%H:%M:%S"),
            panel=await panel(self._chomp, OWNER, bodies=True),
            models=home_parts.section("Models", home_parts.models(found)),
            snippets=home_parts.section("Connect a client", snippets),
            kept="what was asked and answered for a day" if is_kept else "no prompt and no answer",
        )

    async def events(self, request: Request) -> Response:
        """GET /events: the page's content whenever it has changed, as an event stream."""
        _check_owner(request)

        async def changes() -> AsyncIterator[str]:
            last, looked_at, spoke_at = "", -LOOK_SECONDS, time.monotonic()
            while not getattr(request.app.state, "stopped_at", None):
                now = time.monotonic()
                if now - looked_at >= LOOK_SECONDS:
                    looked_at, content = now, await panel(self._chomp, OWNER, bodies=True)
                    if content != last:
                        last, spoke_at = content, now
                        lines = "".join(f"data: {line}\n" for line in content.splitlines())
                        yield f"event: panel\n{lines}\n"
                if now - spoke_at > KEEPALIVE_SECONDS:
                    spoke_at = now
                    yield ": still here\n\n"
                await asyncio.sleep(STOP_SECONDS)

        headers = {**frame.HEADERS, "X-Accel-Buffering": "no"}
        return StreamingResponse(changes(), media_type="text/event-stream", headers=headers)

    def _snippets(self, address: str) -> Mapping[str, str]:
        from chomp_mcp.doors.cli import install
        from chomp_mcp.doors.cli.clients import CLIENTS as KNOWN

        settings = self._chomp.settings
        key = "GATEWAY_AUTH_TOKEN" if settings.auth_token else "none"
        served = {
            "OpenAI SDKs and agents": f"OPENAI_BASE_URL={address}/v1\nOPENAI_API_KEY={key}",
            "Claude Code and the Anthropic SDK": f"ANTHROPIC_BASE_URL={address}\nANTHROPIC_AUTH_TOKEN={key}",
            "MCP over HTTP": f'{{"mcpServers": {{"chomp": {{"url": "{address}/mcp"}}}}}}',
            "curl": f"curl {address}/v1/chat/completions -H 'content-type: application/json' \\\n"
            '  -d \'{"model": "auto", "messages": [{"role": "user", "content": "Hello"}]}\'',
        }
        known = {f"{KNOWN[name].name} (or: chomp-mcp install {name})": KNOWN[name] for name in CLIENTS}
        return served | {title: install.snippet(client, settings) for title, client in known.items()}


def _check_owner(request: Request) -> None:
    origin = request.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != request.headers.get("host"):
        raise NotAllowed("This page is for itself alone, whatever CORS_ALLOWED_ORIGINS says.", hint="Open it in a tab.")
    if not caller_of(request.scope).is_owner:
        raise NotAllowed("This page is the owner's.", hint="Use GATEWAY_AUTH_TOKEN; your own spend: /v1/providers.")
