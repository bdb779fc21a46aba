"""The MCP clients that `install` knows: where each keeps its configuration, in what shape, and its own command."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from chomp_mcp.errors import InvalidRequest

NAME = "chomp"
"""What our entry is called, everywhere."""
Entry = Mapping[str, Any]


def _plain(command: Sequence[str], env: Mapping[str, str], **more: Any) -> dict[str, Any]:
    return {**more, "command": command[0], "args": list(command[1:]), "env": dict(env)}


@dataclass(frozen=True, slots=True)
class Launch:
    """How an entry starts the server; of an entry for a server that runs elsewhere only `url`."""

    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    url: str = ""


@dataclass(frozen=True, slots=True)
class HostCommand:
    """The client's own way to add a server, which knows better than we do what else has to be written.

    `add` gives its arguments for an entry and a scope (`user` or `project`), or None where it cannot say that entry.
    """

    program: str
    add: Callable[[Entry, str], list[str] | None]
    remove: Callable[[str], list[str]]
    scopes: tuple[str, ...] = ("user",)
    keeps_fields: bool = False
    """It takes an entry with fields of the owner's; the others forget them."""


@dataclass(frozen=True, slots=True)
class Client:
    """One client: its files, the object in them that holds the servers, and the shape of an entry."""

    name: str
    path: Callable[[], Path]
    project: str = ""
    """Its file in a project's folder; empty: it has none."""
    form: str = "jsonc"
    section: str = "mcpServers"
    shape: Callable[[Sequence[str], Mapping[str, str]], dict[str, Any]] = _plain
    own: HostCommand | None = None
    marks: tuple[Callable[[], Path], ...] = ()
    """Any of them is there where the client is installed; without one, the folder of its file."""
    after: str = "Restart it to see the tools."

    def file(self, *, project: bool = False) -> Path:
        """The file to edit: the user's, or that of the project in the working directory.

        Raises:
            InvalidRequest: the client knows no configuration per project.
        """
        if not project:
            return self.path()
        if not self.project:
            raise InvalidRequest(f"{self.name} has no configuration per project.", hint="Leave out --project.")
        return Path.cwd() / self.project

    def is_installed(self) -> bool:
        """Its program is on the PATH, or it has left something on this machine."""
        if self.own and shutil.which(self.own.program):
            return True
        return any(mark().exists() for mark in self.marks or (lambda: self.path().parent,))


def launch_of(entry: Any) -> Launch | None:
    """What an entry of any client starts; None where it is none."""
    if not isinstance(entry, Mapping):
        return None
    first = entry.get("command", entry.get("cmd"))
    words = [*first] if isinstance(first, list) else [first, *(entry.get("args") or ())] if first else []
    given: Mapping[str, Any] = next(
        (entry[name] for name in ("env", "environment", "envs") if isinstance(entry.get(name), Mapping)), {}
    )
    url = next((entry[name] for name in ("httpUrl", "url", "serverUrl", "uri") if entry.get(name)), "")
    if not words and not url:
        return None
    env = {str(name): str(value) for name, value in given.items()}
    return Launch(tuple(map(str, words)), env, "" if words else str(url))


def _below(variable: str, folder: str, *parts: str) -> Callable[[], Path]:
    """A file in a folder of the home, or in the one that the variable names instead of it."""

    def path() -> Path:
        named = os.environ.get(variable, "").strip()
        return (Path(named).expanduser() if named else _home() / folder).joinpath(*parts)

    return path


def _in_home(*parts: str) -> Callable[[], Path]:
    return lambda: _home().joinpath(*parts)


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:
        raise InvalidRequest("This user has no home folder.", hint="Set HOME, or use --project or --print.") from None


def _config() -> Path:
    """Where programs of the XDG kind keep their settings, on macOS too."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or _home() / ".config")


def _roaming() -> Path:
    return Path(os.environ.get("APPDATA") or _home() / "AppData" / "Roaming")


def application(*parts: str) -> Callable[[], Path]:
    """A file in the folder where desktop programs of this system keep their settings."""

    def path() -> Path:
        if sys.platform == "darwin":
            return (_home() / "Library" / "Application Support").joinpath(*parts)
        return (_roaming() if os.name == "nt" else _config()).joinpath(*parts)

    return path


def _xdg(windows: tuple[str, ...], *parts: str) -> Callable[[], Path]:
    """A file below ~/.config on Linux and macOS; on Windows below the roaming folder, by another name."""
    return lambda: _roaming().joinpath(*windows) if os.name == "nt" else _config().joinpath(*parts)


def _claude_desktop() -> Path:
    """Windows keeps the files of a packaged build (MSIX) in the package's own folder (claude-code #34359, #78226)."""
    if os.name == "nt":
        local = Path(os.environ.get("LOCALAPPDATA") or _home() / "AppData" / "Local")
        for package in sorted((local / "Packages").glob("Claude_*")):
            return package / "LocalCache" / "Roaming" / "Claude" / "claude_desktop_config.json"
    return application("Claude", "claude_desktop_config.json")()


def _vscode() -> Path:
    portable = os.environ.get("VSCODE_PORTABLE", "")
    return Path(portable, "user-data", "User", "mcp.json") if portable else application("Code", "User", "mcp.json")()


_claude_code = _below("CLAUDE_CONFIG_DIR", "", ".claude.json")
"""CLAUDE_CONFIG_DIR holds .claude.json too, which is beside ~/.claude otherwise."""


