"""A conversation as one router takes it: roles, fields, contents and tool ids, by the row of the catalog."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from chomp_mcp.dialects.openai.tool_calls import mend_arguments
from chomp_mcp.dialects.openai.tool_ids import Ids
from chomp_mcp.errors import InvalidRequest
from chomp_mcp.messages import Router, text_of

_PLAIN = frozenset({"role", "content"})

MEDIA: Mapping[str, str] = {
    **dict.fromkeys(("image_url", "input_image", "image"), "image"),
    **dict.fromkeys(("file", "input_file", "document"), "file"),
    **dict.fromkeys(("input_audio", "audio"), "audio"),
    **dict.fromkeys(("video_url", "input_video"), "video"),
}
"""Type of a content part -> what it is."""


@dataclass(slots=True)
class History:
    """The messages to send, and what of the given ones does not travel."""

    messages: list[Any]
    lost: set[str] = field(default_factory=set)
    """Paths such as `messages[].reasoning_content`."""
    notes: list[str] = field(default_factory=list)
    """Sentences on what goes out although it fits nothing."""
    is_plain: bool = True
    """Every message is a role and a text, as most are."""


def fit(
    router: Router, messages: Iterable[Any], dropped: frozenset[str], *, tool_ids: str = "", keeps_sealed: bool = False
) -> History:
    """The conversation for this router; the given messages are not changed, and most go out as they are.

    Args:
        router: its row says which roles, message fields, parts and tool ids it takes.
        messages: as the caller wrote them.
        dropped: message fields that the row drops, beside those that it does not know.
        tool_ids: the shape of ids that the dialect insists on, whatever the row says.
        keeps_sealed: the dialect sorts out itself who can read reasoning that a Responses route has sealed.

    Raises:
        InvalidRequest: a message holds nothing but a file or a picture that this router cannot take.
    """
    history, roles = History(list(messages)), router.roles
    odd = [
        place
        for place, message in enumerate(history.messages)
        if isinstance(message, dict)
        and not (
            len(message) == len(_PLAIN)
            and type(message.get("content")) is str
            and type(role := message.get("role")) is str
            and role != "tool"
            and role not in roles
        )
    ]
    if not odd:
        return history
    history.is_plain, has_calls = False, False
    fitting = _Fitting(router, dropped, keeps_sealed, history.lost)
    for place in odd:
        history.messages[place] = fitted = fitting.message(history.messages[place])
        has_calls = has_calls or "tool_calls" in fitted or fitted.get("role") == "tool"
    if has_calls:
        history.notes = Ids(tool_ids or router.tool_ids).pair(history.messages)
    history.notes += [f"reasoning that only {ref} can read is left out" for ref in sorted(fitting.makers)]
    return history


@dataclass(slots=True)
class _Fitting:
    router: Router
    dropped: frozenset[str]
    keeps_sealed: bool
    lost: set[str]
    makers: set[str] = field(default_factory=set)
    """Routes whose sealed reasoning was left out."""

    def message(self, message: dict[str, Any]) -> dict[str, Any]:
        fitted: dict[str, Any] = {}
        known = self.router.message_fields
        # What the model thought, under the one name that this router reads.
        wanted = self.router.reasoning_field
        other = _REASONING.get(wanted, "")
        if other and isinstance(message.get(other), str):
            thought = message.get(wanted) or message[other]
            message = {**{name: value for name, value in message.items() if name != other}, wanted: thought}
        for name, value in message.items():
            if name == "content":
                fitted[name] = self._content(message, value)
            elif value is None or (name == "tool_calls" and value == []):
                continue  # nothing is said, and some (Groq) refuse the null
            elif name in self.dropped or (known and name not in known):
                self.lost.add(f"messages[].{name}")
            elif name == "reasoning_details" and isinstance(value, list) and not self.keeps_sealed:
                kept = []
                for entry in value:
                    # What dialects/responses/reasoning.py marked: every other route refuses it, or cannot read it.
                    if isinstance(entry, dict) and isinstance(maker := entry.get("route"), str):
                        self.makers.add(maker)
                    else:
                        kept.append(entry)
                if kept:
                    fitted[name] = kept
            else:
                fitted[name] = value
        role = fitted.get("role")
        if isinstance(role, str):
            fitted["role"] = self.router.roles.get(role, role)
        if isinstance(fitted.get("tool_calls"), list):
            # Clients that add up a stream leave its `index` in.
            calls = fitted["tool_calls"] = [
                {key: part for key, part in call.items() if key != "index"} if isinstance(call, dict) else call
                for call in fitted["tool_calls"]
            ]
            for call in (each for each in calls if isinstance(each, dict)):
                function = call.get("function")
                if isinstance(function, dict) and not isinstance(function.get("arguments"), str):
                    call["function"] = mend_arguments(dict(function))  # some keep them as an object
        return fitted

    def _content(self, message: dict[str, Any], content: Any) -> Any:
        if content is None:
            has_calls = bool(message.get("tool_calls") or message.get("function_call"))
            return None if has_calls and self.router.null_content == "keep" else ""
        if not isinstance(content, list):
            return content
        kept, media = [], self.router.media
        for part in content:
            kind = MEDIA.get(str(part.get("type"))) if isinstance(part, dict) else None
            image = part.get("image_url") if kind == "image" else None
            url = image.get("url") if isinstance(image, dict) else image
            # `image_data`: it fetches none from the web.
            is_inline = "image_data" in media and isinstance(url, str) and url.startswith("data:")
            if kind is None or kind in media or is_inline:
                kept.append(part)
            else:
                self.lost.add(f"messages[].content[].{part['type']}")
        if content and not kept:
            kinds = sorted({str(part.get("type")) for part in content if isinstance(part, dict)})
            why = f"{self.router.id} takes no {', '.join(kinds)}, and a message holds nothing else."
            hint = "Name a model that takes it, or send its text."
            raise InvalidRequest(why, hint=hint, param="messages")
        role = str(message.get("role"))
        if self.router.roles.get(role, role) in self.router.flatten and all(
            isinstance(part, dict) and part.get("type") in ("text", "refusal") for part in kept
        ):
            self.lost.update(f"messages[].content[].{name}" for part in kept for name in part.keys() - {"type", "text"})
            return "\n".join(text_of([part]) for part in kept)
        return kept if len(kept) < len(content) else content


_REASONING = {"reasoning": "reasoning_content", "reasoning_content": "reasoning"}
