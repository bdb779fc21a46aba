"""System prompt and messages of a Messages body -> messages of chat completions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chomp_mcp.dialects.anthropic.signatures import details_in, is_ours
from chomp_mcp.dialects.openai.shapes import call
from chomp_mcp.dialects.values import wrong

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
            hint = 'Send "messages": [{"role": "user", "content": "…"}].'
            raise wrong("messages", ": at least one message is required.", hint)
        for index, message in enumerate(given):
            where = f"messages.{index}"
            role = message.get("role") if isinstance(message, Mapping) else None
            if role not in _ROLES:
                raise wrong(f"{where}.role", " is none of user, assistant and system.", f"Correct {where}.")
            content = message.get("content")
            if type(content) is str and content and role != "system":  # nearly all: nothing to translate
                self._close()
                self.messages.append({"role": role, "content": content})
                continue
            blocks = _blocks(content, f"{where}.content")
            if role == "user":
                self._user(blocks, where)
            elif role == "assistant":
                self._close()
                self._assistant(blocks, where)
            else:
                self._held.append(self._parts(blocks, where))
                if not self._open:
                    self._close()
        self._close()

    def _user(self, blocks: list[_Block], where: str) -> None:
        """Results first, each behind its call; then what the user said, pictures of the results included."""
        said: list[_Part] = []
        for block in blocks:
            if block.get("type") != "tool_result":
                continue
            call_id = block.get("tool_use_id")
            if not isinstance(call_id, str) or not call_id:
                raise wrong(where, ": a tool_result needs its tool_use_id.", "Name the call it answers.")
            parts = self._parts(_blocks(block.get("content") or "", f"{where}.content"), where)
            # A tool's message holds text alone.
            texts = [part for part in parts if part["type"] == "text"]
            media = [part for part in parts if part["type"] != "text"]
            if block.get("is_error"):  # which has no field of its own: words say it, unless the tool's own do
                told = texts[0]["text"].lstrip("<").lower() if texts else ""
                if not told.startswith(("error", "tool_use_error")):
                    texts.insert(0, _text("Error:"))
            if call_id not in self._open:
                self.notes.append(f"the result of {call_id[:100]} answers no call of the turn before: sent as text")
                said += [_text(f"Result of the tool call {call_id}:"), *texts, *media]
                continue
            del self._open[call_id]
            if media:
                texts.append(_text(f"({len(media)} attached to the next message)"))
                said += [_text(f"From the tool call {call_id}:"), *media]
            if texts and (mark := block.get("cache_control")):
                texts[-1] = {**texts[-1], "cache_control": mark}
            self.messages.append({"role": "tool", "tool_call_id": call_id, "content": _content(texts)})
        self._close()
        said += self._parts([block for block in blocks if block.get("type") != "tool_result"], where)
        if said or not blocks:
            self._add("user", said)

    def _assistant(self, blocks: list[_Block], where: str) -> None:
        calls, rest, thoughts, is_redacted = [], [], [], False
        for block in blocks:
            match block.get("type"):
                case "tool_use":
                    call_id, name = block.get("id"), block.get("name")
                    if not isinstance(call_id, str) or not call_id or not isinstance(name, str) or not name:
                        raise wrong(where, ": a tool_use needs an id and a name.")
                    calls.append(call(call_id, name, block.get("input")))
                case "thinking":
                    thoughts.append(block)
                case "redacted_thinking":
                    is_redacted = True
                case _:
                    rest.append(block)
        message: _Part = {"role": "assistant", "content": _content(self._parts(rest, where)) or (None if calls else "")}
        if any(block.get("signature") and not is_ours(block) for block in thoughts):
            self.notes.append("signatures of thinking are Anthropic's own: left out")
        if is_redacted:
            self.notes.append("redacted_thinking is Anthropic's own: left out")
        if thought := "".join(str(block.get("thinking") or "") for block in thoughts):
            message["reasoning_content"] = thought
        if details := [detail for block in thoughts for detail in details_in(block)]:
            message["reasoning_details"] = details
        if calls:
            message["tool_calls"] = calls
        self._open = dict.fromkeys(each["id"] for each in calls)
        self.messages.append(message)

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
        parts: list[_Part] = []
        for block in blocks:
            kind = str(block.get("type"))
            made = self._parts_of(kind, block, where)
            if made is None:
                self.notes.append(f"a {kind[:60]} block has no place in chat completions: left out")
                continue
            if made and block.get("cache_control"):
                made[-1] = {**made[-1], "cache_control": block["cache_control"]}
            parts += made
        return parts

    def _parts_of(self, kind: str, block: _Block, where: str) -> list[_Part] | None:
        """None: chat completions has nothing like it."""
        match kind:
            case "text":
                text = block.get("text")
                if not isinstance(text, str):
                    raise wrong(where, ": a text block needs its text.")
                return [_text(text)] if text else []
            case "image":
                url = _url(block, where)
                return [{"type": "image_url", "image_url": {"url": url}}] if url else None
            case "document":  # a PDF as a file, words as text; title and context as words before it
                source = _source(block, where)
                head = [_text(f"{name}: {block[name]}") for name in ("title", "context") if block.get(name)]
                if source.get("type") == "text":
                    return [*head, _text(str(source.get("data") or ""))]
                if source.get("type") == "content":
                    return [*head, *self._parts(_blocks(source.get("content"), where), where)]
                file = {"filename": str(block.get("title") or "document.pdf"), "file_data": _url(block, where)}
                return [*head, {"type": "file", "file": file}] if file["file_data"] else None
            case "search_result":
                head = [_text(f"{block.get('title') or ''} ({block.get('source') or ''})")]
                return [*head, *self._parts(_blocks(block.get("content") or "", where), where)]
            case "tool_reference":
                name = str(block.get("tool_name") or "")
                self.referenced.add(name)
                return [_text(f"The tool {name} can be called now.")]
        return None


def _blocks(content: Any, where: str) -> list[_Block]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    if not isinstance(content, list) or not all(isinstance(block, Mapping) for block in content):
        raise wrong(where, " is neither text nor a list of content blocks.", f"Correct {where}.")
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
        raise wrong(where, f": {block.get('type')} needs its source.", 'Send {"type": "base64", …}.')
    return source


def _url(block: _Block, where: str) -> str:
    """A data URL or a link; empty for a source that only Anthropic has (the Files API)."""
    source = _source(block, where)
    if source.get("type") == "url":
        return str(source.get("url") or "")
    if source.get("type") != "base64":
        return ""
    if not isinstance(source.get("data"), str) or not isinstance(source.get("media_type"), str):
        raise wrong(where, ": a base64 source needs media_type and data.", "Correct the source.")
    return f"data:{source['media_type']};base64,{source['data']}"
