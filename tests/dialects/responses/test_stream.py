"""The events of Responses as chunks of a chat completion."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chomp_mcp.dialects.responses import answer as responses
from tests.dialects.chunking import outcome, pieces, singly
from tests.dialects.responses.router import ITEM, PATCH, added_up, decoded
from tests.support.responses_answers import events_of, response, said, thought, wired

WHOLE = response(
    thought("hm", "so"), said("hellö " * 5), {**ITEM, "arguments": '{"at": "Rome"}'}, PATCH, said("and", "msg_2")
)


def test_a_stream_adds_up_to_the_whole():
    body, decoder = added_up(wired(events_of(WHOLE)))
    whole = decoded(WHOLE)
    assert {name: body["choices"][0]["message"].get(name) for name in whole.message} == whole.message
    assert decoder.usage == whole.usage
    assert body["choices"][0]["finish_reason"] == whole.finish_reason


@pytest.mark.parametrize("kept", [("response.output_item.done",), ()])
def test_a_server_that_tells_items_only_when_they_are_done_or_at_the_end_loses_nothing(kept):
    names = {"response.created", "response.completed", *kept}
    body, _ = added_up(wired([event for event in events_of(WHOLE) if event["type"] in names]))
    message, expected = body["choices"][0]["message"], decoded(WHOLE).message
    assert message["content"] == expected["content"]
    assert message["tool_calls"] == expected["tool_calls"]
    assert message["reasoning_details"] == expected["reasoning_details"]


def test_a_stream_that_lacks_its_end_is_not_finished():
    decoder = added_up(wired(events_of(WHOLE)[:-1]))[1]
    assert not decoder.finished


@given(st.data())
def test_any_chunking_gives_the_same(data):
    stream = wired(events_of(WHOLE))
    expected = outcome(responses.decoder(), [stream])
    assert outcome(responses.decoder(), data.draw(pieces(stream))) == expected


def test_every_byte_alone_gives_the_same():
    stream = wired(events_of(response("hé")))
    assert outcome(responses.decoder(), singly(stream)) == outcome(responses.decoder(), [stream])
