# ruff: noqa: ASYNC240 - a test may wait for its disk
from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from chomp_mcp.errors import InvalidRequest, NotAuthenticated, StoreError
from chomp_mcp.messages import OWNER, Caller
from chomp_mcp.store.keyring import Keyring
from chomp_mcp.store.kv.json_file import JsonFile
from chomp_mcp.store.kv.protocol import KV
from tests.support.clock import Clock

pytestmark = pytest.mark.anyio

ENVIRONMENT = {"groq": ("gsk_environment_4f2a",), "cerebras": ("csk-one-1234567", "csk-two-7654321")}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "keys.json"


@pytest.fixture
def keyring(path: Path, clock: Clock) -> Keyring:
    return Keyring(JsonFile(path, clock=clock), ENVIRONMENT, clock=clock)


def document(path: Path) -> dict:
    return json.loads(path.read_text())


async def test_the_owner_has_the_keys_of_the_environment(keyring: Keyring, path: Path):
    assert await keyring.keys_of(OWNER) == ENVIRONMENT
    assert not path.exists()


async def test_a_stored_key_wins_over_the_environment_until_it_is_removed(keyring: Keyring):
    await keyring.register(OWNER, {"groq": "gsk_stored"})
    assert await keyring.keys_of(OWNER) == {**ENVIRONMENT, "groq": ("gsk_stored",)}

    await keyring.register(OWNER, {"groq": ""})
    assert await keyring.keys_of(OWNER) == ENVIRONMENT


async def test_the_record_has_the_seeds_shape(keyring: Keyring, path: Path):
    await keyring.register(OWNER, {"groq": " gsk_1\n", "openrouter": "a, b,,a"})

    assert document(path) == {
        "user:owner": {"created": "2026-06-13T12:00:00+00:00", "keys": {"groq": "gsk_1", "openrouter": ["a", "b"]}}
    }


async def test_new_keys_are_merged_and_empty_ones_removed(keyring: Keyring, clock: Clock):
    _, caller = await keyring.create()
    await keyring.register(caller, {"groq": "one", "zen": "two,three"})
    clock.advance(3600)
    await keyring.register(caller, {"groq": "", "openrouter": "four", "cerebras": ""})

    assert await keyring.keys_of(caller) == {"zen": ("two", "three"), "openrouter": ("four",)}
    assert await keyring.created_at(caller) == "2026-06-13T12:00:00+00:00"


async def test_the_old_record_of_one_openrouter_key_is_read_and_turned_into_the_new_shape(keyring: Keyring, path: Path):
    token = "chomp_" + "0" * 64
    record = f"user:{hashlib.sha256(token.encode()).hexdigest()}"
    path.parent.mkdir()
    path.write_text(json.dumps({record: {"openrouter_key": "sk-or-old", "created": "2025-01-01", "note": 1}}))

    caller = await keyring.find(token)
    assert caller
    assert await keyring.keys_of(caller) == {"openrouter": ("sk-or-old",)}

    await keyring.register(caller, {"groq": "new"})

    keys = {"openrouter": "sk-or-old", "groq": "new"}
    assert document(path) == {record: {"created": "2025-01-01", "note": 1, "keys": keys}}


@pytest.mark.parametrize("stored", [None, {}, {"groq": "", "zen": [], "cerebras": [" ", ","]}])
async def test_empty_entries_in_a_record_edited_by_hand_are_no_keys(path: Path, stored):
    path.parent.mkdir()
    path.write_text(json.dumps({"user:owner": {"keys": stored}}))

    assert await Keyring(JsonFile(path), {}).keys_of(OWNER) == {}


@pytest.mark.parametrize(
    ("record", "named"),
    [
        ({"keys": {"zen": "good", "groq": {"key": "gsk_secret"}}}, "the key for groq"),
        ({"keys": {"groq": ["gsk_secret", 3]}}, "the key for groq"),
        ({"keys": {"groq": None}}, "the key for groq"),
        ({"keys": "gsk_secret"}, "keys"),
        ({"keys": ["gsk_secret"]}, "keys"),
        ({"openrouter_key": {"key": "gsk_secret"}}, "the key for openrouter"),
    ],
)
async def test_an_entry_of_another_shape_is_named_and_never_overwritten(path: Path, record, named: str):
    path.parent.mkdir()
    path.write_text(text := json.dumps({"user:owner": record}))
    keyring = Keyring(JsonFile(path), {})

    for use in (keyring.keys_of(OWNER), keyring.previews(OWNER), keyring.register(OWNER, {"openai": "new"})):
        with pytest.raises(StoreError, match=f'"user:owner" of keys.json, {named} has another shape') as told:
            await use
        assert "gsk_secret" not in str(told.value)
    assert path.read_text() == text


