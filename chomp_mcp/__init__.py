"""chomp_mcp: every model behind your own router keys, through one local gateway.

`async with Chomp() as chomp: await chomp.ask("…", model="groq/auto")`. The names load on first use, so that importing
the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chomp_mcp.app import Answer, Chomp
    from chomp_mcp.client import ChompClient
    from chomp_mcp.errors import ChompError, LimitError, RequestError, StoreError, UpstreamError
    from chomp_mcp.gateway.model_pages import ModelPage
    from chomp_mcp.gateway.status import StatusView
    from chomp_mcp.messages import (
        AttemptView,
        Caller,
        ChatChunk,
        ChatCompletion,
        Job,
        JobStatus,
        Model,
        Receipt,
        ReceiptView,
        Router,
        Usage,
        UsageView,
    )
    from chomp_mcp.settings import Settings

__all__ = [
    "Answer",
    "AttemptView",
    "Caller",
    "ChatChunk",
    "ChatCompletion",
    "Chomp",
    "ChompClient",
    "ChompError",
    "Job",
    "JobStatus",
    "LimitError",
    "Model",
    "ModelPage",
    "Receipt",
    "ReceiptView",
    "RequestError",
    "Router",
    "Settings",
    "StatusView",
    "StoreError",
    "UpstreamError",
    "Usage",
    "UsageView",
]

_HOMES = {
    **dict.fromkeys(("Answer", "Chomp"), "app"),
    **dict.fromkeys(("ChompError", "LimitError", "RequestError", "StoreError", "UpstreamError"), "errors"),
    "ChompClient": "client",
    "ModelPage": "gateway.model_pages",
    "Settings": "settings",
    "StatusView": "gateway.status",
}
"""Where each name is, if not in `messages`."""


if not TYPE_CHECKING:  # else a checker would take every name for one of ours

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'messages')}"), name)
