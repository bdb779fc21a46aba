"""Clients that can be told for good that their models are here: what `install --provider` writes, and where."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from chomp_mcp.doors.cli.clients import CLIENTS, NAME, Client
from chomp_mcp.doors.cli.desktop import profile, profile_file
from chomp_mcp.errors import InvalidRequest
from chomp_mcp.settings import Settings

TOKEN = "GATEWAY_AUTH_TOKEN"  # noqa: S105 - the variable's name
"""Where a client finds the gateway's token, which no file of a client holds."""


def provider_of(name: str, settings: Settings, model: str) -> Client:
    """The client with the entry that makes the gateway its provider of models, in place of that of the MCP server.

    Raises:
        InvalidRequest: it takes none from a file, or none at all.
    """
    client = CLIENTS[name]
    if name == DESKTOP:
        entry = profile(f"http://127.0.0.1:{settings.port}", model, has_token=bool(settings.auth_token))
        return replace(client, path=profile_file, section="", shape=lambda _command, _env: entry, after=_DESKTOP_USE)
    made = _PROVIDERS.get(name)
    if made is None:
        hint = _INSTEAD.get(name, f"For its tools alone: `chomp-mcp install {name}`.")
        raise InvalidRequest(f"{client.name} takes no provider of models from a file.", hint=hint)
    after = f"It needs the gateway: `chomp-mcp serve`. {made.use.format(model=model)}"
    if settings.auth_token:
        after += f" {made.token}"
    entry = made.shape(f"http://127.0.0.1:{settings.port}/v1", model, bool(settings.auth_token))
    client = replace(client, section=made.section, shape=lambda _command, _env: entry, own=None, after=after)
    if made.file is None:
        return client
    beside = client.path().with_name(made.file)
    return replace(client, path=lambda: beside, project="")


def _vscode(url: str, model: str, has_token: bool) -> dict[str, Any]:
    """A Custom Endpoint of its chat (1.122 and later). It needs figures: small ones are safe with every model."""
    listed = {
        "id": model,
        "name": f"{model} (chomp)",
        "url": f"{url}/chat/completions",
        "toolCalling": True,
        "vision": True,
        "maxInputTokens": 128_000,
        "maxOutputTokens": 16_000,
    }
    key = "${input:chomp-gateway-token}" if has_token else "chomp"
    head = {"name": NAME, "vendor": "customendpoint", "apiKey": key, "apiType": "chat-completions"}
    return {**head, "models": [listed]}


@dataclass(frozen=True, slots=True)
class _Provider:
    """What makes the gateway a client's provider of models."""

    section: str
    """Of the client's file; empty: the file is an array."""
    shape: Callable[[str, str, bool], dict[str, Any]]
    """Base URL, model and whether there is a token -> our entry."""
    use: str
    """What a person does then."""
    file: str | None = None
    """Beside the file of its MCP servers; None: that file itself."""
    token: str = f"It reads {TOKEN} from its own environment."


# fmt: off
_PROVIDERS: Mapping[str, _Provider] = {
    "codex": _Provider("model_providers",
        # A `[profiles.…]` beside it would be refused (0.171); the model is named at the start.
        lambda url, _model, has_token: {"name": "chomp", "base_url": url, "wire_api": "responses",
                                        **({"env_key": TOKEN} if has_token else {})},
        "Then: codex -c model_provider=chomp -m {model}"),
    "opencode": _Provider("provider",
        lambda url, model, has_token: {
            "npm": "@ai-sdk/openai-compatible", "name": "chomp",
            "options": {"baseURL": url, "apiKey": f"{{env:{TOKEN}}}" if has_token else "chomp"},
            "models": {model: {"name": f"{model} (chomp)"}}},
        "Then: opencode -m chomp/{model}"),
    "vscode": _Provider("", _vscode,
        "Then pick {model} (chomp) in the chat's model picker; correct the two limits where you know better.",
        "chatLanguageModels.json", f"It asks for the key once: give it {TOKEN}."),
}
# fmt: on

DESKTOP = "claude-desktop"
"""Its provider is a file of its own in a library of them, not an entry in one: see desktop.py."""
_DESKTOP_USE = (
    "It needs the gateway: `chomp-mcp serve`. Then: Developer, Configure third-party inference, and pick chomp. With a "
    f"token ({TOKEN}) enter it there as the gateway's key."
)

_INSTEAD: Mapping[str, str] = {
    "claude-code": "Start it on the gateway with `chomp-mcp run claude`.",
    "gemini": "Start it on the gateway with `chomp-mcp run gemini`.",
}
