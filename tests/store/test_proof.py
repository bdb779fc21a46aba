"""The answer that only those can give who read the same store."""

from __future__ import annotations

import pytest

from chomp_mcp.store.kv.protocol import KV
from chomp_mcp.store.master_key import VARIABLE
from chomp_mcp.store.proof import Proof

pytestmark = pytest.mark.anyio
ASKED = ("challenge", "127.0.0.1", 8080)


async def test_all_processes_of_a_store_give_the_same_answer_and_another_store_another_one(kv: KV):
    answer = await Proof(kv, {}, is_remote=False).of(*ASKED)
    assert answer == await Proof(kv, {}, is_remote=False).of(*ASKED)
    await kv.delete("gateway:proof")
    assert answer != await Proof(kv, {}, is_remote=False).of(*ASKED)


@pytest.mark.parametrize("other", [("other", *ASKED[1:]), ("challenge", "::1", 8080), ("challenge", "127.0.0.1", 8081)])
async def test_an_answer_is_for_its_challenge_and_its_address_alone(kv: KV, other: tuple[str, str, int]):
    proof = Proof(kv, {}, is_remote=False)
    assert await proof.of(*other) != await proof.of(*ASKED)


async def test_on_a_store_that_others_read_it_comes_from_the_master_key(kv: KV):
    proofs = [Proof(kv, {VARIABLE: each * 32}, is_remote=True) for each in "aab"]
    one, same, other = [await proof.of(*ASKED) for proof in proofs]
    assert one == same != other
    assert await kv.list("") == []
