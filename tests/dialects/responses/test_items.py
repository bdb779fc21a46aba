"""A conversation as input items."""

from __future__ import annotations

from openai.types.responses import ResponseInputItemParam
from pydantic import TypeAdapter

from tests.dialects.responses.router import CALL, HELLO, sent


def test_a_history_becomes_items_in_the_same_order():
    png = "data:image/png;base64,QUJD"
    see = [
        {"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": png, "detail": "low"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,UERG", "filename": "a.pdf"}},
    ]
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": see},
        {"role": "assistant", "content": "I look.", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "sun"}, see[1]]},
        {"role": "system", "content": "in mid-conversation"},
        {"role": "assistant", "content": None, "refusal": "no"},
    ]
    items = sent(messages=messages)["input"]
    assert items == [
        {"type": "message", "role": "system", "content": "be brief"},
        {
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "see"},
                {"type": "input_image", "image_url": png, "detail": "low"},
                {"type": "input_file", "file_data": "data:application/pdf;base64,UERG", "filename": "a.pdf"},
            ],
        },
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
        {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"at": "Rome"}'},
        {
            "type": "function_call_output",
            "call_id": "c1",
            "output": [
                {"type": "input_text", "text": "sun"},
                {"type": "input_image", "image_url": png, "detail": "low"},
            ],
        },
        {"type": "message", "role": "system", "content": "in mid-conversation"},
        {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
    ]
    for item in items:
        if item["type"] != "message" or item["role"] != "assistant":  # the SDK wants ids there, the API does not
            TypeAdapter(ResponseInputItemParam).validate_python(item)


def test_a_free_form_call_and_its_result_are_items_of_their_own():
    call = {"id": "c2", "type": "custom", "custom": {"name": "apply_patch", "input": "*** é"}}
    turns = [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c2", "content": "ok"}]
    assert sent(messages=[*HELLO["messages"], *turns])["input"][1:] == [
        {"type": "custom_tool_call", "call_id": "c2", "name": "apply_patch", "input": "*** é"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": "ok"},
    ]
