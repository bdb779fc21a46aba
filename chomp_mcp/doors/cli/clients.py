"""The MCP clients that `install` knows: where each keeps its configuration, and in what shape."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["CLIENTS", "Client"]


@dataclass(frozen=True, slots=True)
class Client:
    """One client: its configuration file, the object in it that holds the servers, and what its entries add."""

    name: str
    path: Callable[[], Path]
    section: str = "mcpServers"
    extra: Mapping[str, Any] = field(default_factory=dict)
    after: str = "Restart it to see the tools."

    def entry(self, command: Sequence[str], env: Mapping[str, str]) -> dict[str, Any]:
        """The server's object: an absolute command, its arguments, and only what the client would not hand on."""
        return {**self.extra, "command": command[0], "args": list(command[1:]), "env": dict(env)}


def _application(*parts: str) -> Callable[[], Path]:
    """A file in the folder where desktop programs of this system keep their settings."""

    def path() -> Path:
        if sys.platform == "darwin":
            base = Path.home() / "Library" / "Application Support"
        elif os.name == "nt":
            base = Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming")
        else:
            base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
        return base.joinpath(*parts)

    return path


def _home(*parts: str) -> Callable[[], Path]:
    return lambda: Path.home().joinpath(*parts)


def _zed() -> Path:
    """Zed keeps ~/.config on macOS too."""
    if os.name == "nt":
        return _application("Zed", "settings.json")()
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "zed" / "settings.json"


CLIENTS: Mapping[str, Client] = {
    "claude-desktop": Client(
        "Claude Desktop",
        _application("Claude", "claude_desktop_config.json"),
        after="Quit Claude Desktop completely and start it again.",
    ),
    "cursor": Client("Cursor", _home(".cursor", "mcp.json")),
    "vscode": Client("VS Code", _application("Code", "User", "mcp.json"), section="servers", extra={"type": "stdio"}),
    "claude-code": Client("Claude Code", _home(".claude.json"), extra={"type": "stdio"}),
    "windsurf": Client("Windsurf", _home(".codeium", "windsurf", "mcp_config.json")),
    "zed": Client("Zed", _zed, section="context_servers", after="Zed starts it at once."),
    "gemini": Client("Gemini CLI", _home(".gemini", "settings.json")),
}
"""From the clients' own documentation, as of autumn 2026."""
