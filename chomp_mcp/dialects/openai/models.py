"""A router's model list -> Models: which of them chat, how long their context is, what they cost."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any

from chomp_mcp.dialects.numbers import MOST_PRICE, dollars, tokens
from chomp_mcp.dialects.openai.abilities import abilities
from chomp_mcp.dialects.openai.text import loads
from chomp_mcp.dialects.values import as_mapping, as_objects, as_text
from chomp_mcp.messages import Model, Router

MOST_ROWS = 10_000
"""The longest lists have a thousand; each request looks at every model, and each page shows all."""
MOST_ID_CHARACTERS = 512
"""A longer id would break the headers that name the model which answers."""
_PER_MILLION = 1_000_000

# Where the routers write the same two numbers; the first that is there counts. OpenRouter's top_provider and
# Cerebras' limits are what is served, so they come before what the model could do.
_CONTEXT = (
    "top_provider.context_length", "limits.max_context_length", "context_length", "context_window",
    "max_context_length", "max_model_len", "max_input_tokens",
)  # fmt: skip
_OUTPUT = (
    "top_provider.max_completion_tokens", "limits.max_completion_tokens", "max_completion_tokens",
    "max_output_length", "max_output_tokens",
)  # fmt: skip

# Ids of models that speak, listen, draw, embed, rank or judge instead of answering.
_NO_CHAT = re.compile(
    r"whisper|orpheus|playai|\btts\b|-tts|transcri|speech|voxtral-mini-\d|guard|moderation|embed|rerank|\bbge-|\be5-"
    r"|dall-e|gpt-image|chatgpt-image|stable-diffusion|\bsdxl|\bflux\b|imagen-|\bsora|\bveo-|-realtime|gpt-realtime|\bocr\b",
    re.IGNORECASE,
)
_EMBEDS = re.compile(r"embed|\bbge-(?!.*rerank)|\be5-|\bgte-|minilm", re.IGNORECASE)
_CHAT_TYPES = frozenset({"", "base", "chat", "code", "fine-tuned", "language", "llm", "model", "text", "vlm"})

_PER_MILLION_FROM: Mapping[str, Decimal | int] = {"token": MOST_PRICE, "million": 0, "unclear": Decimal("0.001")}
"""`Router.price_unit` -> the amount in USD from which a price is taken to be per million tokens."""
_USD = frozenset({"USD", "US$", "$", "US DOLLAR", "US DOLLARS"})
_NOT_A_PRICE = frozenset({"discount", "duration_per_hour", "overrides", "currency", "unit", "pricing_unit"})


def entries(body: bytes) -> list[Mapping[str, Any]]:
    """The first MOST_ROWS rows of `{"data": [...]}`, `{"models": [...]}` or a bare list; else `ValueError`."""
    try:
        parsed = loads(body)
    except ValueError:
        raise ValueError("the model list is not JSON") from None
    if isinstance(parsed, Mapping):
        parsed = next((parsed[name] for name in ("data", "models", "result") if name in parsed), None)
    if not isinstance(parsed, list):
        raise ValueError("the model list holds no list")  # noqa: TRY004 - one error for every wrong list
    return [row for row in parsed[:MOST_ROWS] if isinstance(row, Mapping)]


def is_hidden(router: Router, model_id: str) -> bool:
    """The row's `hide` patterns name it and its `show` patterns do not, or its name says that it does not chat."""
    if any(fnmatchcase(model_id, pattern) for pattern in router.show):
        return False
    return bool(_NO_CHAT.search(model_id)) or any(fnmatchcase(model_id, pattern) for pattern in router.hide)


def embedders(router: Router, body: bytes) -> tuple[Model, ...]:
    """The models that make vectors: those of the list, by their type or their name, and those that the row names.

    Raises:
        ValueError: the body is no list.
    """
    found = [Model(router.id, model_id, free=router.free, embeds=True) for model_id in router.embedders]
    for row in entries(body):
        model_id = row.get(router.list_id) or row.get("model") or row.get("name")
        if not isinstance(model_id, str) or not model_id or not model_id.isprintable():
            continue
        kind = as_text(row.get("type")).lower()
        if "embed" in kind or _EMBEDS.search(model_id):
            prices = _prices(router, row)
            price_in, size = _per_million(prices.get("prompt")), _first_whole(row, _CONTEXT)
            made = Model(router.id, model_id, context_length=size, price_in=price_in, free=router.free, embeds=True)
            found.append(made)
    return tuple(found)


