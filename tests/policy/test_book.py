"""Which routers auto may use, and in which order."""

from __future__ import annotations

from chomp_mcp.messages import Model, Router
from chomp_mcp.policy.roster import Roster
from chomp_mcp.policy.routing import MOST_ROUTERS, Book, auto_order, lists_needed, plan, resolve
from tests.policy.test_routing import ROUTERS


def router(router_id: str, **fields: object) -> Router:
    fields.setdefault("key_variable", f"{router_id.upper()}_API_KEY")
    return Router(id=router_id, name=router_id.title(), url=f"https://{router_id}.test/v1", **fields)


def book(*keyed: str, **fields: object) -> Book:
    keys = {name: ((f"key-{name}", f"id-{name}"),) for name in keyed}
    return Book(ROUTERS, fields.pop("keys", keys), **fields)


def listed(router_id: str, *ids: str, **fields: object) -> Roster:
    return Roster(Model(router_id, model_id, **fields) for model_id in ids)


def refs(model: str, known: Book, router_id: str = "auto", **lists: object) -> list[str]:
    return [route.ref for route in plan(resolve(model, router_id, known, lists), known, lists).routes]


def test_auto_takes_the_provider_then_the_fallbacks_then_the_catalog() -> None:
    known = book("zen", "groq", "cerebras", "openrouter", provider="cerebras", fallbacks=("openrouter", "zen/glm"))
    assert auto_order(known) == ("cerebras", "openrouter", "zen", "groq")


def test_ollama_joins_auto_when_it_answers_or_when_it_is_named() -> None:
    assert "ollama" not in auto_order(book("groq"))
    assert auto_order(book("groq", reachable=frozenset({"ollama"}))) == ("groq", "ollama")
    assert auto_order(book("groq", provider="ollama")) == ("ollama", "groq")


def test_deprecated_routers_never_answer_auto() -> None:
    assert auto_order(book("openai")) == ("mock",)
    assert refs("openai/gpt-4o", book("openai")) == ["openai/gpt-4o"]


def test_auto_looks_at_the_first_of_very_many_routers_and_reads_no_other_list():
    many = {f"r{number:03}": router(f"r{number:03}", key_variable="", models=("m",)) for number in range(1000)}
    known = Book(many)
    first = list(many)[:MOST_ROUTERS]
    assert lists_needed(resolve("auto", "auto", known), known) == tuple(first)
    assert refs("auto", known) == [f"{name}/m" for name in first]
    assert refs("r999/m", known) == ["r999/m"]
    assert refs("m", known, **{name: listed(name, "m") for name in many}) == [f"{name}/m" for name in first]
