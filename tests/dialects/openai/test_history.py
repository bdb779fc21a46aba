"""Messages as a router takes them."""

from __future__ import annotations

from chomp_mcp.messages import Router
from tests.dialects.openai.router import sent

LAB = Router(id="lab", name="Lab", url="http://lab/v1", max_tokens="")


def test_null_fields_of_messages_are_left_out_but_for_the_content_beside_calls():
    call = {"role": "assistant", "content": None, "refusal": None, "tool_calls": [{"id": "1"}]}
    assert sent(LAB, {"messages": [call]})[1]["messages"] == [
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}
    ]


def test_messages_that_are_no_messages_are_the_routers_to_judge():
    assert sent(LAB, {"messages": ["odd", 3]})[1]["messages"] == ["odd", 3]
