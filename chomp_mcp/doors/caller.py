"""Who is calling, for code that the transports call without saying so."""

from __future__ import annotations

from contextvars import ContextVar

from chomp_mcp.messages import OWNER, Caller

current_caller: ContextVar[Caller] = ContextVar("chomp_caller", default=OWNER)
"""The caller of the message in hand. Over stdio the owner; over HTTP `doors/auth.py` sets it for every request, and the
SDK's streams carry it from there to the tool, message by message."""
