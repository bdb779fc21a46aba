"""What an OpenAI-shaped answer says of its own tokens and its own cost."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from chomp_mcp.dialects.numbers import MOST_COST, dollars, tokens
from chomp_mcp.dialects.values import as_mapping, as_text
from chomp_mcp.messages import Usage


def read_usage(usage: Any, service_tier: Any = None) -> Usage | None:
    """OpenAI's usage object, and what others write into theirs; `service_tier` is what the answer says beside it."""
    if not isinstance(usage, (dict, Mapping)):
        return None
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    asked, answered = tokens(prompt), tokens(completion)
    if (asked is None and prompt is not None) or (answered is None and completion is not None):
        return None  # what nobody can have counted counts for nothing
    if asked is None and answered is None:
        return None  # as `{"prompt_tokens": null}`: the tokens are estimated then, never taken for none
    total, output = tokens(usage.get("total_tokens")), answered or 0
    if total is not None and asked is not None:
        # Some, xAI among them, leave the reasoning out of `completion_tokens` and bill the total (inspect_ai #5528).
        output = max(output, total - asked)
    of_input = as_mapping(usage["prompt_tokens_details"]) if "prompt_tokens_details" in usage else _NO_DETAILS
    of_output = as_mapping(usage["completion_tokens_details"]) if "completion_tokens_details" in usage else _NO_DETAILS
    if (hit := of_input.get("cached_tokens")) is None:
        hit = usage.get("prompt_cache_hit_tokens")  # DeepSeek's name
    if (written := of_input.get("cache_write_tokens", of_input.get("cache_creation_tokens"))) is None:
        written = usage.get("cache_creation_input_tokens")
    thought = of_output.get("reasoning_tokens", usage.get("reasoning_tokens"))
    tier = usage.get("service_tier", service_tier)
    return Usage(
        input_tokens=asked or 0,
        output_tokens=output,
        cached_tokens=(hit and tokens(hit)) or 0,
        cache_write_tokens=(written and tokens(written)) or 0,
        reasoning_tokens=(thought and tokens(thought)) or 0,
        service_tier=as_text(tier),
    )


_NO_DETAILS: Mapping[str, Any] = {}


def read_cost(answer: Mapping[str, Any]) -> Decimal | None:
    """USD as the router tells it: `usage.cost` (OpenRouter), or `cost` of the answer or the last chunk (Zen)."""
    usage = as_mapping(answer.get("usage"))
    told = usage.get("cost")
    if told is None and (told := answer.get("cost")) is None and "is_byok" not in usage:
        return None
    cost = _amount(told)
    if usage.get("is_byok") is not True:
        return cost
    # With a key of one's own behind OpenRouter `cost` is its fee alone, and the provider's bill comes to it
    # (openrouter.ai/docs, BYOK; forgecode #1641).
    upstream = _amount(as_mapping(usage.get("cost_details")).get("upstream_inference_cost"))
    return cost if upstream is None else (cost or Decimal(0)) + upstream


def _amount(value: Any) -> Decimal | None:
    amount = None if value is None else dollars(value, MOST_COST)
    return amount if amount is not None and amount >= 0 else None
