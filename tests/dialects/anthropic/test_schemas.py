"""Schemas as Messages takes them."""

from __future__ import annotations

from tests.dialects.anthropic.router import HELLO, sent, told


def test_a_schema_becomes_the_output_format():
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    assert sent({**HELLO, "response_format": wanted})["output_config"] == {
        "format": {"type": "json_schema", "schema": {"type": "object", "additionalProperties": False}}
    }
    assert told({**HELLO, "response_format": wanted}) == ()