@pytest.mark.parametrize(
    "bad",
    [
        "a b",
        "a\tb",
        "a\nb",
        "a\x00b",
        "a\x7f",
        "clé",
        "${KEY}",
        "https://x.test/keys",
        "sk-…4f2a",
        "x" * 4097,
        3,
        None,
        [1],
        {},
    ],
)
async def test_what_cannot_be_a_key_is_refused_and_never_shown(keyring: Keyring, path: Path, bad):
    with pytest.raises(InvalidRequest, match="The key for groq") as refused:
        await keyring.register(OWNER, {"zen": "good", "groq": bad})

    assert str(bad) not in str(refused.value)
    assert not path.exists()


async def test_previews_show_four_characters_of_each_end_and_nothing_of_short_keys(keyring: Keyring):
    await keyring.register(OWNER, {"openrouter": "sk-or-v1-abcdef,12345678901"})

    assert await keyring.previews(OWNER) == {
        "groq": "gsk_…4f2a (environment)",
        "cerebras": "csk-…4567, csk-…4321 (environment)",
        "openrouter": "sk-o…cdef, …",
    }


async def test_a_token_is_256_random_bits_and_only_its_hash_is_stored(keyring: Keyring, path: Path):
    token, caller = await keyring.create()

    assert re.fullmatch("chomp_[0-9a-f]{64}", token)
    assert caller == Caller(hashlib.sha256(token.encode()).hexdigest(), is_owner=False)
    assert token.removeprefix("chomp_") not in path.read_text()
    assert await keyring.find(token) == caller
    assert (await keyring.create())[0] != token


@pytest.mark.parametrize("token", ["", "owner", "chomp_", "chomp_" + "0" * 64, "ünï", "\ud83d", "x" * 100_000])
async def test_a_token_that_nobody_gave_out_is_nobodys(keyring: Keyring, token: str):
    await keyring.register(OWNER, {"groq": "k"})

    assert await keyring.find(token) is None


async def test_callers_see_their_own_keys_alone(keyring: Keyring):
    _, alice = await keyring.create()
    _, bob = await keyring.create()
    await keyring.register(alice, {"groq": "gsk_of_alice"})

    assert await keyring.keys_of(bob) == {}
    assert await keyring.previews(bob) == {}
    assert "gsk_of_alice" not in str(await keyring.keys_of(OWNER))


async def test_a_revoked_token_is_gone_with_its_keys_and_does_not_come_back(keyring: Keyring):
    token, caller = await keyring.create()
    await keyring.register(caller, {"groq": "k"})

    assert await keyring.revoke(caller) is True
    assert await keyring.revoke(caller) is False
    assert await keyring.find(token) is None
    with pytest.raises(NotAuthenticated):
        await keyring.register(caller, {"groq": "k"})
    assert await keyring.keys_of(caller) == {}
    assert await keyring.created_at(caller) is None


async def test_an_unchanged_record_gives_the_same_keys_also_when_the_store_returns_a_fresh_value(kv: KV, clock: Clock):
    keyring = Keyring(kv, ENVIRONMENT, clock=clock)
    long_keys = ("sk-or-1" + "a" * 400, "sk-or-2" + "b" * 400)
    await keyring.register(OWNER, {"openrouter": ",".join(long_keys)})
    keys, record = await keyring.keys_of(OWNER), await kv.get("user:owner")
    await kv.put("user:owner", json.loads(json.dumps(record)))

    assert await kv.get("user:owner") is not record
    assert await keyring.keys_of(OWNER) is keys

    await keyring.register(OWNER, {"groq": "gsk_stored"})
    assert await keyring.keys_of(OWNER) == {**ENVIRONMENT, "groq": ("gsk_stored",), "openrouter": long_keys}


async def test_no_key_shows_in_a_repr(keyring: Keyring):
    assert "gsk_" not in repr(keyring) + repr(vars(keyring)["_kv"])


@pytest.mark.parametrize(
    "given", ['"gsk_key-1"', "GROQ_API_KEY=gsk_key-1", "Bearer gsk_key-1", " “gsk_key-1” ", "gsk_key-1,"]
)
async def test_what_people_paste_around_a_key_is_taken_off(keyring: Keyring, given: str):
    await keyring.register(OWNER, {"groq": given})
    assert (await keyring.keys_of(OWNER))["groq"] == ("gsk_key-1",)


async def test_the_others_are_kept_where_that_is_asked_for(keyring: Keyring):
    await keyring.register(OWNER, {"openrouter": "one"})
    await keyring.register(OWNER, {"openrouter": "two,one"}, keep_others=True)
    assert (await keyring.keys_of(OWNER))["openrouter"] == ("one", "two")
    await keyring.register(OWNER, {"openrouter": ""}, keep_others=True)
    assert "openrouter" not in await keyring.keys_of(OWNER)


@pytest.mark.parametrize(
    "keys",
    [{"groq": ",".join(f"gsk_{n}" for n in range(33))}, {f"router-{n}": "k" * 4000 for n in range(17)}],
    ids=["many of one router", "many bytes"],
)
async def test_what_a_caller_can_store_is_bounded(keyring: Keyring, path: Path, keys: dict):
    _, caller = await keyring.create()
    before = document(path)
    with pytest.raises(InvalidRequest):
        await keyring.register(caller, keys)
    assert document(path) == before
