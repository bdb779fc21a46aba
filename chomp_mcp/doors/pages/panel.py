"""What changes while somebody looks: spend, routers, requests and jobs as HTML, for the home page and the MCP App."""

from __future__ import annotations

from chomp_mcp.app import Chomp
from chomp_mcp.doors.pages import home_parts
from chomp_mcp.messages import Caller

EXCHANGES = 30


async def panel(chomp: Chomp, caller: Caller, *, bodies: bool = False) -> str:
    """The owner sees everybody's requests, anyone else their own; `bodies`: with their texts, where those are kept."""
    status, previews = await chomp.status(caller), await chomp.keyring.previews(caller)
    recent = [] if "trouble" in status else await chomp.receipts.recent(EXCHANGES, caller, bodies=bodies)
    under_way = len(chomp.gateway.under_way) if caller.is_owner else None
    sections = {
        "Routers": home_parts.routers(status["routers"], previews),
        "Requests": home_parts.exchanges(recent),
        "Jobs": home_parts.jobs(status),
    }
    head = (home_parts.trouble(status), home_parts.spend(status["spend"], under_way))
    return "\n".join([*head, *(home_parts.section(title, content) for title, content in sections.items())])
