"""A Responses request -> a chat-completions body, and sentences for what does not travel.

Source: OpenAI's API reference of POST /responses; what Codex and Copilot CLI send was read from their own requests.
"""

from __future__ import annotations

import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from chomp_mcp import wire
from chomp_mcp.dialects.responses.door_tools import Tools, freeform_arguments
from chomp_mcp.dialects.values import as_list, as_objects, wrong
from chomp_mcp.errors import InvalidRequest

REASONING = ("reasoning_content", "reasoning", "reasoning_details", "thinking_blocks")
"""Fields of a chat message that hold what the model thought."""

_STATE = {
    "previous_response_id": "No earlier response is stored here",
    "conversation": "No conversation is stored here",
    "prompt": "No prompt template is stored here",
}
"""What needs a router that remembers, and why no other can be asked."""

_UNHEEDED = {
    "store": "nothing is stored here",
    "truncation": "nothing is cut",
    "max_tool_calls": "the client runs the tools",
}
"""What this door cannot do, and why; `false` and `disabled` ask for nothing."""
_ASKS_NOTHING = (None, False, "disabled")

_TRANSLATED = frozenset({"input", "instructions", "tools", "tool_choice", "text", "reasoning", "include"})
_ENVELOPE = frozenset({"model", "router", "stream", "stream_options", "client_metadata"})
"""Not about an answer; `client_metadata` is where Codex says which window and which turn it is."""
_TAKEN = _TRANSLATED | _ENVELOPE | _STATE.keys() | _UNHEEDED.keys() | {"background"}

_SEAL = "chomp1."
_MOST_REASONING = 8 * 1024 * 1024


@dataclass(slots=True)
class Chat:
    """The translated request: `body` without `model`, and what an answer is translated back with."""

    body: dict[str, Any]
    tools: Tools
    notes: list[str] = field(default_factory=list)
    keeps_reasoning: bool = False
    """The client wants what the model thought as `encrypted_content`, to send it back."""
    summarizes: bool = False
    """The client asked for summaries of the reasoning: what a chat router tells of it goes there."""


def to_chat(body: Mapping[str, Any]) -> Chat:
    """Translate a body.

    Raises:
        InvalidRequest: an item of it is malformed; `param` names the place.
    """
    tools = Tools.of(body.get("tools"))
    renamed = {"max_output_tokens": "max_completion_tokens"}
    fields = {renamed.get(name, name): each for name, each in body.items() if each is not None and name not in _TAKEN}
    chat = Chat(fields, tools)
    given = body.get("instructions")
    if isinstance(given, list):
        messages = _Conversation(chat, "instructions").read(given)
    elif isinstance(given or "", str):
        messages = [{"role": "system", "content": given}] if given else []
    else:
        raise wrong("instructions", " is not text.", "Send it as text.")
    chat.body["messages"] = [*messages, *_Conversation(chat).read(body.get("input"))]
    if not chat.body["messages"]:
        raise wrong("input", " is empty.", "Send text or a list of items as input.")
    _write_tools(chat, body.get("tool_choice"))
    _write_text(chat, body.get("text"))
    asked = body.get("reasoning")
    if asked is not None and not isinstance(asked, Mapping):
        raise wrong("reasoning", " is not an object.", 'Send {"effort": "low"}.')
    if asked and asked.get("effort"):
        chat.body["reasoning_effort"] = asked["effort"]
    chat.summarizes = bool(asked and (asked.get("summary") or asked.get("generate_summary")))
    for name in as_list(body.get("include")):
        if name == "reasoning.encrypted_content":
            chat.keeps_reasoning = True
        elif name == "message.output_text.logprobs":
            chat.body["logprobs"] = True
        else:
            chat.notes.append(f"include {name} is not heeded: a chat model does not tell it")
    asked_for = [name for name in _UNHEEDED if body.get(name) not in _ASKS_NOTHING]
    chat.notes += [f"{name} is not heeded: {_UNHEEDED[name]}" for name in asked_for]
    return chat


