"""Read a stream in any pieces: what every decoder must give the same for."""

from __future__ import annotations

from hypothesis import strategies as st


def read(decoder, *pieces):
    deltas = [delta for piece in pieces for delta in decoder.feed(piece)]
    return [*deltas, *decoder.close()]


def outcome(decoder, pieces):
    data = [delta.data for delta in read(decoder, *pieces)]
    return data, decoder.usage, decoder.cost_usd, decoder.finished, decoder.done, decoder.error


def singly(stream):
    return [stream[at : at + 1] for at in range(len(stream))]


@st.composite
def pieces(draw, stream):
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    return [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
