"""What an OpenAI-shaped answer says: its usage, its cost, its error, and what came in its place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from chomp_mcp import wire
from chomp_mcp.dialects.openai.text import loads
from chomp_mcp.dialects.openai.tool_calls import mend_message
from chomp_mcp.dialects.openai.usage import read_cost, read_usage
from chomp_mcp.dialects.values import as_list, as_mapping
from chomp_mcp.messages import Completion, ErrorObject, Failed, FailureKind, Usage

_TITLE = re.compile(rb"<title[^>]*>\s*([^<]{1,80})", re.IGNORECASE)


def decode(body: bytes) -> Completion | Failed | ErrorObject:
    """A whole `chat.completion`, the router's own object.

    `reasoning_content` is added where only `reasoning` is, and tool calls are mended.
    """
    answer = answer_in(body)
    if not isinstance(answer, dict):
        return answer
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices:
        return _no_answer(answer, "The router answered with JSON that holds no choices.")
    kept = [choice for choice in choices if isinstance(choice, dict) and isinstance(choice.get("message"), dict)]
    if not kept:
        return _no_answer(answer, "The router answered with a choice that holds no message.")
    answer["choices"] = kept
    for choice in kept:
        message = choice["message"]
        if "reasoning" in message:
            share_reasoning(message)
        if "tool_calls" in message or "function_call" in message:
            mend_message(message)
    return answered(Completion(answer, usage=_usage(answer), cost_usd=read_cost(answer)))


def answered(completion: Completion) -> Completion | Failed:
    """The answer, if it is one: a choice of it must say, call or refuse something, or tell why it cannot."""
    if completion.is_answer:
        return completion
    return Failed(FailureKind.TRANSIENT, NOTHING_SAID, usage=completion.usage, cost_usd=completion.cost_usd)


NOTHING_SAID = "The router answered with nothing: no text, no tool call, no refusal."


def _no_answer(answer: Mapping[str, Any], message: str) -> Failed:
    """It failed, and may cost something all the same."""
    return Failed(FailureKind.TRANSIENT, message, usage=_usage(answer), cost_usd=read_cost(answer))


def _usage(answer: Mapping[str, Any]) -> Usage | None:
    return read_usage(answer.get("usage"), answer.get("service_tier"))


def answer_in(body: bytes) -> dict[str, Any] | Failed | ErrorObject:
    """The object of a whole answer; or the error that it holds; or what came in its place."""
    answer = object_in(body)
    return answer if isinstance(answer, Failed) else error_in(answer) or answer


def object_in(body: bytes) -> dict[str, Any] | Failed:
    """The object that a body is; or what came in its place."""
    try:
        answer = loads(body)
    except ValueError:
        return nonsense(body)
    return answer if isinstance(answer, dict) else nonsense(body)


def error_in(answer: Mapping[str, Any]) -> ErrorObject | None:
    """The error that an answer or a chunk holds; None when it holds none."""
    # OpenRouter and Groq put errors into a 200 or into the stream, Groq as `x_groq.error`, Cerebras nested or flat with
    # a `status_code`, vLLM as `object: "error"`, OpenRouter also inside the choice.
    error = answer.get("error")
    if not error and "x_groq" in answer:
        error = as_mapping(answer["x_groq"]).get("error")
    if not error and "choices" in answer:
        for choice in as_list(answer["choices"]):
            if isinstance(choice, dict) and (choice.get("error") or choice.get("finish_reason") == "error"):
                unnamed = {"message": "The router ended the answer with an error that it did not name."}
                error = choice.get("error") or unnamed
                break
    elif not error:
        if answer.get("object") == "error" or ("message" in answer and ("code" in answer or "type" in answer)):
            error = answer
        elif isinstance(answer.get("detail"), str):
            error = {"message": answer["detail"]}  # FastAPI's own form
    if not error:
        return None
    status = answer.get("status_code")
    return ErrorObject(error, status if isinstance(status, int) else None)


def nonsense(body: bytes) -> Failed:
    """A 200 that is no answer: says what came instead. Nothing of the body but an HTML title is repeated."""
    text = body.strip()
    if not text:
        what = "nothing"
    elif text[:1] == b"<":
        title = _TITLE.search(text[:65_536])
        what = "an HTML page" + (f" ({title[1].decode('utf-8', 'replace').strip()})" if title else "")
    elif wire.is_overfull(body):
        what = "JSON of millions of values"
    else:
        what = "something that is not a JSON object"
    return Failed(FailureKind.TRANSIENT, f"The router answered with {what}.")


def share_reasoning(message: Any) -> bool:
    """Give a message or a delta that has only `reasoning` the `reasoning_content` that most clients read."""
    if not isinstance(message, dict) or "reasoning_content" in message:
        return False
    reasoning = message.get("reasoning")
    if not isinstance(reasoning, str):
        return False
    message["reasoning_content"] = reasoning
    return True
