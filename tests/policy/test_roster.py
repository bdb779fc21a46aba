"""One list, walked once for all requests."""

from __future__ import annotations

from collections.abc import Iterator

from chomp_mcp.messages import Model
from chomp_mcp.policy.roster import Roster
from chomp_mcp.policy.routing import Book, plan, resolve
from tests.policy.test_routing import ROUTERS


def book(*keyed: str, **fields: object) -> Book:
    keys = {name: ((f"key-{name}", f"id-{name}"),) for name in keyed}
    return Book(ROUTERS, fields.pop("keys", keys), **fields)


def listed(router_id: str, *ids: str, **fields: object) -> Roster:
    return Roster(Model(router_id, model_id, **fields) for model_id in ids)


def refs(model: str, known: Book, router_id: str = "auto", **lists: object) -> list[str]:
    return [route.ref for route in plan(resolve(model, router_id, known, lists), known, lists).routes]


def test_a_list_of_ten_thousand_models_is_walked_once_for_all_requests() -> None:
    class Walked(Roster):
        walks = 0

        def __iter__(self) -> Iterator[Model]:
            type(self).walks += 1
            return super().__iter__()

    known = book("groq", "openrouter")
    lists = {"openrouter": Walked(listed("openrouter", *(f"maker/m{n}" for n in range(10_000))))}
    walks = Walked.walks
    for n in range(9_000, 9_020):
        assert refs(f"m{n}", known, **lists) == [f"openrouter/maker/m{n}"]
        assert refs(f"maker/m{n}", known, **lists) == [f"openrouter/maker/m{n}"]
        assert refs(f"openrouter/maker/m{n}", known, **lists) == [f"openrouter/maker/m{n}"]
    assert refs("openrouter/auto", known, **lists)
    assert Walked.walks - walks <= 1, "auto alone looks at the first few"
