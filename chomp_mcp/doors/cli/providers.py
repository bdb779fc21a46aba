"""Clients that can be told for good that their models are here: what `install --provider` writes, and where."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from chomp_mcp.doors.cli.clients import CLIENTS, Client
from chomp_mcp.errors import InvalidRequest
from chomp_mcp.settings import Settings

__all__ = ["provider_of"]

TOKEN = "GATEWAY_AUTH_TOKEN"  # noqa: S105 - the variable's name
"""Where a client finds the gateway's token, which no file of a client holds."""


def provider_of(name: str, settings: Settings, model: str) -> Client:
    """The client with the entry that makes the gateway its provider of models, in place of that of the MCP server.

    Raises:
        InvalidRequest: it takes none from a file, or none at all.
    """
    client = CLIENTS[name]
    made = _PROVIDERS.get(name)
    if made is None:
        raise InvalidRequest(
            f"{client.name} takes no provider of models from a file.",
            hint=_INSTEAD.get(name, f"For its tools alone: `chomp-mcp install {name}`."),
        )
    section, shape, use = made
    after = f"It needs the gateway: `chomp-mcp serve`. {use.format(model=model)}"
    if settings.auth_token:
        after += f" It reads {TOKEN} from its own environment."
    entry = shape(f"http://127.0.0.1:{settings.port}/v1", model, bool(settings.auth_token))
    return replace(client, section=section, shape=lambda _command, _env: entry, own=None, after=after)


def _codex(url: str, model: str, has_token: bool) -> dict[str, Any]:  # noqa: ARG001 - the table's signature
    """A `[profiles.…]` beside it would be refused (0.171); the model is named at the start."""
    return {"name": "chomp", "base_url": url, "wire_api": "responses", **({"env_key": TOKEN} if has_token else {})}


def _opencode(url: str, model: str, has_token: bool) -> dict[str, Any]:
    options = {"baseURL": url, "apiKey": f"{{env:{TOKEN}}}" if has_token else "chomp"}
    models = {model: {"name": f"{model} (chomp)"}}
    return {"npm": "@ai-sdk/openai-compatible", "name": "chomp", "options": options, "models": models}


_PROVIDERS: Mapping[str, tuple[str, Callable[[str, str, bool], dict[str, Any]], str]] = {
    "codex": ("model_providers", _codex, "Then: codex -c model_provider=chomp -m {model}"),
    "opencode": ("provider", _opencode, "Then: opencode -m chomp/{model}"),
}
"""Section of the client's file, our entry in it, and how it is used then."""

_INSTEAD: Mapping[str, str] = {
    "claude-code": "Start it on the gateway with `chomp-mcp run claude`.",
    "gemini": "Start it on the gateway with `chomp-mcp run gemini`.",
}
