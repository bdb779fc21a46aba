"""What lists say that a model can, in the words of each."""

from __future__ import annotations

from typing import Any

import pytest

from chomp_mcp.dialects.openai.abilities import abilities


@pytest.mark.parametrize(
    ("row", "can", "cannot"),
    [
        ({"id": "m"}, set(), set()),
        (
            {"supported_parameters": ["tools", "reasoning"], "architecture": {"input_modalities": ["text", "image"]}},
            {"tools", "reasoning", "vision"},
            {"json_schema"},
        ),
        (
            {"supported_parameters": ["max_tokens"], "architecture": {"input_modalities": ["text"]}},
            set(),
            {"tools", "parallel_tools", "reasoning", "vision", "json_schema"},
        ),
        ({"capabilities": {"function_calling": True, "vision": False}}, {"tools"}, {"vision"}),
        ({"capabilities": {"image_input": {"supported": True}}}, {"vision"}, set()),
        ({"capabilities": ["completion", "tools"]}, {"tools"}, set()),
        ({"supported_features": ["tools"]}, {"tools"}, {"json_schema"}),
        ({"input_modalities": ["text", "file"]}, {"documents"}, {"vision"}),
        ({"supported_parameters": None, "capabilities": "x", "architecture": 3, "input_modalities": {}}, set(), set()),
        ({"supportsTools": False}, set(), {"tools", "parallel_tools"}),
    ],
)
def test_lists_say_what_a_model_can(row: dict[str, Any], can: set[str], cannot: set[str]) -> None:
    assert abilities(row) == (can, cannot)
