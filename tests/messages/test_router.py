"""A router as its models are called, and what a ref is."""

from __future__ import annotations

from chomp_mcp.messages import Model, Route, Router

MESSAGES = Router("zen", "Zen", "http://zen", dialect="anthropic")
ZEN = Router("zen", "Zen", "http://zen", speaks={"anthropic": ("claude-*",)}, spoken={"anthropic": MESSAGES})


def test_a_model_is_called_in_the_dialect_that_it_speaks_there():
    assert ZEN.serving("claude-opus-5") is MESSAGES
    assert ZEN.serving("glm-5") is ZEN


def test_a_ref_names_router_and_model_and_a_group_itself():
    assert Route(ZEN, "v/m").ref == Model("zen", "v/m").ref == "zen/v/m"
    assert Model("", "coding").ref == "coding"


def test_no_repr_shows_a_key():
    assert "sk-1" not in repr(Route(ZEN, "m", "sk-1"))
