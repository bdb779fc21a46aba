"""What a model ref means, for every door."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chomp_mcp.errors import InvalidRequest, NoRouterKey, RequestError, UnknownModel
from chomp_mcp.messages import Model, Router
from chomp_mcp.policy.roster import Roster
from chomp_mcp.policy.routing import MAX_REF, Book, Plan, lists_needed, plan, resolve


def router(router_id: str, **fields: object) -> Router:
    fields.setdefault("key_variable", f"{router_id.upper()}_API_KEY")
    return Router(id=router_id, name=router_id.title(), url=f"https://{router_id}.test/v1", **fields)


ROUTERS = {
    r.id: r
    for r in [
        router("zen", models=("minimax",)),
        router("groq", models=("openai/gpt-oss-120b", "groq/compound")),
        router("cerebras", models=("gpt-oss-120b", "qwen")),
        router("openrouter", models=("openrouter/auto", "openrouter/free")),
        router("ollama", key_variable="", joins_auto="reachable"),
        router("openai", joins_auto="never", deprecated=True),
        router("mock", key_variable="", joins_auto="last", dialect="mock", models=("echo", "lorem"), note="a mock"),
    ]
}


def book(*keyed: str, **fields: object) -> Book:
    keys = {name: ((f"key-{name}", f"id-{name}"),) for name in keyed}
    return Book(ROUTERS, fields.pop("keys", keys), **fields)


def listed(router_id: str, *ids: str, **fields: object) -> Roster:
    return Roster(Model(router_id, model_id, **fields) for model_id in ids)


def refs(model: str, known: Book, router_id: str = "auto", **lists: object) -> list[str]:
    return [route.ref for route in plan(resolve(model, router_id, known, lists), known, lists).routes]


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("groq/openai/gpt-oss-120b", "groq/openai/gpt-oss-120b"),
        ("openrouter/meta-llama/llama-3.3-70b:free", "openrouter/meta-llama/llama-3.3-70b:free"),
        ("groq/groq/compound", "groq/groq/compound"),
        ("groq/compound", "groq/groq/compound"),
        ("openrouter/free", "openrouter/openrouter/free"),
        ("mock/lorem?tokens=200", "mock/lorem?tokens=200"),
    ],
)
def test_a_prefix_that_names_a_router_is_stripped_and_the_rest_is_the_model(model: str, expected: str) -> None:
    known = book("groq", "openrouter")
    assert refs(model, known) == [expected]
    assert lists_needed(resolve(model, "auto", known), known) == ()


def test_the_router_field_wins_over_a_prefix() -> None:
    assert refs("openai/gpt-oss-120b", book("groq"), "groq") == ["groq/openai/gpt-oss-120b"]
    assert refs("groq/llama", book("groq"), "groq") == ["groq/llama"]


def test_a_contradicting_prefix_of_a_keyed_router_is_refused_unless_the_named_router_serves_that_name() -> None:
    known = book("groq", "openai")
    with pytest.raises(InvalidRequest, match="contradicts") as caught:
        refs("openai/gpt-4o", known, "groq", groq=listed("groq", "llama"))
    assert caught.value.param == "router"
    served = listed("groq", "openai/gpt-4o")
    assert refs("openai/gpt-4o", known, "groq", groq=served) == ["groq/openai/gpt-4o"]


def test_a_named_router_without_a_key_is_an_error_that_says_where_the_key_goes() -> None:
    with pytest.raises(NoRouterKey, match="chomp-mcp keys add openai") as caught:
        refs("openai/gpt-oss-120b", book("groq"), groq=listed("groq", "openai/gpt-oss-120b"))
    assert caught.value.router == "openai"
    assert "groq/openai/gpt-oss-120b" in caught.value.hint


def mock_note(model: str, known: Book) -> str:
    return plan(resolve(model, "auto", known), known, {}).routes[0].router.note


def test_mock_answers_auto_only_when_nothing_else_is_there_and_says_why_in_the_place_of_its_rows_note() -> None:
    known = book()
    found = plan(resolve("auto", "auto", known), known, {})
    assert found.routes[0].ref == "mock/echo"
    assert found.routes[0].router.note == "the built-in mock answered: no router key is registered"
    assert found.notes == ()
    assert mock_note("auto", book("openai")).endswith("no router that auto may choose has a key")
    assert refs("auto", book("groq"))[0] == "groq/openai/gpt-oss-120b"


def test_a_mock_that_was_named_says_what_its_row_says() -> None:
    for ref in ("mock/echo", "mock/auto", "echo"):
        assert mock_note(ref, book()) == ROUTERS["mock"].note
    assert mock_note("auto", book("groq", provider="mock")) == ROUTERS["mock"].note
    assert mock_note("", book(default_model="mock/500")) == ROUTERS["mock"].note


def test_auto_as_model_is_the_preference_list_as_far_as_it_is_live() -> None:
    known = book("cerebras")
    assert refs("cerebras/auto", known, cerebras=listed("cerebras", "qwen", "other")) == ["cerebras/qwen"]
    assert refs("auto", known, "cerebras", cerebras=listed("cerebras", "other")) == ["cerebras/other"]
    assert refs("cerebras/auto", known) == ["cerebras/gpt-oss-120b", "cerebras/qwen"]


def test_a_model_that_is_gone_is_passed_over_and_the_plan_says_so() -> None:
    known = book("cerebras", gone=frozenset({("cerebras", "gpt-oss-120b")}))
    found = plan(resolve("cerebras/auto", "auto", known), known, {})
    assert [route.model for route in found.routes] == ["qwen"]
    assert found.notes == ("cerebras no longer serves gpt-oss-120b",)


def test_a_bare_name_that_is_gone_everywhere_is_asked_for_all_the_same() -> None:
    known = book("groq", "cerebras", gone=frozenset({("groq", "qwen")}))
    lists = {"groq": listed("groq", "qwen"), "cerebras": listed("cerebras", "qwen")}
    assert refs("qwen", known, **lists) == ["cerebras/qwen"]
    gone = frozenset({("groq", "qwen"), ("cerebras", "qwen")})
    assert refs("qwen", replace(known, gone=gone), **lists) == ["groq/qwen", "cerebras/qwen"]


def test_a_model_that_is_asked_for_all_the_same_is_not_told_as_gone() -> None:
    known = book("cerebras", gone=frozenset({("cerebras", "qwen")}))
    lists = {"cerebras": listed("cerebras", "qwen")}
    assert plan(resolve("qwen", "auto", known), known, lists).notes == ()


def test_without_credit_auto_is_the_free_model_with_the_largest_context_that_is_not_tiny() -> None:
    models = [
        Model("openrouter", "openrouter/auto"),
        Model("openrouter", "small:free", context_length=8_000, free=True),
        Model("openrouter", "gemma-4b:free", context_length=1_000_000, free=True),
        Model("openrouter", "big-120b:free", context_length=256_000, free=True),
    ]
    known = book("openrouter", no_credit=frozenset({"openrouter"}))
    assert refs("openrouter/auto", known, openrouter=Roster(models))[0] == "openrouter/big-120b:free"


def test_a_bare_name_is_one_plan_over_every_keyed_router_that_has_it_exact_ids_first() -> None:
    known = book("groq", "cerebras", "zen")
    lists = {
        "groq": listed("groq", "openai/gpt-oss-120b"),
        "cerebras": listed("cerebras", "gpt-oss-120b"),
        "zen": Roster(),
    }
    assert refs("gpt-oss-120b", known, **lists) == ["cerebras/gpt-oss-120b", "groq/openai/gpt-oss-120b"]


def test_a_name_that_nobody_has_is_unknown_and_close_names_are_told() -> None:
    with pytest.raises(UnknownModel) as caught:
        refs("gpt-os-120b", book("cerebras"), cerebras=listed("cerebras", "gpt-oss-120b"))
    assert caught.value.did_you_mean == ("cerebras/gpt-oss-120b",)


def test_a_router_in_place_of_a_model_is_told_as_one() -> None:
    with pytest.raises(UnknownModel, match=r"groq is a router, not a model\. Ask for groq/auto") as caught:
        refs("Groq", book("groq"), groq=listed("groq", "openai/gpt-oss-120b"))
    assert caught.value.did_you_mean == ("groq/auto",)


def test_an_unknown_router_is_an_error_with_the_closest_ids() -> None:
    with pytest.raises(InvalidRequest, match="Did you mean groq"):
        resolve("x", "grok", book())


def test_the_default_model_stands_for_a_caller_who_names_none_with_the_fallbacks_behind_it() -> None:
    known = book("groq", "cerebras", default_model="groq/llama", fallbacks=("cerebras/qwen",))
    assert refs("", known) == ["groq/llama", "cerebras/qwen"]
    assert refs("auto", known) == ["groq/llama", "cerebras/qwen"]
    assert refs("auto", known, "cerebras")[0] == "cerebras/gpt-oss-120b"


def test_the_note_of_the_default_model_names_its_router() -> None:
    known = book(default_model="mock/500", fallbacks=("mock/echo",))
    assert plan(resolve("", "auto", known), known, {}).notes == ("default model mock/500",)
    known = book("groq", default_model="qwen")
    assert plan(resolve("", "auto", known), known, {"groq": listed("groq", "qwen")}).notes == ("default model qwen",)


@pytest.mark.parametrize("odd", ["half an emoji \ud83d", "a\0b", "two\nlines", "x" * (MAX_REF + 1)])
def test_what_can_be_no_name_is_refused_before_anybody_is_asked(odd: str) -> None:
    known = book("groq")
    for model, router_id, param in ((odd, "auto", "model"), (f"groq/{odd}", "", "model"), ("m", odd, "router")):
        with pytest.raises(InvalidRequest, match="names") as caught:
            resolve(model, router_id, known)
        assert caught.value.param == param
        assert str(caught.value).isprintable()
    assert refs(f" groq/{'x' * (MAX_REF - 5)}\n", known)


def test_several_keys_of_a_router_are_tried_side_by_side() -> None:
    known = book(keys={"groq": (("secret-one", "1"), ("secret-two", "2"))})
    found = plan(resolve("groq/llama", "auto", known), known, {})
    assert [route.key for route in found.routes] == ["secret-one", "secret-two"]
    assert "secret" not in repr(found)


def test_only_a_ref_that_left_a_choice_may_be_answered_by_another_route() -> None:
    known = book("groq", "cerebras")
    lists = {"groq": listed("groq", "qwen"), "cerebras": listed("cerebras", "qwen")}
    choices = {
        ref: plan(resolve(ref, "auto", known), known, lists).free_choice for ref in ("groq/x", "groq/auto", "qwen")
    }
    assert choices == {"groq/x": False, "groq/auto": True, "qwen": True}


words = st.sampled_from([*ROUTERS, "auto", "qwen", "gpt-oss-120b", "", " ", "x:free", "ä", "?"])


@given(
    model=st.lists(words, max_size=4).map("/".join) | st.text(max_size=30),
    router_id=words | st.text(max_size=10),
    keyed=st.sets(st.sampled_from(list(ROUTERS))),
    lists=st.dictionaries(st.sampled_from(list(ROUTERS)), st.lists(words, max_size=4), max_size=5),
)
def test_every_ref_has_a_plan_or_an_error_that_the_caller_can_mend(
    model: str, router_id: str, keyed: set[str], lists: dict[str, list[str]]
) -> None:
    known = book(*keyed)
    live = {name: listed(name, *ids) for name, ids in lists.items()}
    try:
        found = plan(resolve(model, router_id, known, live), known, live)
    except RequestError:
        return
    assert isinstance(found, Plan)
    assert found.routes
    assert all(route.router.id in keyed or not route.router.needs_key for route in found.routes)
    assert all(not route.router.deprecated for route in found.routes) or len({r.router.id for r in found.routes}) == 1
