"""Chat messages -> Gemini's contents: turns of parts, the system prompt apart."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from chomp_mcp.dialects.openai.text import as_input
from chomp_mcp.dialects.values import as_list, as_mapping, as_objects, as_text
from chomp_mcp.messages import text_of

_Part = dict[str, Any]
SAMPLING: Mapping[str, str] = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
}
"""Chat completions' fields -> those of `generationConfig`."""
MODES: Mapping[str, str] = {"auto": "AUTO", "required": "ANY", "none": "NONE"}
"""Chat completions' `tool_choice` -> Gemini's mode of calling."""
_SYSTEM = ("system", "developer")
_READ = frozenset({"role", "content", "refusal", "tool_calls", "tool_call_id"})
_DATA_URL = re.compile(r"data:([^;,]*)[^,]*;base64,(.*)", re.DOTALL)
_KINDS: Mapping[str, str] = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".pdf": "application/pdf",
    ".mp4": "video/mp4",
}
_UNSIGNED = "skip_thought_signature_validator"
"""What Google's documents name for calls whose signature is gone (ai.google.dev/gemini-api/docs/thought-signatures):
Gemini 3 refuses a history whose calls bear none."""


def signed(call: Mapping[str, Any], signature: Any) -> dict[str, Any]:
    """The call with Gemini's signature where Google's own chat completions put it."""
    return {**call, "extra_content": {"google": {"thought_signature": signature}}} if signature else dict(call)


def contents_of(messages: Iterable[Any], lost: set[str], *, is_signed: bool) -> tuple[list[_Part], list[_Part]]:
    """The system's parts, and the turns. `lost` gets what has no place there; `is_signed`: calls must be."""
    system: list[_Part] = []
    turns: list[_Part] = []
    names: dict[str, str] = {}
    """Call id -> the function's name, which a result needs here."""
    for message in messages:
        if not isinstance(message, Mapping):
            continue
        role, content = message.get("role"), message.get("content")
        known = {*_READ, "name"} if role == "tool" else _READ
        lost.update(f"messages[].{name}" for name in message if name not in known and message[name])
        if role in _SYSTEM:
            system += _parts(content, lost)
        elif role == "tool":
            # The result of a call is an object here, and its pictures stand beside it.
            call_id = as_text(message.get("tool_call_id"))
            result = {
                "name": names.get(call_id) or as_text(message.get("name")) or call_id or "result",
                "response": {"output": text_of(content)},
            }
            media = [part for part in _parts(content, lost) if "text" not in part] if isinstance(content, list) else []
            _add(turns, "user", [{"functionResponse": result}, *media])
        elif role == "assistant":
            calls: list[_Part] = []
            for call in as_objects(message.get("tool_calls")):
                function = as_mapping(call.get("function"))
                named = names[as_text(call.get("id"))] = as_text(function.get("name"))
                made: _Part = {"functionCall": {"name": named, "args": as_input(function.get("arguments"))}}
                google = as_mapping(as_mapping(call.get("extra_content")).get("google"))
                if signature := as_text(google.get("thought_signature")):
                    made["thoughtSignature"] = signature
                calls.append(made)
            if is_signed and calls and not any("thoughtSignature" in call for call in calls):
                calls[0]["thoughtSignature"] = _UNSIGNED  # of calls side by side the first bears it
            _add(turns, "model", [*_parts(content or message.get("refusal"), lost), *calls])
        else:
            _add(turns, "user", _parts(content, lost))
    return system, turns


def _add(turns: list[_Part], role: str, parts: list[_Part]) -> None:
    """One after the other: two turns of one role are one, and the results of parallel calls have to be."""
    if not parts:
        return
    if turns and turns[-1]["role"] == role:
        turns[-1]["parts"] += parts
    else:
        turns.append({"role": role, "parts": parts})


def _parts(content: Any, lost: set[str]) -> list[_Part]:
    if isinstance(content, str):
        return [{"text": content}] if content else []
    found = []
    for part in as_list(content):
        given = part if isinstance(part, Mapping) else {"type": "text", "text": part}
        if isinstance(text := given.get("text") or given.get("refusal"), str):
            found.append({"text": text})
        elif made := _media(given):
            found.append(made)
        else:
            lost.add(f"messages[].content[].{given.get('type')}")
    return found


def _media(part: Mapping[str, Any]) -> _Part | None:
    """A picture, a file, sound or a video: inside the request, or where it is found."""
    kind = as_text(part.get("type"))
    inner = part.get(kind)
    place = as_mapping(inner)
    if kind == "input_audio":
        return _inline(f"audio/{place.get('format') or 'wav'}", place.get("data"))
    url = inner if isinstance(inner, str) else place.get("url") or place.get("file_data") or place.get("file_url")
    if not isinstance(url, str) or not url:
        return None
    if found := _DATA_URL.match(url):
        return _inline(found[1] or "application/octet-stream", found[2])
    ending = re.search(r"\.[a-z0-9]+$", url.partition("?")[0].lower())
    guess = "image/jpeg" if kind == "image_url" else "application/pdf"
    return {"fileData": {"fileUri": url, "mimeType": _KINDS.get(ending[0] if ending else "", guess)}}


def _inline(mime_type: str, data: Any) -> _Part | None:
    return {"inlineData": {"mimeType": mime_type, "data": data}} if isinstance(data, str) and data else None