def _opencode() -> Path:
    """The file that OPENCODE_CONFIG names, else the one that is there of the two names."""
    if named := os.environ.get("OPENCODE_CONFIG", "").strip():
        return Path(named).expanduser()
    folder = Path(os.environ.get("OPENCODE_CONFIG_DIR") or _config() / "opencode")
    commented = folder / "opencode.jsonc"
    return commented if commented.exists() else folder / "opencode.json"


def _cline() -> Path:
    """The extension's file where only the extension is there, else that of the program, which newer ones share."""
    if named := os.environ.get("CLINE_MCP_SETTINGS_PATH", "").strip():
        return Path(named).expanduser()
    shared = _below("CLINE_DIR", ".cline", "data", "settings", "cline_mcp_settings.json")()
    extension = _vscode().parent.joinpath("globalStorage", "saoudrizwan.claude-dev", "settings", shared.name)
    return extension if extension.parent.is_dir() and not shared.exists() else shared


def _lmstudio() -> Path:
    """Its home may have been moved; a file beside it says where to (~/.lmstudio-home-pointer)."""
    try:
        folder = Path((_home() / ".lmstudio-home-pointer").read_text(encoding="utf-8").strip())
    except (OSError, ValueError):
        folder = _home() / ".lmstudio"
    return folder / "mcp.json"


def _variables(entry: Entry, option: str, joined: str = " ") -> list[str]:
    pairs = [f"{name}={value}" for name, value in (entry.get("env") or {}).items()]
    return [word for pair in pairs for word in ((option, pair) if joined == " " else (f"{option}{joined}{pair}",))]


def _words(entry: Entry) -> list[str]:
    return [entry["command"], *entry.get("args", ())]


CLAUDE = HostCommand(
    "claude",
    lambda entry, scope: ["mcp", "add-json", "-s", scope, NAME, json.dumps(entry)],
    lambda scope: ["mcp", "remove", "-s", scope, NAME],
    scopes=("user", "project"),
    keeps_fields=True,
)
CODEX, COPILOT = (
    HostCommand(
        program,
        lambda entry, _scope: ["mcp", "add", NAME, *_variables(entry, "--env"), "--", *_words(entry)],
        lambda _scope: ["mcp", "remove", NAME],
    )
    for program in ("codex", "copilot")
)
GEMINI = HostCommand(
    "gemini",
    # its parser would take arguments that begin with a dash for its own
    lambda entry, scope: (
        None
        if any(word.startswith("-") for word in _words(entry))
        else ["mcp", "add", "-s", scope, *_variables(entry, "-e", "="), NAME, *_words(entry)]
    ),
    lambda scope: ["mcp", "remove", "-s", scope, NAME],
    scopes=("user", "project"),
)

# fmt: off
CLIENTS: Mapping[str, Client] = {
    "claude-desktop": Client("Claude Desktop", _claude_desktop,
        after="Quit Claude Desktop completely and start it again."),
    "claude-code": Client("Claude Code", _claude_code, ".mcp.json", shape=partial(_plain, type="stdio"), own=CLAUDE,
        marks=(_claude_code, _below("CLAUDE_CONFIG_DIR", ".claude"))),
    "cursor": Client("Cursor", _in_home(".cursor", "mcp.json"), ".cursor/mcp.json"),
    "vscode": Client("VS Code", _vscode, ".vscode/mcp.json", section="servers", shape=partial(_plain, type="stdio")),
    "codex": Client("Codex", _below("CODEX_HOME", ".codex", "config.toml"), ".codex/config.toml",
        form="toml", section="mcp_servers", own=CODEX),
    "gemini": Client("Gemini CLI", _below("GEMINI_CLI_HOME", "", ".gemini", "settings.json"), ".gemini/settings.json",
        own=GEMINI),
    "opencode": Client("OpenCode", _opencode, "opencode.json", section="mcp",
        shape=lambda command, env: {"type": "local", "command": list(command), "environment": dict(env)}),
    "copilot": Client("Copilot CLI", _below("COPILOT_HOME", ".copilot", "mcp-config.json"), ".mcp.json",
        shape=lambda command, env: {**_plain(command, env, type="local"), "tools": ["*"]}, own=COPILOT),
    "cline": Client("Cline", _cline),
    "windsurf": Client("Windsurf", _in_home(".codeium", "windsurf", "mcp_config.json")),
    "zed": Client("Zed", _xdg(("Zed", "settings.json"), "zed", "settings.json"), ".zed/settings.json",
        section="context_servers", after="Zed starts it at once."),
    "lmstudio": Client("LM Studio", _lmstudio),
    "goose": Client("Goose", _xdg(("Block", "goose", "config", "config.yaml"), "goose", "config.yaml"),
        form="yaml", section="extensions",
        shape=lambda command, env: {"name": NAME, "type": "stdio", "enabled": True, "cmd": command[0],
                                    "args": list(command[1:]), "envs": dict(env), "timeout": 300}),
    "continue": Client("Continue", _below("CONTINUE_GLOBAL_DIR", ".continue", "mcpServers", "chomp.json"),
        ".continue/mcpServers/chomp.json", marks=(_below("CONTINUE_GLOBAL_DIR", ".continue"),)),
    "jetbrains": Client("JetBrains (Junie)", _in_home(".junie", "mcp", "mcp.json"), ".junie/mcp/mcp.json",
        marks=(_in_home(".junie"), application("JetBrains")),
        after="Junie reads it at its next start. AI Assistant's settings take what `install jetbrains --print` says."),
}
# fmt: on
"""From the clients' own documentation and sources, as of November 2026."""
