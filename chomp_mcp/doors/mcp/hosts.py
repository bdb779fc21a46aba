"""The programs that run MCP clients: what each shows its model of a result, and how long a call may take there.

Matched on `clientInfo.name`, which a session tells once (2025) and a stateless client with every request (2026-07-28);
where neither is there, on the User-Agent. What is not in the table gets text and structure, as the specification says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from math import inf
from typing import Any

from mcp.server.context import ServerRequestContext
from mcp_types import CLIENT_INFO_META_KEY


class Shows(Enum):
    """What of a result that has text and structured content reaches the model."""

    TEXT = "text"
    STRUCTURE = "structure"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Host:
    """One host; `names` are beginnings of its client's name, in lower case with hyphens for blanks."""

    names: tuple[str, ...] = ()
    shows: Shows = Shows.TEXT
    ask_seconds: float = inf
    """The longest that `ask` waits there, where that is less than CHOMP_DEADLINE_SECONDS."""
    reads_input_required: bool = True
    """Understands a result that asks for input (2026-07-28), where it declares that it can give it."""

    @property
    def takes_text_alone(self) -> bool:
        """Escaped JSON would stand where the answer belongs, or the answer would be paid for twice."""
        return self.shows is not Shows.TEXT


HOSTS = (
    # Shows JSON.stringify(structuredContent) alone: claude-code #79944, #55677.
    Host(("claude-code",), Shows.STRUCTURE),
    Host(("codex",), Shows.STRUCTURE),
    # Structure first: vscode #290063.
    Host(("visual-studio-code", "vscode", "vscodium", "code---oss"), Shows.STRUCTURE),
    # One name for Copilot's CLI (text and JSON) and its JetBrains plugin, which ends calls after 30 s.
    Host(("github-copilot", "copilot"), Shows.BOTH, ask_seconds=25.0, reads_input_required=False),
    Host(("qwen",), Shows.BOTH),
    # The whole result as JSON.
    Host(("cline", "@cline"), Shows.BOTH),
    Host(("claude-ai", "cursor", "gemini-cli", "opencode", "continue", "goose", "zed", "windsurf"), Shows.TEXT),
)
UNKNOWN = Host()


def host_of(ctx: ServerRequestContext[Any, Any]) -> Host:
    """The host behind this message."""
    # A stateless request's own envelope comes first: the SDK reads it only beside well-formed capabilities.
    envelope = (ctx.params or {}).get("_meta")
    info = envelope.get(CLIENT_INFO_META_KEY) if isinstance(envelope, Mapping) else None
    name = info.get("name") if isinstance(info, Mapping) else None
    if not isinstance(name, str):
        session = ctx.session.client_params
        name = session.client_info.name if session else ""
    headers = getattr(ctx.request, "headers", None) or {}
    return host_named(name or str(headers.get("user-agent", "")))


@lru_cache(maxsize=256)
def host_named(name: str) -> Host:
    """The table's row for a client's name."""
    plain = name.strip().lower().replace(" ", "-").replace("_", "-")
    return next((host for host in HOSTS if plain.startswith(host.names)), UNKNOWN)
