"""How agents are told where models are: a table of their variables and flags, for one run."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from chomp_mcp.doors.cli.launch import command
from chomp_mcp.messages import Model
from chomp_mcp.policy.agents import VIA_CHOMP

TOKEN = "CHOMP_RUN_TOKEN"  # noqa: S105 - the variable's name
"""Where an agent finds the token, that no process list shows it."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run: where the gateway is, what it takes as token, and which model answers."""

    url: str
    """Without a path."""
    token: str = field(repr=False)
    model: str
    """A ref."""
    listed: Model | None
    """What is known of it."""
    mcp_over_http: bool = False
    """chomp's tools are the gateway's own: a server that the agent starts would lack the keys that are withheld."""

    @property
    def context(self) -> int | None:
        return self.listed.context_length if self.listed else None

    @property
    def output(self) -> int | None:
        return self.listed.max_output if self.listed else None


@dataclass(frozen=True, slots=True)
class Setup:
    """What the program gets."""

    environment: Mapping[str, str]
    arguments: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    """Variables that would speak against it."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Agent:
    """A program that can be pointed at a gateway."""

    program: str
    install: str
    setup: Callable[[Run], Setup]


def _claude(run: Run) -> Setup:
    """Claude Code takes an id that it does not know for one of a million tokens, unless it is told."""
    model = VIA_CHOMP + run.model
    tiers = (f"ANTHROPIC_DEFAULT_{tier}_MODEL" for tier in ("OPUS", "SONNET", "HAIKU"))
    entry: dict[str, object] = {"command": command()[0], "args": command()[1:]}
    if run.mcp_over_http:
        # A variable of its own: it never expands its own credentials towards a server elsewhere.
        bearer = {"Authorization": f"Bearer ${{{TOKEN}}}"}
        entry = {"type": "http", "url": f"{run.url}/mcp", "headers": bearer}
    server = {"mcpServers": {"chomp": entry}}
    limits = {"CLAUDE_CODE_MAX_CONTEXT_TOKENS": run.context, "CLAUDE_CODE_MAX_OUTPUT_TOKENS": run.output}
    return Setup(
        {
            "ANTHROPIC_BASE_URL": run.url,
            "ANTHROPIC_AUTH_TOKEN": run.token,
            **({TOKEN: run.token} if run.mcp_over_http else {}),
            **dict.fromkeys(("ANTHROPIC_MODEL", "CLAUDE_CODE_SUBAGENT_MODEL", *tiers), model),
            "CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY": "1",
            **{name: str(value) for name, value in limits.items() if value},
        },
        (f"--mcp-config={json.dumps(server)}",),
        without=("ANTHROPIC_API_KEY",),
    )


def _codex(run: Run) -> Setup:
    """A headless Codex (0.171) waits for no server that is not required, and nobody is there to approve a call."""
    provider = {"name": "chomp", "base_url": f"{run.url}/v1", "env_key": TOKEN, "wire_api": "responses"}
    server: dict[str, object] = {"command": command()[0], "args": command()[1:]}
    if run.mcp_over_http:
        server = {"url": f"{run.url}/mcp", "bearer_token_env_var": TOKEN}
    server |= {"required": True, "default_tools_approval_mode": "approve"}
    settings: dict[str, object] = {
        "model": run.model,
        "model_provider": "chomp",
        **{f"model_providers.chomp.{name}": value for name, value in provider.items()},
        **{f"mcp_servers.chomp.{name}": value for name, value in server.items()},
        **({"model_context_window": run.context} if run.context else {}),
    }
    # JSON's texts, numbers, booleans and lists are TOML's.
    flags = [part for name, value in settings.items() for part in ("-c", f"{name}={json.dumps(value)}")]
    return Setup({TOKEN: run.token}, tuple(flags))


def _opencode(run: Run) -> Setup:
    limit = {"limit": {"context": run.context, "output": run.output or 8192}} if run.context else {}
    model = {"name": f"{run.model} (chomp)", **limit}
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "chomp",
        "options": {"baseURL": f"{run.url}/v1", "apiKey": f"{{env:{TOKEN}}}"},
        "models": {run.model: model},
    }
    server: dict[str, object] = {"type": "local", "command": command()}
    if run.mcp_over_http:
        bearer = {"Authorization": f"Bearer {{env:{TOKEN}}}"}
        server = {"type": "remote", "url": f"{run.url}/mcp", "headers": bearer, "oauth": False}
    config = {
        "provider": {"chomp": provider},
        "model": f"chomp/{run.model}",
        "small_model": f"chomp/{run.model}",
        "mcp": {"chomp": {**server, "enabled": True}},
    }
    return Setup({TOKEN: run.token, "OPENCODE_CONFIG_CONTENT": json.dumps(config)})


_NO_MCP = "{} takes MCP servers from its settings file alone: {}."
_QWEN = "`chomp-mcp install gemini --print` shows what belongs into ~/.qwen/settings.json"


def _gemini(run: Run) -> Setup:
    """With a base URL of its usual API, Gemini CLI wants a choice in its settings file; with one of Vertex, none."""
    return Setup(
        {"GOOGLE_GENAI_USE_VERTEXAI": "true", "GOOGLE_VERTEX_BASE_URL": run.url, "GOOGLE_API_KEY": run.token},
        ("--model", f"publishers/google/models/{run.model}"),
        without=("GOOGLE_GEMINI_BASE_URL", "GEMINI_API_KEY", "GOOGLE_GENAI_USE_GCA", "GOOGLE_CLOUD_PROJECT"),
        notes=(_NO_MCP.format("Gemini CLI", "`chomp-mcp install gemini` adds chomp there"),),
    )


# fmt: off
AGENTS: Mapping[str, Agent] = {
    "claude": Agent("claude", "Try: npm install -g @anthropic-ai/claude-code", _claude),
    "codex": Agent("codex", "Try: npm install -g @openai/codex", _codex),
    "opencode": Agent("opencode", "Try: npm install -g opencode-ai", _opencode),
    "qwen": Agent("qwen", "Try: npm install -g @qwen-code/qwen-code", lambda run: Setup(
        {"OPENAI_BASE_URL": f"{run.url}/v1", "OPENAI_API_KEY": run.token, "OPENAI_MODEL": run.model},
        ("--auth-type", "openai", "--model", run.model), notes=(_NO_MCP.format("Qwen Code", _QWEN),))),
    "gemini": Agent("gemini", "Try: npm install -g @google/gemini-cli", _gemini),
    "aider": Agent("aider", "Try: uv tool install aider-chat", lambda run: Setup(
        {"OPENAI_API_BASE": f"{run.url}/v1", "OPENAI_API_KEY": run.token, "AIDER_MODEL": f"openai/{run.model}",
         "AIDER_WEAK_MODEL": f"openai/{run.model}", "AIDER_SHOW_MODEL_WARNINGS": "false"},
        notes=("aider has no MCP.",))),
}
# fmt: on
