"""What an exchange costs, in exact US dollars; an unknown price is None, never zero."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from chomp_mcp import wire
from chomp_mcp.errors import InvalidRequest
from chomp_mcp.messages import Model, Router, Usage

__all__ = ["FREE", "Price", "cost", "estimate_usage", "from_model", "known", "upper_estimate"]

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """USD per million tokens; `cached` None: cached input costs what input costs. `source` says who told it."""

    input: Decimal
    output: Decimal
    cached: Decimal | None = None
    source: str = ""


FREE = Price(Decimal(0), Decimal(0), source="free by nature")
"""The user's own machine: Ollama, Cursor, mock."""


def cost(price: Price, usage: Usage) -> Decimal:
    """USD of one exchange; `usage.input_tokens` includes the cached ones."""
    cached_tokens = min(usage.cached_tokens, usage.input_tokens)
    cached_price = price.input if price.cached is None else price.cached
    total = (
        (usage.input_tokens - cached_tokens) * price.input
        + cached_tokens * cached_price
        + usage.output_tokens * price.output
    )
    return total / _MILLION


def from_model(model: Model) -> Price | None:
    """The price on the router's own list; None where it tells none, or only one half, or a dynamic one (negative)."""
    if model.free:
        return Price(Decimal(0), Decimal(0), source="the router's list")
    if model.price_in is None or model.price_out is None or min(model.price_in, model.price_out) < 0:
        return None
    return Price(model.price_in, model.price_out, model.price_cached, "the router's list")


def known(router: Router, model_id: str) -> Price | None:
    """The price in the router's row, for what no list tells."""
    row = router.prices.get(model_id)
    if row is None or "input" not in row or "output" not in row:
        return None
    return Price(row["input"], row["output"], row.get("cached"), router.price_source or "the router's row")


_CHARS_PER_TOKEN = 4
_FEWEST_CHARS_PER_TOKEN = 3
"""English has 4 characters a token, code and other languages fewer: an upper estimate counts with 3."""
_OUTPUT_TOKENS = 4096
"""What an answer is assumed to have at most when the caller set no limit; few have more."""
_IMAGE_TOKENS = 2000
"""An image inside the request costs by its pixels, not by its base64 text."""
_OUTPUT_LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_MOST_CHOICES = 128
_INLINE_DATA = re.compile(rb'"data:[^",]{0,100};base64,[^"]*"')


def upper_estimate(price: Price, request_body: Mapping[str, Any], max_output: int | None) -> Decimal:
    """USD that a request may cost at most, to reserve before it is sent; `max_output` is the model's own limit.

    Raises:
        InvalidRequest: the body is no JSON, and could not be sent.
    """
    usage = Usage(
        input_tokens=_most_input(request_body),
        output_tokens=_most_output(request_body, max_output) * (_whole(request_body.get("n"), _MOST_CHOICES) or 1),
    )
    return cost(price, usage)


def _most_input(body: Mapping[str, Any]) -> int:
    try:
        text = wire.dumps(body)
    except (TypeError, ValueError) as error:
        raise InvalidRequest(f"The request is not JSON: {error}", hint="Leave out what JSON cannot hold.") from None
    images = 0
    if b";base64," in text:
        text, images = _INLINE_DATA.subn(b'""', text)
    return math.ceil(len(text) / _FEWEST_CHARS_PER_TOKEN) + images * _IMAGE_TOKENS


def _most_output(body: Mapping[str, Any], max_output: int | None) -> int:
    asked = next((limit for name in _OUTPUT_LIMITS if (limit := _whole(body.get(name), max_output))), None)
    return asked or min(max_output or _OUTPUT_TOKENS, _OUTPUT_TOKENS)


def _whole(value: Any, most: int | None) -> int | None:
    """A positive whole number, at most `most`; None for anything else."""
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        return None
    return min(value, most) if most else value


def estimate_usage(prompt_chars: int, answer_chars: int) -> Usage:
    """Tokens counted from the text, for routers that send no usage; the receipt flags it."""
    return Usage(
        input_tokens=math.ceil(prompt_chars / _CHARS_PER_TOKEN),
        output_tokens=math.ceil(answer_chars / _CHARS_PER_TOKEN),
        estimated=True,
    )
