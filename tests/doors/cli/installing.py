"""Where clients keep their files, what stands in an entry, and a file that is there already."""

from __future__ import annotations

import json
import tomllib

import yaml

PLACES = {
    "claude-desktop": (".config/Claude/claude_desktop_config.json", "mcpServers"),
    "claude-code": (".claude.json", "mcpServers"),
    "cursor": (".cursor/mcp.json", "mcpServers"),
    "vscode": (".config/Code/User/mcp.json", "servers"),
    "codex": (".codex/config.toml", "mcp_servers"),
    "gemini": (".gemini/settings.json", "mcpServers"),
    "opencode": (".config/opencode/opencode.json", "mcp"),
    "copilot": (".copilot/mcp-config.json", "mcpServers"),
    "cline": (".cline/data/settings/cline_mcp_settings.json", "mcpServers"),
    "windsurf": (".codeium/windsurf/mcp_config.json", "mcpServers"),
    "zed": (".config/zed/settings.json", "context_servers"),
    "lmstudio": (".lmstudio/mcp.json", "mcpServers"),
    "goose": (".config/goose/config.yaml", "extensions"),
    "continue": (".continue/mcpServers/chomp.json", "mcpServers"),
    "jetbrains": (".junie/mcp/mcp.json", "mcpServers"),
}
MOVED = {
    "CLAUDE_CONFIG_DIR": ("claude-code", ".claude.json"),
    "CODEX_HOME": ("codex", "config.toml"),
    "GEMINI_CLI_HOME": ("gemini", ".gemini/settings.json"),
    "COPILOT_HOME": ("copilot", "mcp-config.json"),
    "OPENCODE_CONFIG_DIR": ("opencode", "opencode.json"),
    "XDG_CONFIG_HOME": ("zed", "zed/settings.json"),
    "CONTINUE_GLOBAL_DIR": ("continue", "mcpServers/chomp.json"),
    "CLINE_DIR": ("cline", "data/settings/cline_mcp_settings.json"),
}


def parsed(path):
    text = path.read_text()
    return {".toml": tomllib.loads, ".yaml": yaml.safe_load}.get(path.suffix, json.loads)(text)


def written(tmp_path, name, text):
    path = tmp_path / PLACES[name][0]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path
