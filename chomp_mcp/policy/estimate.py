"""How many tokens a request has and an answer may get, where nobody has counted them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from chomp_mcp import wire
from chomp_mcp.errors import InvalidRequest
from chomp_mcp.messages import Usage

_CHARS_PER_TOKEN = 4
_FEWEST_CHARS_PER_TOKEN = 3
"""English has 4 characters a token, code and other languages fewer: an upper estimate counts with 3."""
LIKELY_OUTPUT_TOKENS = 4096
"""What an answer that nobody saw is taken to have where the caller set no lower limit; few have more."""
_MOST_OUTPUT_TOKENS = 65_536
"""What it may have where nobody knows the model's limit; few models can more."""
_MEDIA_TOKENS = 1600
"""A picture, a page or a minute of sound inside the request costs by its contents, not by its base64 text."""
_OUTPUT_LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_MOST_CHOICES = 128

_INLINE = re.compile(rb'"(?:data:[^",]{0,100};base64,[^"]*|[A-Za-z0-9+/_-]{2000,}={0,2})"')
"""Media as a data URL, or bare, as `input_audio` and `file_data` hold them: text has blanks."""
_PARTS = re.compile(rb'"type":\s?"(?:image_url|input_image|image|document|file|input_file|input_audio|video_url)"')


def most_input(body: Mapping[str, Any]) -> int:
    """The most input tokens that a request may count, whoever gets it; `InvalidRequest` for a body that is no JSON."""
    text = _json(body)
    media = len(_PARTS.findall(text)) if b'"type"' in text else 0
    if len(text) > _SHORT:
        text, inline = _INLINE.subn(b'""', text)
        media = max(media, inline)
    return math.ceil(len(text) / _FEWEST_CHARS_PER_TOKEN) + media * _MEDIA_TOKENS


def most_usage(body: Mapping[str, Any], max_output: int | None, input_tokens: int) -> Usage:
    """The most that a request may count; `max_output` is the model's own limit, `input_tokens` its `most_input`."""
    output = asked_output(body, max_output) or max_output or _MOST_OUTPUT_TOKENS
    output *= _choices(body) if "n" in body else 1
    return Usage(input_tokens, output, service_tier=_tier(body) if "service_tier" in body else "")


def likely_usage(body: Mapping[str, Any], max_output: int | None) -> Usage:
    """What a request probably counts whose answer nobody saw: it was left, or its process died."""
    output = min(asked_output(body, max_output) or max_output or LIKELY_OUTPUT_TOKENS, LIKELY_OUTPUT_TOKENS)
    return _estimated(body, output * _choices(body))


def usage_of_texts(body: Mapping[str, Any], answer_characters: int) -> Usage:
    """Counted from the texts, for routers that send no usage: all of the request counts, its tools and calls too."""
    return _estimated(body, math.ceil(answer_characters / _CHARS_PER_TOKEN))


def _estimated(body: Mapping[str, Any], output: int) -> Usage:
    characters, media = _weight(body.get("messages", body.get("input")), 0)
    for name in _READ:
        if value := body.get(name):
            characters += len(value) if isinstance(value, str) else len(_json(value))
    tokens = math.ceil(characters / _CHARS_PER_TOKEN) + media * _MEDIA_TOKENS
    return Usage(tokens, output, estimated=True, service_tier=_tier(body))


_READ = ("tools", "functions", "response_format", "prompt", "system", "instructions")
"""Fields beside the messages that a model reads; the others are for the router."""
_SHORT = 2000
_DEEP = 50
_NOT_SAID = frozenset({"role", "type", "id", "tool_call_id", "cache_control", "index"})
_MEDIA = frozenset({"image_url", "input_image", "image", "document", "file", "input_file", "input_audio", "video_url"})


def _weight(value: Any, depth: int) -> tuple[int, int]:
    """Characters that a model reads in these messages or parts, and how many of the parts are media."""
    if isinstance(value, str):
        is_media = len(value) > _SHORT and _INLINE.fullmatch(b'"' + value.encode("utf-8", "replace") + b'"')
        return (0, 1) if is_media else (len(value), 0)
    if isinstance(value, Mapping):
        if value.get("type") in _MEDIA:
            return 0, 1
        value = [inner for name, inner in value.items() if name not in _NOT_SAID]
    if not isinstance(value, list | tuple):
        return 0, 0
    if depth > _DEEP:
        return len(_json(value)), 0
    characters = media = 0
    for inner in value:
        more, parts = _weight(inner, depth + 1)
        characters, media = characters + more, media + parts
    return characters, media


def _json(value: Any) -> bytes:
    try:
        return wire.dumps(value)
    except (TypeError, ValueError) as error:
        raise InvalidRequest(f"The request is not JSON: {error}", hint="Leave out what JSON cannot hold.") from None


def _tier(body: Mapping[str, Any]) -> str:
    tier = body.get("service_tier")
    return tier if isinstance(tier, str) else ""


def asked_output(body: Mapping[str, Any], max_output: int | None) -> int | None:
    """The caller's own limit, at most the model's; None where they set none."""
    for name in _OUTPUT_LIMITS:
        if name in body and (limit := _whole(body[name], max_output)):
            return limit
    return None


def _choices(body: Mapping[str, Any]) -> int:
    return (_whole(body["n"], _MOST_CHOICES) if "n" in body else None) or 1


def _whole(value: Any, most: int | None) -> int | None:
    """A positive whole number, at most `most`; None for anything else."""
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        return None
    return min(value, most) if most else value
