"""One list, asked with one of the keys, and the next key where the first is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from chomp_mcp.messages import OWNER, Caller
from tests.gateway.test_model_list import stranger
from tests.support.world import World, world

pytestmark = pytest.mark.anyio


async def names(w: World, router: str, caller: Caller = OWNER) -> list[str]:
    return [model.id for model in (await w.chomp.list_models(router, caller=caller)).models]


async def test_a_key_that_a_router_quotes_is_not_told_with_the_failure(home: Path) -> None:
    async with world(home, "groq", GROQ_API_KEY="hunter2-lab") as w:
        w.groq.on(path="/models").fail(401, {"error": {"message": "unknown token hunter2-lab"}})
        page = await w.chomp.list_models("groq")
        assert page.errors == {"groq": "unknown token …"}
        stored = await w.chomp.models._kv.list("models:")
        assert "hunter2" not in repr([entry.value for entry in stored])


async def test_a_bad_key_hides_no_router_from_others(home: Path) -> None:
    async with world(home, "groq") as w:
        other = await stranger(w, groq="bad-key-of-theirs")
        w.groq.on(path="/models", key="bad-key-of-theirs").fail(401, {"error": {"message": "no"}})
        assert (await w.chomp.list_models("groq", caller=other)).errors == {"groq": "no"}
        assert (await w.chomp.list_models("groq")).errors == {}


async def test_with_several_keys_the_next_one_lists_and_the_bad_one_is_named_without_being_told(home: Path) -> None:
    bad, good = "gsk_bad0123456789abcd", "gsk_good0123456789efgh"
    async with world(home, "groq", GROQ_API_KEY=f"{bad},{good}") as w:
        w.groq.models(["m"])
        w.groq.on(path="/models", key=bad).fail(401, {"error": {"message": f"Invalid API Key {bad}"}})
        page = await w.chomp.list_models("groq")
        assert [model.id for model in page.models] == ["m"]
        assert page.errors["groq"].startswith("the key gsk_…abcd: Invalid API Key")
        assert bad not in page.errors["groq"]
        assert (await w.chomp.ask("hi", model="m")).receipt["served"] == "groq/m"


@pytest.mark.parametrize(("router", "path"), [("openrouter", "/key"), ("zen", "/usage")])
async def test_a_bad_key_of_a_router_whose_list_is_everybodys_shows(home: Path, router: str, path: str) -> None:
    async with world(home, router) as w:
        upstream = w.routers[router]
        upstream.models(["m"])
        upstream.on(path=path).fail(401, {"error": {"message": "Missing Authentication header", "code": 401}})
        assert (await w.chomp.list_models(router)).errors
        upstream.on(path=path).clear()
        upstream.on(path=path).fail(500)
        await w.chomp.register_keys({router: f"key-{router}"})
        assert not (await w.chomp.list_models(router)).errors, "what goes wrong there is no verdict on the key"


async def test_an_id_that_is_listed_three_times_is_one_model(home: Path) -> None:
    async with world(home, "groq") as w:
        w.groq.models(["m", "n", "m", "m"])
        assert await names(w, "groq") == ["m", "n"]
