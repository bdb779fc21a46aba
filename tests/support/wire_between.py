"""A wire to a server that can be cut, slowed down, or left hanging: a scripted TCP proxy."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit

__all__ = ["Wire"]


class Wire:
    """`async with Wire("redis://127.0.0.1:6379/0") as wire`: `wire.url` leads there, through this process."""

    def __init__(self, url: str) -> None:
        self._there = urlsplit(url)
        self._server: asyncio.Server | None = None
        self._ends: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._port = 0
        self._trap = b""
        self.delay_seconds = 0.0
        """Each way."""
        self.hangs = False
        """Half open: what is sent disappears."""

    @property
    def url(self) -> str:
        return f"{self._there.scheme}://127.0.0.1:{self._port}{self._there.path}"

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Every connection is reset, and new ones are refused."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.reset()

    def reset(self) -> None:
        """Every connection is reset; new ones are taken."""
        for end in self._ends:
            end.transport.abort()
        self._ends.clear()

    def cut_after(self, word: str) -> None:
        """Once that word has gone there: the server has it, and its answer is lost."""
        self._trap = word.encode()

    def mend(self) -> None:
        """All is well again."""
        self.hangs, self.delay_seconds, self._trap = False, 0.0, b""
        if self._server is None:
            self._tasks.add(asyncio.create_task(self._listen()))

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, questions = await asyncio.open_connection(self._there.hostname, self._there.port)
        self._ends |= {writer, questions}
        with suppress(OSError, asyncio.CancelledError):
            await asyncio.gather(
                self._pump(reader, questions, is_question=True), self._pump(answers, writer, is_question=False)
            )
        for end in (writer, questions):
            self._ends.discard(end)
            end.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_question: bool) -> None:
        while data := await reader.read(65_536):
            if self.hangs:
                continue
            if self.delay_seconds:
                await asyncio.sleep(self.delay_seconds)
            if not is_question and self._trap == b"!":
                self.cut()
                return
            writer.write(data)
            await writer.drain()
            if is_question and self._trap and self._trap in data:
                self._trap = b"!"
        writer.write_eof()