def state_needed(body: Mapping[str, Any]) -> InvalidRequest | None:
    """Why no other router than the one that answered before can be asked; None where all is said in the body.

    Raises:
        InvalidRequest: it is to run in the background, which nobody could collect here.
    """
    if body.get("background"):
        why = "Nothing runs in the background at this door, so background cannot be used."
        hint = "Leave it out and wait for the answer, or use POST /api/dispatch."
        raise InvalidRequest(why, hint=hint, param="background")
    instead = "or name a model of a router that speaks Responses itself."
    for name, reason in _STATE.items():
        if body.get(name):
            why = f"{reason}, so {name} cannot be used."
            return InvalidRequest(why, hint=f"Send all items in input, {instead}", param=name)
    for index, item in enumerate(as_list(body.get("input"))):
        if isinstance(item, Mapping) and item.get("type") == "item_reference":
            why = f"input[{index}] refers to an item that was not stored here."
            return InvalidRequest(why, hint=f"Send the item itself, {instead}", param=f"input[{index}]")
    return None


def is_ours(item: Any) -> bool:
    """A reasoning item that holds what a chat model thought, which only `unseal` reads."""
    sealed = item.get("encrypted_content") if isinstance(item, Mapping) else None
    return isinstance(sealed, str) and sealed.startswith(_SEAL)


def seal(reasoning: Mapping[str, Any], route: str) -> str:
    """What a chat model thought, as `encrypted_content`: opaque to the client, and read again by `unseal`."""
    # It is the client's own data that comes back, so it is packed and not enciphered.
    return _SEAL + urlsafe_b64encode(zlib.compress(wire.dumps({"route": route, **reasoning}))).decode()


def unseal(text: Any) -> dict[str, Any] | None:
    """The fields of a message that `seal` packed; None for what somebody else has sealed."""
    if not isinstance(text, str) or not text.startswith(_SEAL):
        return None
    try:
        # The client may have packed anything: what a few bytes unpack to is bounded.
        unpack = zlib.decompressobj()
        value = wire.loads(unpack.decompress(urlsafe_b64decode(text[len(_SEAL) :]), _MOST_REASONING))
    except (ValueError, zlib.error):
        return None
    return {name: value[name] for name in REASONING if name in value} if isinstance(value, dict) else None


def _write_tools(chat: Chat, choice: Any) -> None:
    functions = chat.tools.functions
    for kind in dict.fromkeys(chat.tools.left_out):
        chat.notes.append(f"the built-in tool {kind} is left out: a chat model does not have it")
    if isinstance(choice, Mapping) and choice.get("type") == "allowed_tools":
        functions, choice = chat.tools.allowed(choice), choice.get("mode") or "auto"
    if not functions:
        chat.body.pop("parallel_tool_calls", None)  # routers refuse it without tools
        return
    chat.body["tools"] = functions
    if isinstance(choice, str):
        chat.body["tool_choice"] = choice
    elif isinstance(choice, Mapping):
        if choice.get("type") in ("function", "custom") and choice.get("name"):
            name = chat.tools.function_of(str(choice["name"]), str(choice.get("namespace") or ""))
            chat.body["tool_choice"] = {"type": "function", "function": {"name": name}}
        else:
            chat.notes.append(f"tool_choice {choice.get('type')} is not heeded: a chat model does not have that tool")


def _write_text(chat: Chat, text: Any) -> None:
    if text is None:
        return
    if not isinstance(text, Mapping):
        raise wrong("text", " is not an object.", 'Send {"format": {"type": "text"}}.')
    if text.get("verbosity"):
        chat.body["verbosity"] = text["verbosity"]
    form = text.get("format")
    if not isinstance(form, Mapping) or form.get("type") in (None, "text"):
        return
    if form["type"] == "json_schema":
        names = ("name", "schema", "strict", "description")
        schema = {name: form[name] for name in names if form.get(name) is not None}
        chat.body["response_format"] = {"type": "json_schema", "json_schema": schema}
    else:
        chat.body["response_format"] = dict(form)


