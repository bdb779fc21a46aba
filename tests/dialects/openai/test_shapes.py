"""OpenAI's objects, as the official package reads them."""

from __future__ import annotations

from openai.types import CompletionUsage
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from chomp_mcp.dialects.openai import shapes
from chomp_mcp.dialects.openai.collect import Folder
from chomp_mcp.messages import Usage

TOP = shapes.head("id-1", "m")
USAGE = Usage(10, 5, 4, cache_write_tokens=2, reasoning_tokens=3)
CALL = shapes.call("c1", "weather", {"in": "Rome"})


def test_a_whole_answer_and_its_chunks_say_the_same():
    whole = shapes.completion(TOP, {"content": "hi", "tool_calls": [CALL]}, "tool_calls", USAGE)
    read = ChatCompletion.model_validate(whole.body)
    assert (read.choices[0].message.content, read.choices[0].finish_reason) == ("hi", "tool_calls")
    assert read.choices[0].message.tool_calls[0].function.arguments == '{"in":"Rome"}'
    chunks = shapes.as_chunks(whole.body)
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk.chunk)
    folder = Folder()
    folder.add(chunks)
    assert folder.body()["choices"][0]["message"] == whole.body["choices"][0]["message"]
    assert folder.body()["usage"] == whole.body["usage"]


def test_usage_has_openais_words_and_no_count_that_nobody_made():
    read = CompletionUsage.model_validate(shapes.usage_object(USAGE))
    assert (read.prompt_tokens, read.completion_tokens, read.total_tokens) == (10, 5, 15)
    assert (read.prompt_tokens_details.cached_tokens, read.completion_tokens_details.reasoning_tokens) == (4, 3)
    plain = shapes.usage_object(Usage(1, 1))
    assert "completion_tokens_details" not in plain
    assert plain["prompt_tokens_details"] == {"cached_tokens": 0}
    assert shapes.usage_piece(TOP, USAGE).is_usage_only


def test_a_call_without_arguments_has_an_empty_object():
    assert shapes.call("c", "f", None)["function"]["arguments"] == "{}"
