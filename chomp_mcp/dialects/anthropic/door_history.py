"""System prompt and messages of a Messages body -> messages of chat completions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from chomp_mcp import wire
from chomp_mcp.dialects.anthropic.signatures import details_in, is_ours
from chomp_mcp.errors import InvalidRequest

__all__ = ["History"]

_ROLES = ("user", "assistant", "system")
_NO_RESULT = "No result: the call was interrupted."
_Block = Mapping[str, Any]
_Part = dict[str, Any]


class History:
    """`messages` in chat completions' form; `notes` on what they cannot hold; `referenced` tools (tool_reference).

    A result stands right behind the call that it answers, and every call has one: chat completions insists on both.

    Raises:
        InvalidRequest: what is no message; `param` names it as Anthropic does (`messages.1.content`).
    """

    def __init__(self, body: Mapping[str, Any]) -> None:
        self.messages: list[_Part] = []
        self.notes: list[str] = []
        self.referenced: set[str] = set()
        self._open: dict[str, None] = {}
        """Calls of the last assistant message that have no result yet."""
        self._held: list[list[_Part]] = []
        """System messages that came between calls and their results, which nothing may part."""
        if system := body.get("system"):
            self._add("system", self._parts(_blocks(system, "system"), "system"))
        given = body.get("messages")
        if not isinstance(given, list) or not given:
            raise InvalidRequest(
                "messages: at least one message is required.",
                hint='Send "messages": [{"role": "user", "content": "…"}].',
                param="messages",
            )
        for index, message in enumerate(given):
            self._take(message, f"messages.{index}")
        self._close()

    def _take(self, message: Any, where: str) -> None:
        role = message.get("role") if isinstance(message, Mapping) else None
        if role not in _ROLES:
            raise InvalidRequest(
                f"{where}.role is none of user, assistant and system.", hint=f"Correct {where}.", param=f"{where}.role"
            )
        content = message.get("content")
        if type(content) is str and content and role != "system":  # nearly all messages of a chat: nothing to translate
            self._close()
            self.messages.append({"role": role, "content": content})
            return
        blocks = _blocks(content, f"{where}.content")
        if role == "user":
            self._user(blocks, where)
            return
        if role == "system":
            self._held.append(self._parts(blocks, where))
        if role == "assistant" or not self._open:
            self._close()
        if role == "assistant":
            self._assistant(blocks, where)

    def _user(self, blocks: list[_Block], where: str) -> None:
        """Results first, each behind its call; then what the user said, pictures of the results included."""
        parts: list[_Part] = []
        for block in blocks:
            if block.get("type") == "tool_result":
                parts += self._result(block, where)
        self._close()
        parts += self._parts([block for block in blocks if block.get("type") != "tool_result"], where)
        if parts or not blocks:
            self._add("user", parts)

    def _result(self, block: _Block, where: str) -> list[_Part]:
        """Add the result; returns what a tool message cannot hold, or all of it where there is no such call."""
        call_id = block.get("tool_use_id")
        if not isinstance(call_id, str) or not call_id:
            raise InvalidRequest(
                f"{where}: a tool_result needs its tool_use_id.", hint="Name the call it answers.", param=where
            )
        parts = self._parts(_blocks(block.get("content") or "", f"{where}.content"), where)
        texts = [part for part in parts if part["type"] == "text"]
        media = [part for part in parts if part["type"] != "text"]
        if block.get("is_error") and not (
            texts and texts[0]["text"].lstrip("<").lower().startswith(("error", "tool_use_error"))
        ):
            texts.insert(0, _text("Error:"))
        if call_id not in self._open:
            self.notes.append(f"the result of {call_id[:100]} answers no call of the turn before: sent as text")
            return [_text(f"Result of the tool call {call_id}:"), *texts, *media]
        del self._open[call_id]
        if media:
            texts.append(_text(f"({len(media)} attached to the next message)"))
            media.insert(0, _text(f"From the tool call {call_id}:"))
        marks = {"cache_control": block["cache_control"]} if block.get("cache_control") else {}
        if marks and texts:
            texts[-1] = {**texts[-1], **marks}
        self.messages.append({"role": "tool", "tool_call_id": call_id, "content": _content(texts)})
        return media

    def _assistant(self, blocks: list[_Block], where: str) -> None:
        calls = [_call(block, where) for block in blocks if block.get("type") == "tool_use"]
        parts = self._parts([block for block in blocks if block.get("type") not in _OF_ASSISTANT], where)
        message: _Part = {"role": "assistant", "content": _content(parts) or (None if calls else "")}
        message |= self._thought([block for block in blocks if block.get("type") == "thinking"])
        if any(block.get("type") == "redacted_thinking" for block in blocks):
            self.notes.append("redacted_thinking is Anthropic's own: left out")
        if calls:
            message["tool_calls"] = calls
        self._open = dict.fromkeys(call["id"] for call in calls)
        self.messages.append(message)

    def _thought(self, blocks: list[_Block]) -> _Part:
        if any(block.get("signature") and not is_ours(block) for block in blocks):
            self.notes.append("signatures of thinking are Anthropic's own: left out")
        thought = "".join(str(block.get("thinking") or "") for block in blocks)
        details = [detail for block in blocks for detail in details_in(block)]
        return {
            **({"reasoning_content": thought} if thought else {}),
            **({"reasoning_details": details} if details else {}),
        }

    def _close(self) -> None:
        """Calls without a result get one that says so."""
        for call_id in self._open:
            self.messages.append({"role": "tool", "tool_call_id": call_id, "content": _NO_RESULT})
            self.notes.append(f"the call {call_id[:100]} has no result: the model is told so")
        self._open = {}
        for parts in self._held:
            self._add("system", parts)
        self._held = []

    def _add(self, role: str, parts: list[_Part]) -> None:
        self.messages.append({"role": role, "content": _content(parts)})

    def _parts(self, blocks: list[_Block], where: str) -> list[_Part]:
        return [part for block in blocks for part in self._part(block, where)]

    def _part(self, block: _Block, where: str) -> list[_Part]:
        kind = str(block.get("type"))
        translate = _PARTS.get(kind)
        parts = translate(self, block, where) if translate else None
        if parts is None:
            self.notes.append(f"a {kind[:60]} block has no place in chat completions: left out")
            return []
        if parts and block.get("cache_control"):
            parts[-1] = {**parts[-1], "cache_control": block["cache_control"]}
        return parts

    def _text(self, block: _Block, where: str) -> list[_Part]:
        text = block.get("text")
        if not isinstance(text, str):
            raise InvalidRequest(f"{where}: a text block needs its text.", hint="Correct it.", param=where)
        return [_text(text)] if text else []

    def _image(self, block: _Block, where: str) -> list[_Part] | None:
        url = _url(block, where)
        return [{"type": "image_url", "image_url": {"url": url}}] if url else None

    def _document(self, block: _Block, where: str) -> list[_Part] | None:
        """A PDF as a file, words as text; title and context as words before it."""
        source = _source(block, where)
        head = [_text(f"{name}: {block[name]}") for name in ("title", "context") if block.get(name)]
        if source.get("type") == "text":
            return [*head, _text(str(source.get("data") or ""))]
        if source.get("type") == "content":
            return [*head, *self._parts(_blocks(source.get("content"), where), where)]
        url = _url(block, where)
        name = str(block.get("title") or "document.pdf")
        return [*head, {"type": "file", "file": {"filename": name, "file_data": url}}] if url else None

    def _search_result(self, block: _Block, where: str) -> list[_Part]:
        head = _text(f"{block.get('title') or ''} ({block.get('source') or ''})")
        return [head, *self._parts(_blocks(block.get("content") or "", where), where)]

    def _tool_reference(self, block: _Block, where: str) -> list[_Part]:  # noqa: ARG002 - the table's signature
        name = str(block.get("tool_name") or "")
        self.referenced.add(name)
        return [_text(f"The tool {name} can be called now.")]


_PARTS: Mapping[str, Callable[[History, _Block, str], list[_Part] | None]] = {
    "text": History._text,  # noqa: SLF001 - the table of this class
    "image": History._image,  # noqa: SLF001
    "document": History._document,  # noqa: SLF001
    "search_result": History._search_result,  # noqa: SLF001
    "tool_reference": History._tool_reference,  # noqa: SLF001
}
_OF_ASSISTANT = ("tool_use", "thinking", "redacted_thinking")


def _blocks(content: Any, where: str) -> list[_Block]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    if not isinstance(content, list) or not all(isinstance(block, Mapping) for block in content):
        raise InvalidRequest(
            f"{where} is neither text nor a list of content blocks.", hint=f"Correct {where}.", param=where
        )
    return content


def _content(parts: list[_Part]) -> Any:
    """Text alone as text; anything more as parts."""
    if not parts:
        return ""
    return parts[0]["text"] if len(parts) == 1 and parts[0].keys() == {"type", "text"} else parts


def _text(text: str) -> _Part:
    return {"type": "text", "text": text}


def _source(block: _Block, where: str) -> _Block:
    source = block.get("source")
    if not isinstance(source, Mapping):
        raise InvalidRequest(
            f"{where}: {block.get('type')} needs its source.", hint='Send {"type": "base64", …}.', param=where
        )
    return source


def _url(block: _Block, where: str) -> str:
    """A data URL or a link; empty for a source that only Anthropic has (the Files API)."""
    source = _source(block, where)
    if source.get("type") == "url":
        return str(source.get("url") or "")
    if source.get("type") != "base64":
        return ""
    if not isinstance(source.get("data"), str) or not isinstance(source.get("media_type"), str):
        raise InvalidRequest(
            f"{where}: a base64 source needs media_type and data.", hint="Correct the source.", param=where
        )
    return f"data:{source['media_type']};base64,{source['data']}"


def _call(block: _Block, where: str) -> _Part:
    call_id, name = block.get("id"), block.get("name")
    if not isinstance(call_id, str) or not call_id or not isinstance(name, str) or not name:
        raise InvalidRequest(f"{where}: a tool_use needs an id and a name.", hint="Correct it.", param=where)
    arguments = wire.dumps(block.get("input") or {}).decode()
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
