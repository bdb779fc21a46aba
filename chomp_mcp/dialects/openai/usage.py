"""What an OpenAI-shaped answer says of its own tokens and its own cost."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from chomp_mcp.dialects.numbers import MOST_COST, dollars, tokens
from chomp_mcp.messages import Usage

__all__ = ["read_cost", "read_usage"]


def read_usage(usage: Any, service_tier: Any = None) -> Usage | None:
    """OpenAI's usage object, and what others write into theirs.

    None where it counts nothing that can be meant, as `{"prompt_tokens": null}`: then the tokens are estimated, never
    taken for none. `service_tier` is what the answer says beside it.
    """
    if not isinstance(usage, Mapping):
        return None
    asked, answered = tokens(usage.get("prompt_tokens")), tokens(usage.get("completion_tokens"))
    if any(count is None and usage.get(name) is not None for name, count in _counted(usage)):
        return None  # what nobody can have counted counts for nothing
    if asked is None and answered is None:
        return None
    given, said = _details(usage, "prompt_tokens_details"), _details(usage, "completion_tokens_details")
    hit = given.get("cached_tokens")
    written = given.get("cache_write_tokens", given.get("cache_creation_tokens"))
    tier = usage.get("service_tier", service_tier)
    return Usage(
        input_tokens=asked or 0,
        output_tokens=_output(asked, answered or 0, tokens(usage.get("total_tokens"))),
        cached_tokens=tokens(usage.get("prompt_cache_hit_tokens") if hit is None else hit) or 0,  # DeepSeek's name
        cache_write_tokens=tokens(usage.get("cache_creation_input_tokens") if written is None else written) or 0,
        reasoning_tokens=tokens(said.get("reasoning_tokens", usage.get("reasoning_tokens"))) or 0,
        service_tier=tier if isinstance(tier, str) else "",
    )


def _counted(usage: Mapping[str, Any]) -> tuple[tuple[str, int | None], ...]:
    return tuple((name, tokens(usage.get(name))) for name in ("prompt_tokens", "completion_tokens"))


def _output(asked: int | None, answered: int, total: int | None) -> int:
    """Some, xAI among them, leave the reasoning out of `completion_tokens` and bill the total (inspect_ai #5528)."""
    return answered if total is None or asked is None else max(answered, total - asked)


def _details(usage: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    details = usage.get(name)
    return details if isinstance(details, Mapping) else {}


def read_cost(answer: Mapping[str, Any]) -> Decimal | None:
    """USD as the router tells it: `usage.cost` (OpenRouter), or `cost` of the answer or the last chunk (Zen).

    With a key of one's own behind OpenRouter `cost` is its fee alone, and the provider's bill comes to it
    (openrouter.ai/docs, BYOK; forgecode #1641).
    """
    usage = answer.get("usage")
    told = usage.get("cost") if isinstance(usage, Mapping) else None
    cost = _amount(answer.get("cost") if told is None else told)
    if not isinstance(usage, Mapping) or usage.get("is_byok") is not True:
        return cost
    upstream = _amount(_details(usage, "cost_details").get("upstream_inference_cost"))
    return cost if upstream is None else (cost or Decimal(0)) + upstream


def _amount(told: Any) -> Decimal | None:
    amount = None if told is None else dollars(told, MOST_COST)
    return amount if amount is not None and amount >= 0 else None
