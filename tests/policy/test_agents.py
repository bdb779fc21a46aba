"""What an agent's own model names stand for."""

from __future__ import annotations

import pytest

from chomp_mcp.messages import StandIn
from chomp_mcp.policy.agents import stand_in, without_prefix

TIERS = {"claude": {"opus": "groq/large", "haiku": "groq/small"}}


@pytest.mark.parametrize("name", ["claude-opus-5-5", "claude-3-opus-20240229", "Claude-OPUS-9", "opus"])
def test_a_tier_is_found_in_the_name(name):
    assert stand_in("claude", name, TIERS, "auto") == StandIn("groq/large", "[agents.claude] opus", is_chosen=True)


@pytest.mark.parametrize("name", ["claude-sonnet-5-5", "claude-next", "anthropic.claude-v9:0"])
def test_other_names_of_the_agent_stand_for_the_default(name):
    assert stand_in("claude", name, TIERS, "zen/auto") == StandIn("zen/auto", "CHOMP_AGENT_MODEL")


@pytest.mark.parametrize("name", ["auto", "gpt-oss-120b", "groq/claude-opus-5-5", "claudette", "lab/opus", "gpt-5"])
def test_a_persons_own_choice_stands_for_itself(name):
    assert stand_in("claude", name, TIERS, "auto") is None


def test_codex_asks_for_openais_models():
    assert stand_in("codex", "gpt-5.5-codex", TIERS, "auto") == StandIn("auto", "CHOMP_AGENT_MODEL")
    assert stand_in("codex", "o4-mini", {"codex": {"mini": "m"}}, "auto").ref == "m"


def test_the_prefix_for_pickers_is_no_part_of_the_ref():
    assert without_prefix("claude-via-chomp/groq/openai/gpt-oss-120b") == "groq/openai/gpt-oss-120b"
    assert without_prefix("groq/claude-via-chomp/x") == "groq/claude-via-chomp/x"
