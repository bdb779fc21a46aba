"""The models' list in the shape that Codex reads: a catalogue that tells windows and kinds of tools.

Source: `ModelsResponse` and `ModelInfo` of openai/codex, codex-rs/protocol/src/openai_models.rs (November 2026). It
asks with `?client_version=` and takes its own defaults for what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from chomp_mcp.messages import Model

_EFFORTS = ("low", "medium", "high")
_INSTRUCTIONS = (
    "You are Codex, a coding agent in the user's terminal. Read before you edit. Edit files with apply_patch and run "
    "what shows that the change works. Change nothing that was not asked for. End with a few plain sentences on what "
    "you did and what you saw."
)
"""It refuses a model that brings none."""
_LONGEST_TOOL_OUTPUT = 10_000
"""Tokens of a tool's output that Codex keeps, as for its own models."""


def catalogue(models: Sequence[Model], name_of: Callable[[Model], str]) -> dict[str, Any]:
    """`{"models": […]}`, in the order of our list; `name_of` tells a model's router."""
    entries = [
        {
            "slug": model.ref,
            "display_name": model.name or model.id,
            "description": f"{model.id} of {name_of(model)}, through chomp-mcp",
            "supported_reasoning_levels": [{"effort": effort, "description": effort} for effort in _EFFORTS],
            "shell_type": "unified_exec",
            "visibility": "list",
            "supported_in_api": True,
            "priority": place,
            "base_instructions": _INSTRUCTIONS,
            "support_verbosity": False,
            # Freeform tools are translated for every router, so that no model is left without its editor.
            "apply_patch_tool_type": "freeform",
            "truncation_policy": {"mode": "tokens", "limit": _LONGEST_TOOL_OUTPUT},
            "experimental_supported_tools": [],
            **({"context_window": model.context_length} if model.context_length else {}),
        }
        for place, model in enumerate(models)
    ]
    return {"models": entries}
