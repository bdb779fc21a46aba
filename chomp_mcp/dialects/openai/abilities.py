"""What a router's list says that a model can: by OpenRouter's words, Cerebras', Mistral's, Fireworks', Anthropic's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from chomp_mcp.dialects.values import as_mapping

_PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "tools": ("tools",),
    "parallel_tools": ("parallel_tool_calls",),
    "json_schema": ("structured_outputs",),
    "reasoning": ("reasoning", "include_reasoning", "reasoning_effort"),
}
"""OpenRouter's `supported_parameters`: what is not among them is refused with a 404, or dropped in silence."""
_FLAGS: Mapping[str, tuple[str, ...]] = {
    "tools": ("tools", "function_calling", "tool_use", "tool_calling", "tool_call", "supportsTools", "supports_tools"),
    "parallel_tools": ("parallel_tools", "parallel_tool_calls", "parallel_function_calling"),
    "vision": ("vision", "image_input", "images", "supportsImageInput", "supports_vision", "supports_image_input"),
    "documents": ("documents", "pdf_input", "pdf", "supports_pdf_input"),
    "json_schema": ("json_schema", "structured_outputs", "structured_output"),
    "reasoning": ("reasoning", "thinking"),
}
"""Under `capabilities` (Cerebras, Mistral, Anthropic, Ollama), `supported_features`, or beside the id."""
_MODALITIES: Mapping[str, tuple[str, ...]] = {"vision": ("image", "images"), "documents": ("file", "pdf", "document")}
_ASSUMED: frozenset[str] = frozenset({"documents", "parallel_tools"})
"""Not told is not known: OpenRouter reads PDFs for every model, and few lists speak of calls side by side."""


def abilities(row: Mapping[str, Any]) -> tuple[frozenset[str], frozenset[str]]:
    """What the row says that the model can, and what it cannot; what it does not speak of is in neither."""
    said: dict[str, bool] = {}
    _take(said, _PARAMETERS, row.get("supported_parameters"))
    _take(said, _FLAGS, row.get("supported_features"), whole=("tools", "json_schema"))
    _take(said, _FLAGS, row.get("capabilities"), whole=())
    _take(said, _FLAGS, {name: row[name] for names in _FLAGS.values() for name in names if name in row})
    for holder in (row.get("architecture"), row.get("modalities"), row):
        if isinstance(holder, Mapping):
            _take(said, _MODALITIES, holder.get("input_modalities") or holder.get("input"))
    if said.get("tools") is False:
        said["parallel_tools"] = False
    can = frozenset(need for need, is_able in said.items() if is_able)
    return can, frozenset(said) - can


def _take(
    said: dict[str, bool], names: Mapping[str, tuple[str, ...]], told: Any, *, whole: Iterable[str] | None = None
) -> None:
    """`told` is a table of flags, or a list of what is there: then what is not in it is not there, of `whole`."""
    if isinstance(told, Mapping):
        for need, words in names.items():
            # A flag, or Anthropic's `{"supported": true}`.
            given = [as_mapping(told.get(word)).get("supported", told.get(word)) for word in words]
            if flags := [flag for flag in given if isinstance(flag, bool)]:
                said[need] = any(flags)
    elif isinstance(told, list) and told:
        words_told = {word.lower() for word in told if isinstance(word, str)}
        complete = frozenset(names if whole is None else whole) - _ASSUMED
        for need, words in names.items():
            if not words_told.isdisjoint(words):
                said[need] = True
            elif need in complete:
                said.setdefault(need, False)
