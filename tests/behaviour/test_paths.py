"""Paths to routers that die, hang or only show signs of life: what a caller sees, and whom the breaker hears of."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from chomp_mcp.errors import NoRouteAvailable, UpstreamFailed, UpstreamTimeout
from chomp_mcp.routers import connector
from tests.support.scripted import Recorded, Script, Wire, chunk, sse
from tests.support.world import World, world

pytestmark = pytest.mark.anyio

COMMENT = b": OPENROUTER PROCESSING\n\n"
EMPTY = sse({"id": "c", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": ""}}]})
ROLE = sse(chunk(role="assistant"))
CALL = sse(chunk(tool_calls=[{"index": 0, "type": "function", "function": {"arguments": ""}}]))
PART = sse(chunk(content=[{"type": "text", "text": ""}]))
SIGNS_OF_LIFE = pytest.mark.parametrize("sign", [COMMENT, EMPTY, ROLE, CALL, PART, b"data: {}\n\n", b"\n"])


def for_ever(sign: bytes) -> list[bytes | float]:
    return [piece for _ in range(2000) for piece in (sign, 0.05)]


async def breaker(w: World) -> str:
    return str((await w.chomp.status())["routers"]["groq"]["breaker"])


async def keep(w: World, count: int) -> None:
    """So many unused connections to groq."""
    gate = anyio.Event()
    w.groq.stream(["fine", gate])
    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(lambda: w.chomp.ask("hi", model="groq/m"))
        await w.groq.saw_request(count)
        gate.set()
    assert len(w.groq.connections) == count
    w.groq.clear()


async def test_ten_connections_that_the_path_forgot_cost_no_request_and_no_breaker(home: Path) -> None:
    async with world(home, "groq", CIRCUIT_FAILURE_THRESHOLD="1") as w:
        await keep(w, 10)
        answer = Script()
        answer.answer("fine")

        async def forgotten(request: Recorded, wire: Wire) -> None:
            if request.connection < 10:
                wire.reset = True
                wire.cut()
            await answer.next()(request, wire)

        w.groq.play(forgotten)
        with anyio.fail_after(20):
            results = [await w.chomp.ask("hi", model="groq/m") for _ in range(3)]
        assert [result.text for result in results] == ["fine"] * 3
        assert [len(result.receipt["attempts"]) for result in results] == [1] * 3
        assert await breaker(w) == "closed"


async def test_what_met_a_dead_connection_and_then_failed_on_a_fresh_one_does_not_go_out_a_third_time(
    home: Path,
) -> None:
    async with world(home, "groq", CIRCUIT_FAILURE_THRESHOLD="1") as w:
        await keep(w, 1)
        w.groq.cut(after=0)
        with anyio.fail_after(20), pytest.raises(UpstreamFailed, match="broke the connection off"):
            await w.chomp.ask("hi", model="groq/m")
        assert len(w.groq.chats) == 3
        assert await breaker(w) == "open"


@SIGNS_OF_LIFE
async def test_a_router_that_never_says_anything_real_is_given_up(home: Path, sign: bytes) -> None:
    async with world(home, "groq", CHOMP_UPSTREAM_TIMEOUT_SECONDS="0.5") as w:
        w.groq.raw([b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n", *for_ever(sign)])
        with anyio.fail_after(20), pytest.raises(UpstreamTimeout, match=r"nothing but signs of life for 0\.5 s"):
            await w.chomp.ask("hi", model="groq/m")
        await w.groq.saw_disconnect()


async def test_another_router_answers_for_one_that_never_says_anything_real(home: Path) -> None:
    async with world(home, "groq", "cerebras", CHOMP_UPSTREAM_TIMEOUT_SECONDS="0.5") as w:
        for upstream in w:
            upstream.models(["gpt-oss-120b"])
        w.groq.raw([b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n", *for_ever(COMMENT)])
        w.cerebras.answer("fine")
        with anyio.fail_after(20):
            result = await w.chomp.ask("hi", model="gpt-oss-120b")
        assert (result.text, result.receipt["served"]) == ("fine", "cerebras/gpt-oss-120b")


@SIGNS_OF_LIFE
async def test_an_answer_that_stops_in_the_middle_is_cut_whatever_signs_of_life_follow(home: Path, sign: bytes) -> None:
    async with world(home, "groq", CHOMP_UPSTREAM_TIMEOUT_SECONDS="0.5") as w:
        w.groq.stream(["Hel", "lo", *for_ever(sign)])
        with anyio.fail_after(20), pytest.raises(UpstreamFailed, match=r"nothing but signs of life for 0\.5 s"):
            await w.chomp.ask("hi", model="groq/m")
        await w.groq.saw_disconnect()


async def test_an_answer_may_take_longer_than_the_limit_while_real_pieces_come(home: Path) -> None:
    async with world(home, "groq", CHOMP_UPSTREAM_TIMEOUT_SECONDS="1") as w:
        w.groq.stream([piece for _ in range(10) for piece in ("a", 0.1, COMMENT, 0.1)])
        with anyio.fail_after(30):
            result = await w.chomp.ask("hi", model="groq/m")
        assert result.text == "a" * 10


async def test_what_this_machine_lacks_is_said_and_counts_for_nobody(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connector, "CONNECT_SECONDS", 0.1)
    async with world(home, "groq", CIRCUIT_FAILURE_THRESHOLD="1") as w:
        w.chomp.client._connections = 1
        w.groq.hang(after=["a"])
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: w.chomp.ask("hi", model="groq/m"))
            await w.groq.saw_request()
            with (
                anyio.fail_after(20),
                pytest.raises(NoRouteAvailable, match=r"1 requests to .* are under way") as caught,
            ):
                await w.chomp.ask("hi", model="groq/m")
            tasks.cancel_scope.cancel()
        assert (caught.value.retry_after, len(w.groq.chats)) == (1.0, 1)
        assert await breaker(w) == "closed"
