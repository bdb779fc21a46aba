"""A dialect is found by its name."""

from __future__ import annotations

import pytest

from chomp_mcp.dialects import DIALECTS, dialect
from chomp_mcp.dialects.openai import request as openai


def test_every_dialect_is_loaded_by_its_name():
    assert dialect("openai") is DIALECTS["openai"] is openai
    assert "telepathy" not in DIALECTS
    with pytest.raises(KeyError):
        dialect("telepathy")