def as_model(router: Router, row: Mapping[str, Any]) -> Model | None:
    """One row of an OpenAI-shaped list, or None for one that cannot chat."""
    model_id = row.get(router.list_id)
    # An id with a line break, a control or a bidi character in it could pass for a text of ours.
    if not isinstance(model_id, str) or not model_id.isprintable() or not 0 < len(model_id) <= MOST_ID_CHARACTERS:
        return None
    if is_hidden(router, model_id):
        return None
    architecture = row.get("architecture")
    outputs = (architecture if isinstance(architecture, Mapping) else row).get("output_modalities")
    if (
        row.get("active") is False
        or row.get("lifecycle") == "retired"
        or as_mapping(row.get("capabilities")).get("completion_chat") is False  # Mistral
        or as_text(row.get("type")).lower() not in _CHAT_TYPES
        or (isinstance(outputs, Sequence) and outputs and "text" not in outputs)
    ):
        return None
    prices = _prices(router, row)
    fee = prices.get("request")
    is_free = any(fnmatchcase(model_id, pattern) for pattern in router.free_models)
    is_free = is_free or ({"prompt", "completion"} <= prices.keys() and not any(prices.values()))
    can, cannot = abilities(row)
    name = row.get("name") or row.get("display_name")
    return Model(
        router=router.id,
        id=model_id,
        name=as_text(name),
        context_length=_first_whole(row, _CONTEXT),
        max_output=_first_whole(row, _OUTPUT),
        price_in=_per_million(prices.get("prompt")),
        price_out=_per_million(prices.get("completion")),
        price_cached=_per_million(prices.get("input_cache_read")),
        price_cache_write=_per_million(prices.get("input_cache_write")),
        price_request=fee if fee is not None and fee > 0 else None,  # for each call, beside its tokens
        free=router.free or is_free,
        can=can,
        cannot=cannot,
    )


def _first_whole(row: Mapping[str, Any], paths: Sequence[str]) -> int | None:
    for path in paths:
        value: Any = row
        for step in path.split("."):
            value = value.get(step) if isinstance(value, Mapping) else None
        if count := tokens(value):
            return count
    return None


def _prices(router: Router, row: Mapping[str, Any]) -> dict[str, Decimal]:
    """USD per token (or per request …) by OpenRouter's names; what does not parse is left out."""
    # None at all in another currency, or in a unit that nobody knows: unknown, never taken for dollars or for free.
    pricing = row.get("pricing")
    currencies = [as_mapping(place).get("currency") for place in (pricing, row)]
    if not all(as_text(currency).strip().upper() in _USD for currency in currencies if currency):
        return {}
    places = (pricing, row) if isinstance(pricing, Mapping) else ()
    words = [place.get("unit") or place.get("pricing_unit") for place in places]
    # How many tokens a price is for by the list's own word; 0 where it says nothing.
    unit = 0
    if said := next((word for word in words if isinstance(word, str) and word), "").lower():
        unit = next((tokens for name, tokens in _UNITS.items() if name in said), -1)
    if unit < 0:
        return {}
    per_million_from = _PER_MILLION_FROM[router.price_unit]
    # Name, amount and what it is for: of OpenRouter's object, or of Fireworks' list of SKUs.
    rows = [(str(name), amount, 1) for name, amount in as_mapping(pricing).items() if name not in _NOT_A_PRICE]
    skus = [each for each in as_objects(pricing) if each.get("unit") == "1M tokens"]
    rows += [(as_text(each.get("sku")), each.get("amount"), _PER_MILLION) for each in skus]
    prices = {}
    for name, amount, divisor in rows:
        price = dollars(amount, MOST_PRICE)
        if price is None:
            continue
        named = router.price_names.get(name, name)
        if named in _PER_CALL:
            prices[named] = price
        elif unit:
            prices[named] = price / unit
        else:
            prices[named] = price / (divisor if price < per_million_from else _PER_MILLION)
    return prices


_PER_CALL = frozenset({"request", "image", "image_output", "web_search", "audio_output"})
"""Fees that are not for tokens, in dollars each."""
_UNITS: Mapping[str, int] = {
    **dict.fromkeys(("million", "1m", "mtok", "1000000", "1_000_000", "1,000,000"), _PER_MILLION),
    **dict.fromkeys(("thousand", "1k", "ktok", "1000", "1_000", "1,000"), 1000),
    "token": 1,
}
"""What a unit's name has in it, in the order of looking -> tokens."""


def _per_million(per_token: Decimal | None) -> Decimal | None:
    """-1 is OpenRouter's word for "it depends": unknown, not free."""
    if per_token is None or not 0 <= per_token * _PER_MILLION <= MOST_PRICE:
        return None
    return (per_token * _PER_MILLION).normalize() + 0
