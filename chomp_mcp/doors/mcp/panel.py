"""The home page's panel as an MCP App (`io.modelcontextprotocol/ui`), for hosts that declare that they show those.

The page is a template that a host may keep; what it shows comes with each result of `status`, in `_meta`, where no
model reads it.
"""

from __future__ import annotations

from typing import Any, Final

from mcp.server.apps import Apps, client_supports_apps
from mcp.server.context import ServerRequestContext
from mcp.types import CallToolResult, ListResourcesResult, ListToolsResult

from chomp_mcp.app import Chomp
from chomp_mcp.doors.caller import current_caller
from chomp_mcp.doors.mcp.answers import utf8
from chomp_mcp.doors.pages import frame
from chomp_mcp.doors.pages.panel import panel
from chomp_mcp.version import version

PANEL: Final = "ui://chomp/panel"
_TOOL: Final = "status"


def extension() -> Apps:
    """The page as a resource; it loads nothing and calls nobody but the host."""
    apps = Apps()
    html = frame.filled("panel.html", style=frame.text("home.css"), script=frame.text("panel.js"), version=version())
    apps.add_html_resource(PANEL, html, name="panel", title="chomp", prefers_border=True)
    return apps


def linked(ctx: ServerRequestContext[Any, Any], listed: ListToolsResult) -> ListToolsResult:
    """The tools, for a host that shows apps with the link from `status` to the panel."""
    if client_supports_apps(ctx):
        for tool in listed.tools:
            if tool.name == _TOOL:
                tool.meta = {**(tool.meta or {}), "ui": {"resourceUri": PANEL}}
    return listed


def listed(ctx: ServerRequestContext[Any, Any], found: ListResourcesResult) -> ListResourcesResult:
    """The resources; a host that shows no apps has no use for the panel."""
    if not client_supports_apps(ctx):
        found.resources = [each for each in found.resources if str(each.uri) != PANEL]
    return found


async def with_panel(ctx: ServerRequestContext[Any, Any], chomp: Chomp, result: CallToolResult) -> CallToolResult:
    """The result of `status`, for a host that shows apps with what the panel shows."""
    if not client_supports_apps(ctx):
        return result
    meta = {**(result.meta or {}), "chomp/panel": utf8(await panel(chomp, current_caller.get()))}
    return result.model_copy(update={"meta": meta})
