"""A pipe that nobody reads stops nobody."""

from __future__ import annotations

import io
import os

from chomp_mcp.telemetry.lossy import MOST_WAITING, LossyStream


def test_what_is_written_arrives_in_order() -> None:
    told = io.StringIO()
    stream = LossyStream(told)
    for word in ("one ", "two ", "three"):
        stream.write(word)
    stream.drain()
    assert told.getvalue() == "one two three"


def test_a_full_pipe_drops_what_has_no_room_and_the_writer_goes_on() -> None:
    read_end, write_end = os.pipe()
    stream = LossyStream(os.fdopen(write_end, "w"))
    for _ in range(3 * MOST_WAITING):
        stream.write("x" * 1023 + "\n")
    got = os.read(read_end, 1 << 20)
    assert got.startswith(b"x" * 1023 + b"\n")
    os.close(read_end)


def test_a_reader_that_has_gone_is_no_error() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    stream = LossyStream(os.fdopen(write_end, "w"))
    stream.write("nobody hears this")
    stream.drain()
