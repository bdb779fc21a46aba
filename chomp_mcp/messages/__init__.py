"""The nouns that all layers speak, a file each.

Everything here is plain data: no I/O, no clock. Times are epoch seconds (`_at`, `_until`), durations seconds
(`_seconds`) unless the name ends in `_ms`, money is `Decimal` US dollars (`_usd`).
"""

from __future__ import annotations

from chomp_mcp.messages.answer import MUTE_ENDS, Completion, Delta, ErrorObject, Failed, FailureKind, Usage, text_of
from chomp_mcp.messages.chat_completion import ChatChunk, ChatCompletion
from chomp_mcp.messages.group import ORDERS, Group, Order
from chomp_mcp.messages.job import Job, JobStatus
from chomp_mcp.messages.receipt import Attempt, AttemptView, Receipt, ReceiptView, UsageView, receipt_line
from chomp_mcp.messages.request import (
    MAX_PROMPT_BYTES,
    OWNER,
    Caller,
    ChatRequest,
    Native,
    StandIn,
    Translated,
    WireRequest,
    is_conversation,
    refuse_dry_run,
)
from chomp_mcp.messages.router import AUTO, LOOKING_FOR, NEEDS, Model, Need, Plan, Route, Router

__all__ = [
    "AUTO", "LOOKING_FOR", "MAX_PROMPT_BYTES", "MUTE_ENDS", "NEEDS", "ORDERS", "OWNER", "Attempt", "AttemptView",
    "Caller", "ChatChunk", "ChatCompletion", "ChatRequest", "Completion", "Delta", "ErrorObject", "Failed",
    "FailureKind", "Group", "Job", "JobStatus", "Model", "Native", "Need", "Order", "Plan", "Receipt", "ReceiptView",
    "Route", "Router", "StandIn", "Translated", "Usage", "UsageView", "WireRequest", "is_conversation",
    "receipt_line", "refuse_dry_run", "text_of",
]  # fmt: skip
