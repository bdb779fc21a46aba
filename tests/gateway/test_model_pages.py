"""The models of all lists together: filtered, and a page at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from chomp_mcp.errors import InvalidRequest, NoRouterKey
from tests.support.world import World, world

pytestmark = pytest.mark.anyio


async def refs(w: World, router: str = "auto", **wanted: object) -> list[str]:
    return [model.ref for model in (await w.chomp.list_models(router, **wanted)).models]


async def test_pages_hold_every_model_once_and_the_last_has_no_cursor(home: Path) -> None:
    async with world(home, "groq") as w:
        w.groq.models([f"m{n}" for n in range(7)])
        found, cursor = [], ""
        while True:
            page = await w.chomp.list_models("groq", limit=3, cursor=cursor)
            found.append([model.id for model in page.models])
            if not (cursor := page.next_cursor):
                break
        assert found == [["m0", "m1", "m2"], ["m3", "m4", "m5"], ["m6"]]


@pytest.mark.parametrize("wanted", [{"cursor": "-1"}, {"cursor": "9" * 10}, {"cursor": "٣"}, {"limit": 0}])
async def test_what_is_no_place_of_a_page_is_refused(home: Path, wanted: dict[str, object]) -> None:
    async with world(home, "groq") as w:
        with pytest.raises(InvalidRequest):
            await w.chomp.list_models("groq", **wanted)


async def test_words_prices_and_needs_narrow_it_and_who_does_not_say_is_counted(home: Path) -> None:
    async with world(home, "openrouter") as w:
        free = {"pricing": {"prompt": "0", "completion": "0"}}
        w.openrouter.models(
            [
                {"id": "v/eyes", "name": "Eyes Large", "input_modalities": ["text", "image"], **free},
                {"id": "v/blind", "name": "Blind", "input_modalities": ["text"]},
                {"id": "v/large", "name": "Unknown"},
            ]
        )
        assert await refs(w, "openrouter", query="LARGE") == ["openrouter/v/eyes", "openrouter/v/large"]
        assert await refs(w, "openrouter", query="large eyes") == ["openrouter/v/eyes"]
        assert await refs(w, "openrouter", free_only=True) == ["openrouter/v/eyes"]
        page = await w.chomp.list_models("openrouter", needs=["vision"])
        assert ([model.id for model in page.models], page.unknown) == (["v/eyes"], 1)


def grouped(home: Path) -> None:
    home.mkdir()
    (home / "config.toml").write_text('[groups.coding]\nmodels = ["groq/m0"]\norder = "cost"\n')


async def test_groups_stand_on_the_first_page_of_all_routers_alone(home: Path) -> None:
    grouped(home)
    async with world(home, "groq") as w:
        w.groq.models(["m0", "m1"])
        assert [group.id for group in (await w.chomp.list_models(limit=1)).groups] == ["coding"]
        assert (await w.chomp.list_models(limit=1, cursor="1")).groups == ()
        assert (await w.chomp.list_models("groq")).groups == ()
        assert (await w.chomp.list_models(query="nothing like it")).groups == ()


async def test_a_router_without_a_key_is_named_with_the_way_to_add_one(home: Path) -> None:
    async with world(home, "groq") as w:
        with pytest.raises(NoRouterKey, match="cerebras"):
            await w.chomp.list_models("cerebras")
