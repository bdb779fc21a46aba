"""Groups as they are read, and what a pattern stands for."""

from __future__ import annotations

import pytest

from chomp_mcp.errors import InvalidSetting
from chomp_mcp.messages import Group, Model, Router
from chomp_mcp.policy.groups import checked_groups, matching, pattern_routers
from chomp_mcp.policy.roster import Roster
from chomp_mcp.policy.routing import Book

ROUTERS = {name: Router(name, name, f"http://{name}", key_variable="K") for name in ("groq", "zen", "openai")}
LISTS = {
    "groq": Roster(Model("groq", name) for name in ("qwen/qwen3", "llama:free")),
    "zen": Roster(Model("zen", name) for name in ("qwen3", "glm:free")),
}


def known(**more):
    return Book(ROUTERS, dict.fromkeys(("groq", "zen"), (("k", "k"),)), **more)


def test_names_of_other_groups_stand_for_their_models_in_their_order():
    rows = {
        "all": {"models": ["zen/x", "quick", "local"], "order": "cost", "hedge": True},
        "quick": {"models": ["groq/*", "local"]},
        "local": {"models": ["small"], "needs": ["tools"], "sticky": False},
    }
    groups = checked_groups(rows, ROUTERS)
    assert groups["all"] == Group("all", ("zen/x", "groq/*", "small", "small"), "cost", frozenset(), True, True)
    assert groups["local"] == Group("local", ("small",), "listed", frozenset({"tools"}), False, False)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (["coding"], "not a table"),
        ({"coding": ["a"]}, "not a table"),
        ({"groq": {"models": ["a"]}}, "is a router's id"),
        ({"a/b": {"models": ["a"]}}, "may hold only letters"),
        ({"a": {"models": ["a"], "colour": 1}}, "unknown field 'colour'"),
        ({"a": {"models": []}}, "models must be a list"),
        ({"a": {"models": ["two words"]}}, "no model ref"),
        ({"a": {"models": ["grok*/x"]}}, "there is no router 'grok\\*'"),
        ({"a": {"models": ["x"], "order": "luck"}}, "order must be one of"),
        ({"a": {"models": ["x"], "needs": ["eyes"]}}, "needs must be a list"),
        ({"a": {"models": ["x"], "hedge": "yes"}}, "hedge must be true or false"),
        ({"a": {"models": ["b"]}, "b": {"models": ["a"]}}, "names itself: a -> b -> a"),
    ],
)
def test_a_wrong_group_is_named_with_its_field(rows, says):
    with pytest.raises(InvalidSetting, match=says) as wrong:
        checked_groups(rows, ROUTERS)
    assert wrong.value.hint


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("groq/*", [("groq", "qwen/qwen3"), ("groq", "llama:free")]),
        ("*/*:free", [("groq", "llama:free"), ("zen", "glm:free")]),
        ("qwen*", [("groq", "qwen/qwen3"), ("zen", "qwen3")]),
        ("groq/qwen3*", []),
        ("openai/*", []),
    ],
)
def test_a_pattern_stands_for_what_is_listed_and_matches(pattern, found):
    assert sorted(matching(pattern, known(), LISTS)) == sorted(found)


def test_what_is_gone_is_left_out_and_a_router_without_a_key_too():
    assert ("zen", "glm:free") not in matching("*:free", known(gone={("zen", "glm:free")}), LISTS)
    assert pattern_routers("openai/*", known()) == []
    assert sorted(pattern_routers("*", known())) == ["groq", "zen"]
