"""The parsers of what strangers send, for a moment: the saved corpus, and bytes that hypothesis makes out of it."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import CORPUS, TARGETS, TREES
from tests.fuzz.trees import mutated

TOKENS = [
    token.encode("utf-8", "surrogateescape")
    for token in (
        *("data: ", "event: ", "id:", "\n\n", "\r\n", "\r", "[DONE]", "\ufeff", "\0", "\udcff", "\u2028"),
        *("{", "}", "[", "]", '"', "\\", ",", ":", "null", "-1", "1e999", "NaN", "\\ud83d", '"type"', "//", "/*"),
        *('"messages"', '"role"', '"content"', '"tool_calls"', '"choices"', '"delta"', '"input"', "[routers.x]\n"),
    )
]


def seeds(name: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((CORPUS / name).glob("*"))]


@pytest.mark.parametrize("name", TARGETS)
def test_the_saved_corpus_raises_nothing(name):
    saved = seeds(name)
    assert saved
    for data in saved:
        TARGETS[name](data)


@pytest.mark.parametrize("name", TARGETS)
def test_whatever_comes_in_raises_what_is_documented_and_nothing_else(name):
    known = seeds(name)

    @settings(max_examples=15, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.binary(max_size=200), st.lists(st.sampled_from(TOKENS), max_size=12), st.randoms(use_true_random=False))
    def play(noise: bytes, tokens: list[bytes], rng: random.Random) -> None:
        base = bytearray(rng.choice(known))
        for token in tokens:
            at = rng.randrange(len(base) + 1)
            base[at : at + rng.choice((0, 0, 1, len(token)))] = token
        TARGETS[name](bytes(base))
        TARGETS[name](noise)
        TARGETS[name](b"".join(tokens))

    play()


@pytest.mark.parametrize("name", sorted(TREES))
def test_what_stands_in_a_tree_may_be_anything(name):
    known = seeds(name)
    data = known[0]
    for seed in range(150):
        data = mutated(known[seed % len(known)] if seed % 5 == 0 else data, seed, known, is_toml=name == "config")
        TARGETS[name](data)
