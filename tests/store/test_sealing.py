"""Router keys sealed at rest: read as ever, bound to their place, and never with a key that is not the store's."""

from __future__ import annotations

from pathlib import Path

import pytest

from chomp_mcp.errors import StoreError
from chomp_mcp.store.kv.protocol import KV
from chomp_mcp.store.master_key import VARIABLE, MasterKeys, made, parsed
from chomp_mcp.store.sealing import PREFIX, Sealed

pytestmark = pytest.mark.anyio
KEYS = {"groq": "gsk_abcdefghijklmnop4f2a", "zen": ["one-key", "two-key"]}


def sealed(kv: KV, home: Path, text: str = "") -> Sealed:
    return Sealed(kv, MasterKeys(home, {VARIABLE: text} if text else {}, is_remote=True))


async def test_what_was_open_is_read_and_sealed_with_the_next_write(kv: KV, tmp_path: Path):
    await kv.put("user:a", {"keys": KEYS, "created": 1})
    text = made()
    store = sealed(kv, tmp_path, text)
    assert not (await store.at_rest())["sealed"]
    assert (await store.get("user:a"))["keys"] == KEYS
    await store.put("user:b", {"keys": KEYS})
    for name in ("user:a", "user:b"):
        at_rest = await kv.get(name)
        assert at_rest["keys"]["groq"].startswith(f"{PREFIX}{parsed(text).id}:")
        assert "gsk_" not in repr(at_rest)
        assert "two-key" not in repr(at_rest)
        assert (await sealed(kv, tmp_path, text).get(name))["keys"] == KEYS
    assert (await store.at_rest())["sealed"]
    assert await store.get("user:a") is await store.get("user:a"), "opened once"


@pytest.mark.parametrize("other", ["", made()], ids=["missing", "wrong"])
async def test_without_the_right_master_key_nothing_is_read_and_nothing_written(kv: KV, tmp_path: Path, other: str):
    await sealed(kv, tmp_path, made()).put("user:a", {"keys": KEYS})
    before = await kv.get("user:a")
    store = sealed(kv, tmp_path, other)
    with pytest.raises(StoreError, match="master key") as wrong:
        await store.get("user:a")
    assert VARIABLE in wrong.value.hint
    with pytest.raises(StoreError):
        await store.put("user:a", {"keys": {}})
    assert await kv.get("user:a") == before
    assert not (await store.at_rest())["master_key"]


async def test_a_key_that_was_moved_or_changed_is_refused(kv: KV, tmp_path: Path):
    store = sealed(kv, tmp_path, made())
    await store.put("user:a", {"keys": KEYS})
    at_rest = (await kv.get("user:a"))["keys"]["groq"]
    for record, router, text in (
        ("user:b", "groq", at_rest),
        ("user:a", "zen", at_rest),
        ("user:a", "groq", at_rest[:-4]),
    ):
        await kv.put(record, {"keys": {router: text}})
        with pytest.raises(StoreError):
            await store.get(record)


async def test_all_is_sealed_anew_or_opened_in_one_step(kv: KV, tmp_path: Path):
    old, new = made(), made()
    await sealed(kv, tmp_path, old).put("user:a", {"keys": KEYS})
    assert await sealed(kv, tmp_path, old).reseal(parsed(new)) == 3
    assert (await sealed(kv, tmp_path, new).get("user:a"))["keys"] == KEYS
    assert await sealed(kv, tmp_path, new).reseal(None) == 3
    assert (await kv.get("user:a"))["keys"] == KEYS


async def test_a_text_for_another_store_opens_in_its_own_place_alone(kv: KV, tmp_path: Path):
    store = sealed(kv, tmp_path, made())
    text = await store.seal("body:1", "sesame")
    assert "sesame" not in text
    assert await store.unseal("body:1", text) == "sesame"
    assert await store.unseal("body:2", text) is None
    assert await sealed(kv, tmp_path, made()).unseal("body:1", text) is None
    assert await sealed(kv, tmp_path).seal("body:1", "sesame") is None
