"""Chat completions as OpenAI's API gives them: the fields that `Chomp.chat` promises.

Routers add fields of their own, which come through as they are; a type checker knows these.
Source: platform.openai.com/docs/api-reference/chat.
"""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict


class FunctionCall(TypedDict):
    """The function to call; `arguments` is JSON as the model wrote it."""

    name: str
    arguments: str


class ToolCall(TypedDict):
    """A call that the model asks for."""

    id: str
    type: str
    function: FunctionCall


class AssistantMessage(TypedDict):
    """What the model said; `content` is None when it only called tools."""

    role: str
    content: str | None
    tool_calls: NotRequired[list[ToolCall]]
    refusal: NotRequired[str | None]
    reasoning_content: NotRequired[str]


class Choice(TypedDict):
    """One answer; `finish_reason` is stop, length, tool_calls, content_filter or a router's own word."""

    index: int
    message: AssistantMessage
    finish_reason: str


class TokenCounts(TypedDict):
    """Tokens, in OpenAI's words; `total_tokens` is the sum."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: NotRequired[dict[str, Any]]
    completion_tokens_details: NotRequired[dict[str, Any]]


class ChatCompletion(TypedDict):
    """A whole answer; `created` is epoch seconds, `model` the router's own id of it."""

    id: str
    object: str
    created: int
    model: str
    choices: list[Choice]
    usage: NotRequired[TokenCounts]


class ToolCallPiece(TypedDict):
    """A piece of the tool call of that index; `function.arguments` is to be appended to what came before."""

    index: int
    id: NotRequired[str]
    type: NotRequired[str]
    function: NotRequired[dict[str, str]]


class Piece(TypedDict, total=False):
    """What a chunk adds to the message."""

    role: str
    content: str | None
    tool_calls: list[ToolCallPiece]
    refusal: str | None
    reasoning_content: str


class ChunkChoice(TypedDict):
    """A piece of the answer of that index."""

    index: int
    delta: Piece
    finish_reason: NotRequired[str | None]


class ChatChunk(TypedDict):
    """One piece of a streamed answer; the last one may hold usage and no choice."""

    id: str
    object: str
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: NotRequired[TokenCounts | None]