class _Conversation:
    """Items -> messages. Calls, what was thought and said before them make one assistant message; results follow it."""

    def __init__(self, chat: Chat, field_name: str = "input") -> None:
        self._chat = chat
        self._field = field_name
        self._messages: list[dict[str, Any]] = []
        self._turn: dict[str, Any] = {}
        """The assistant message that is being put together."""
        self._results: dict[str, deque[tuple[str, Mapping[str, Any]]]] = {}
        """Results by the id of their call, in order, until they are used."""
        self._ids: set[str] = set()
        self._again: dict[str, int] = {}
        """How often a call's id has come."""

    def read(self, items: Any) -> list[dict[str, Any]]:
        if items is None or isinstance(items, str):
            return [{"role": "user", "content": items}] if items else []
        if not isinstance(items, list):
            raise wrong(self._field, " is neither text nor a list.", "Send a list of items.")
        kinds: list[str] = []
        places = [f"{self._field}[{index}]" for index in range(len(items))]
        for place, item in zip(places, items, strict=True):
            if not isinstance(item, Mapping):
                raise wrong(place, " is not an object.", "Send items as objects.")
            kind = item.get("type") or ("message" if "role" in item else None)
            if not isinstance(kind, str):
                raise InvalidRequest(f"{place} has no type.", hint='Send "type".', param=f"{place}.type")
            kinds.append(kind)
            if kind in ("function_call_output", "custom_tool_call_output"):
                self._results.setdefault(_call_id(item, place), deque()).append((place, item))
        for place, kind, item in zip(places, kinds, items, strict=True):
            take = _ITEMS.get(kind)
            if take is None:
                self._chat.notes.append(f"{place}, a {kind}, is left out: a chat model cannot read it")
            else:
                take(self, item, place)
        self._end_turn()
        return self._messages

    def _message(self, item: Mapping[str, Any], place: str) -> None:
        role = item.get("role")
        if role not in ("user", "assistant", "system", "developer"):
            hint = "Roles are user, assistant, system and developer."
            raise InvalidRequest(f"{place} has the role {role!r}.", hint=hint, param=f"{place}.role")
        content = self._content(item.get("content"), place)
        if role != "assistant":
            self._end_turn()
            if content:
                self._messages.append({"role": role, "content": content})
            return
        if "tool_calls" in self._turn or "content" in self._turn:
            self._end_turn()
        self._turn["content"] = _plain_text(content)
        refusals = [part for part in as_objects(item.get("content")) if part.get("type") == "refusal"]
        if refusals:
            self._turn["refusal"] = "".join(str(part.get("refusal")) for part in refusals)

    def _reasoning(self, item: Mapping[str, Any], place: str) -> None:
        if "tool_calls" in self._turn or "content" in self._turn:
            self._end_turn()
        sealed = item.get("encrypted_content")
        thought = unseal(sealed)
        if thought is None:
            texts = [str(part["text"]) for part in as_objects(item.get("content")) if part.get("text")]
            thought = {"reasoning_content": "\n".join(texts)} if texts else {}
            if sealed and not texts:
                self._chat.notes.append(f"{place}, reasoning that only its maker can read, is left out")
        for name, value in thought.items():  # several items in a row are the thoughts of one turn
            match self._turn.get(name), value:
                case str(before), str(more):
                    self._turn[name] = f"{before}\n{more}"
                case list(before), list(more):
                    self._turn[name] = before + more
                case _:
                    self._turn[name] = value

    def _call(self, item: Mapping[str, Any], place: str) -> None:
        name, kind = item.get("name"), item.get("type")
        if not isinstance(name, str) or not name:
            raise InvalidRequest(f"{place} names no tool.", hint="Send its name.", param=f"{place}.name")
        text = item.get("input" if kind == "custom_tool_call" else "arguments")
        text = text if isinstance(text, str) else wire.dumps({} if text is None else text).decode()
        function = {
            "name": self._chat.tools.function_of(name, str(item.get("namespace") or "")),
            "arguments": freeform_arguments(text) if kind == "custom_tool_call" else text or "{}",
        }
        ident = call_id = _call_id(item, place)
        while ident in self._ids:  # chat completions needs every id once
            self._again[call_id] = count = self._again.get(call_id, 1) + 1
            ident = f"{call_id}_{count}"
        self._ids.add(ident)
        call = {"id": ident, "type": "function", "function": function, "_of": call_id}
        self._turn.setdefault("tool_calls", []).append(call)

    def _result(self, item: Mapping[str, Any], place: str) -> None:
        """One that no call before it has taken belongs to none: told as what it is, since routers refuse it."""
        self._end_turn()
        call_id = _call_id(item, place)
        waiting = self._results[call_id]
        if not waiting or waiting[0][0] != place:
            return
        waiting.popleft()
        head, output = f"Result of the tool call {call_id}:", self._content(item.get("output"), place)
        said = f"{head} {output}" if isinstance(output, str) else [{"type": "text", "text": head}, *output]
        self._messages.append({"role": "user", "content": said})
        self._chat.notes.append(f"{place} is the result of no call in input: sent as text")

    def _end_turn(self) -> None:
        """Close the assistant message; the results of its calls come right behind it, wherever they stood."""
        turn, self._turn = self._turn, {}
        if not turn.keys() & {"content", "refusal", "tool_calls"}:
            if turn:
                self._chat.notes.append("reasoning that led to nothing is left out")
            return
        calls = turn.get("tool_calls", [])
        origins = [call.pop("_of") for call in calls]
        self._messages.append({"role": "assistant", "content": None, **turn})
        pictures: list[dict[str, Any]] = []
        for call, origin in zip(calls, origins, strict=True):
            waiting = self._results.get(origin)
            if not waiting:
                self._messages.append({"role": "tool", "tool_call_id": call["id"], "content": "(no result)"})
                self._chat.notes.append(f"the call {origin} has no result in input: told as such")
                continue
            place, item = waiting.popleft()
            content = self._content(item.get("output"), place)
            self._messages.append({"role": "tool", "tool_call_id": call["id"], "content": _plain_text(content)})
            shown = [part for part in content if part["type"] != "text"] if isinstance(content, list) else []
            if shown:
                pictures += [{"type": "text", "text": f"From the tool call {call['id']}:"}, *shown]
        if pictures:  # a tool's message holds text only
            self._messages.append({"role": "user", "content": pictures})

    def _content(self, content: Any, where: str) -> str | list[dict[str, Any]]:
        """Text, or chat's parts where there is more than text."""
        if content is None or isinstance(content, str):
            return content or ""
        if not isinstance(content, list):
            return wire.dumps(content).decode()
        parts: list[dict[str, Any]] = []
        for at, part in enumerate(content):
            place = f"{where}.content[{at}]"
            if not isinstance(part, str | Mapping):
                raise wrong(place, " is not an object.", "Send content as text or parts.")
            given = {"text": part} if isinstance(part, str) else part
            kind = given.get("type")
            if isinstance(given.get("text"), str):
                parts.append({"type": "text", "text": given["text"]})
            elif kind == "input_image" and given.get("image_url"):
                image = {"url": given["image_url"], **({"detail": given["detail"]} if given.get("detail") else {})}
                parts.append({"type": "image_url", "image_url": image})
            elif kind == "input_file" and (given.get("file_data") or given.get("file_url")):
                names = ("file_data", "filename", "file_url")
                parts.append({"type": "file", "file": {name: given[name] for name in names if given.get(name)}})
            elif kind == "input_audio" and isinstance(given.get("input_audio"), Mapping):
                parts.append({"type": "input_audio", "input_audio": given["input_audio"]})
            elif kind != "refusal":
                why = "stored files are not here" if given.get("file_id") else "a chat model cannot read it"
                self._chat.notes.append(f"{place}, a {kind}, is left out: {why}")
        return parts if any(part["type"] != "text" for part in parts) else _plain_text(parts)


_ITEMS: Mapping[str, Callable[[_Conversation, Mapping[str, Any], str], None]] = {
    "message": _Conversation._message,  # noqa: SLF001 - the table of this class
    "reasoning": _Conversation._reasoning,  # noqa: SLF001
    "function_call": _Conversation._call,  # noqa: SLF001
    "custom_tool_call": _Conversation._call,  # noqa: SLF001
    "function_call_output": _Conversation._result,  # noqa: SLF001
    "custom_tool_call_output": _Conversation._result,  # noqa: SLF001
}


def _call_id(item: Mapping[str, Any], place: str) -> str:
    call_id = item.get("call_id") or item.get("id")
    if not isinstance(call_id, str):
        raise InvalidRequest(f"{place} has no call_id.", hint="Send it.", param=f"{place}.call_id")
    return call_id


def _plain_text(content: str | list[dict[str, Any]]) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if part["type"] == "text")
