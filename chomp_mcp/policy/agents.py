"""What an agent's own model names stand for: Claude Code asks for Claude's models, Codex for OpenAI's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from chomp_mcp.messages import StandIn

VIA_CHOMP: Final = "claude-via-chomp/"
"""Before a ref where a program shows and takes nothing but Claude's names: its picker wants `claude` or `anthropic`."""

_OWN_NAMES: Mapping[str, re.Pattern[str]] = {
    "claude": re.compile(r"(claude|anthropic|opus|sonnet|haiku)\b", re.IGNORECASE),
    "codex": re.compile(r"(gpt|codex|o\d)\b", re.IGNORECASE),
    "gemini": re.compile(r"(gemini|gemma)\b", re.IGNORECASE),
}
"""How the names begin that an agent asks for by itself; any other is a person's choice."""


def without_prefix(model: str) -> str:
    """The ref behind `claude-via-chomp/`."""
    return model.removeprefix(VIA_CHOMP)


def stand_in(agent: str, model: str, tiers: Mapping[str, Mapping[str, str]], default: str) -> StandIn | None:
    """What to ask for in place of the agent's own model name; None for a name of ours.

    Args:
        agent: `claude`, `codex` or `gemini`.
        model: a bare name, or a ref.
        tiers: `[agents.<agent>]` of the settings: a word of the model's name -> a ref.
        default: `CHOMP_AGENT_MODEL`, for a name that no router of the caller lists.
    """
    if not _OWN_NAMES[agent].match(model) or "/" in model:
        return None
    for tier, ref in tiers.get(agent, {}).items():
        if tier.lower() in model.lower():
            return StandIn(ref, f"[agents.{agent}] {tier}", is_chosen=True)
    return StandIn(default, "CHOMP_AGENT_MODEL")
