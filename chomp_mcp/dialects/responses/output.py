"""The output items of a Response -> the message of a chat completion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from chomp_mcp.dialects.numbers import tokens
from chomp_mcp.dialects.openai.tool_calls import new_id
from chomp_mcp.dialects.responses.reasoning import details_of, thought_in
from chomp_mcp.dialects.values import as_list, as_mapping, as_objects, as_text
from chomp_mcp.messages import Usage

INCOMPLETE: Mapping[str, str] = {"max_output_tokens": "length", "content_filter": "content_filter"}
"""Why a Response is incomplete -> chat completions' finish reason."""
CALLS = ("function_call", "custom_tool_call")


def message_of(output: Iterable[Any], ref: str) -> dict[str, Any]:
    """The message; `logprobs`, which stand beside it in a chat completion, are in it where there are any."""
    items = [item for item in output if isinstance(item, Mapping)]
    said = [item for item in items if item.get("type") == "message"]
    parts = [part for item in said for part in as_objects(item.get("content"))]
    text = "".join(as_text(part.get("text")) for part in parts if part.get("type") == "output_text")
    calls = [call_of(item) for item in items if item.get("type") in CALLS]
    message: dict[str, Any] = {"content": text if text or not calls else None}
    if refusal := "".join(as_text(part.get("refusal")) for part in parts):
        message["refusal"] = refusal
    reasoning = [item for item in items if item.get("type") == "reasoning"]
    details: list[dict[str, Any]] = []
    for item in reasoning:
        details += details_of(item, ref, len(details))
    if thought := thought_in(reasoning):
        message["reasoning_content"] = thought
    if details:
        message["reasoning_details"] = details
    if notes := [citation(note) for part in parts for note in as_list(part.get("annotations"))]:
        message["annotations"] = notes
    if pictures := [picture(item) for item in items if item.get("type") == "image_generation_call"]:
        message["images"] = pictures
    if calls:
        message["tool_calls"] = calls
    if logprobs := [each for part in parts for each in as_list(part.get("logprobs"))]:
        message["logprobs"] = {"content": logprobs}
    return message


def acts(output: Iterable[Any]) -> bool:
    """It does what chat completions has no word for, such as the search for a tool: an answer, though without words."""
    kinds = [item.get("type") for item in output if isinstance(item, Mapping)]
    return any(kind not in ("message", "reasoning", *CALLS) for kind in kinds)


def finish_of(response: Mapping[str, Any], *, has_calls: bool) -> str:
    """Chat completions' finish reason; Responses has no word for an end with calls."""
    why = as_text(as_mapping(response.get("incomplete_details")).get("reason"))
    return INCOMPLETE.get(why) or ("tool_calls" if has_calls else "stop")


def call_of(item: Mapping[str, Any]) -> dict[str, Any]:
    """A call as chat completions writes it."""
    call_id, name = as_text(item.get("call_id")) or as_text(item.get("id")) or new_id(), as_text(item.get("name"))
    if item.get("type") == "custom_tool_call":
        return {"id": call_id, "type": "custom", "custom": {"name": name, "input": as_text(item.get("input"))}}
    arguments = as_text(item.get("arguments")) or ("{}" if item.get("status") == "completed" else "")
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def citation(note: Any) -> Any:
    """An annotation; chat completions nests a citation's fields below its type."""
    kind = note.get("type") if isinstance(note, Mapping) else None
    if kind != "url_citation" or kind in note:
        return note
    return {"type": kind, kind: {name: value for name, value in note.items() if name != "type"}}


def picture(item: Mapping[str, Any]) -> dict[str, Any]:
    """A picture that the router drew, as OpenRouter's `message.images` holds it."""
    media = f"image/{item.get('output_format') or 'png'}"
    return {"type": "image_url", "image_url": {"url": f"data:{media};base64,{as_text(item.get('result'))}"}}


def usage_of(response: Mapping[str, Any]) -> Usage | None:
    """None where it counts nothing that can be meant: then the tokens are estimated."""
    usage = as_mapping(response.get("usage"))
    asked, answered = tokens(usage.get("input_tokens")), tokens(usage.get("output_tokens"))
    if asked is None or answered is None:
        return None
    of_input, of_output = (as_mapping(usage.get(f"{side}_tokens_details")) for side in ("input", "output"))
    return Usage(
        input_tokens=asked,
        output_tokens=answered,
        cached_tokens=tokens(of_input.get("cached_tokens")) or 0,
        cache_write_tokens=tokens(of_input.get("cache_write_tokens")) or 0,
        reasoning_tokens=tokens(of_output.get("reasoning_tokens")) or 0,
        service_tier=as_text(response.get("service_tier")),
    )
