"""`register_keys`: keys that were given, or a page where the person types one, by whatever way the client knows.

Keys are never asked for in the chat: the specification forbids form elicitation for them. Three ways lead to the page:
a result that asks for input (2026-07-28), a request from the server to the client (2025-11-25), and plain text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anyio
from mcp import MCPError
from mcp.server.mcpserver import Context
from mcp.types import CallToolResult, ElicitRequest, ElicitRequestURLParams, ElicitResult, InputRequiredResult
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from chomp_mcp.app import Chomp
from chomp_mcp.doors.caller import current_caller
from chomp_mcp.doors.mcp.answers import tool_result
from chomp_mcp.doors.mcp.hosts import host_of
from chomp_mcp.doors.pages.key_page import KeyPages
from chomp_mcp.errors import InvalidRequest, NotAllowed

PATIENCE_SECONDS = 25.0
"""How long a call waits for the client and the person together; clients end calls after as little as 30 s."""
INPUT = "page"
NEVER = "Never ask for the key in the chat."


class KeyDesk:
    """Takes keys. `pages` is None where no page may be opened: on an address that others can reach."""

    def __init__(self, chomp: Chomp, pages: KeyPages | None) -> None:
        self._chomp = chomp
        self._pages = pages

    async def given(self, ctx: Context[Any, Any], keys: Mapping[str, str]) -> CallToolResult:
        """Store these keys; `""` removes one."""
        previews = await self._chomp.register_keys(keys, caller=current_caller.get())
        removed = [router for router, key in keys.items() if not key.strip()]
        saved = [router for router in keys if router not in removed]
        sentences = [f"Saved: {', '.join(saved)}."] if saved else []
        sentences += [f"Removed: {', '.join(removed)}."] if removed else []
        return _result(ctx, f"{' '.join(sentences)} {_next(previews)}", routers=previews)

    async def asked(self, ctx: Context[Any, Any], router: str) -> CallToolResult | InputRequiredResult:
        """Have the person type the key of `router` (or of one they choose) on the page."""
        if self._pages is None:
            hint = f"Give the key to POST /api/keys, or run `{_command(router)}` on the server."
            raise NotAllowed("This server is reachable from other machines, so it opens no page for keys.", hint=hint)
        if ctx.request_state:
            answer = (ctx.input_responses or {}).get(INPUT)
            action = answer.action if isinstance(answer, ElicitResult) else "cancel"
            return await self._answered(ctx, self._pages, ctx.request_state, router, action, PATIENCE_SECONDS)
        url = await self._pages.open(current_caller.get(), router, host=(ctx.headers or {}).get("host", ""))
        # The SDK does not look at the client's capability itself before it sends a 2025-11-25 request.
        able = ctx.client_capabilities
        is_modern = ctx.protocol_version in MODERN_PROTOCOL_VERSIONS
        can_ask = host_of(ctx.request_context).reads_input_required if is_modern else ctx.session.can_send_request
        if not can_ask or not able or not able.elicitation or able.elicitation.url is None:
            return await self._pending(url, router)
        message = f"Open this page on your machine to enter {_whose(router)} key. The chat never sees it."
        if is_modern:
            page = ElicitRequest(params=ElicitRequestURLParams(message=message, url=url))
            return InputRequiredResult(input_requests={INPUT: page}, request_state=url)
        gives_up_at = anyio.current_time() + PATIENCE_SECONDS
        try:
            with anyio.fail_after(PATIENCE_SECONDS):
                answered = await ctx.elicit_url(message, url, _nonce(url))
        # Some declare that they open pages, and never answer: claude-code #85442, #94806.
        except (MCPError, TimeoutError):
            return await self._pending(url, router)
        left = max(0.0, gives_up_at - anyio.current_time())
        result = await self._answered(ctx, self._pages, url, router, answered.action, left)
        await ctx.session.send_elicit_complete(_nonce(url), ctx.request_id)
        return result

    async def _answered(
        self, ctx: Context[Any, Any], pages: KeyPages, url: str, router: str, action: str, seconds: float
    ) -> CallToolResult:
        """The person agreed to open the page (and may be typing), or said no."""
        if action != "accept":
            await pages.forget(_nonce(url))
            message = f"The page was not opened. `{_command(router)}` in a terminal does the same."
            return _result(ctx, message, routers=await self._previews())
        saved = await pages.wait(_nonce(url), seconds)
        if not saved:
            return await self._pending(url, router)
        previews = await self._previews()
        return _result(ctx, f"Saved: {saved}. {_next(previews)}", routers=previews)

    async def _pending(self, url: str, router: str) -> CallToolResult:
        message = (
            f"Ask the user to open {url} on this machine and enter {_whose(router)} key there (works once, for ten "
            f"minutes), or to run `{_command(router)}` in a terminal. {NEVER} Once it is saved, list_models shows the "
            "models."
        )
        return tool_result(message, routers=await self._previews(), page_url=url, message=message)

    async def _previews(self) -> dict[str, str]:
        return await self._chomp.keyring.previews(current_caller.get())


def _result(ctx: Context[Any, Any], message: str, **structured: Any) -> CallToolResult:
    """The words stand in the structured content too where the host shows its model nothing else."""
    told = {"message": message} if host_of(ctx.request_context).takes_text_alone else {}
    return tool_result(message, **told, **structured)


def merged(keys: Mapping[str, str], openrouter_key: str) -> dict[str, str]:
    """All keys of one call; `openrouter_key` is the older form.

    Raises:
        InvalidRequest: two different OpenRouter keys.
    """
    if openrouter_key and keys.get("openrouter", openrouter_key) != openrouter_key:
        raise InvalidRequest("keys.openrouter and openrouter_key differ.", hint="Give one of them.", param="keys")
    return {**keys, **({"openrouter": openrouter_key} if openrouter_key else {})}


def _nonce(url: str) -> str:
    return url.rpartition("/")[2]


def _command(router: str) -> str:
    return f"chomp-mcp keys add {router or '<router>'}"


def _whose(router: str) -> str:
    return f"the {router}" if router else "a router's"


def _next(previews: Mapping[str, str]) -> str:
    if not previews:
        return "No router has a key now; register_keys adds one."
    shown = ", ".join(f"{router} {preview}" for router, preview in previews.items())
    return f"Keys: {shown}. list_models shows the models."
