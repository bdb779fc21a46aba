"""A replica to be killed: `python -m tests.gateway.replica`. It runs what waits, asks once, and says the job's id."""

from __future__ import annotations

import anyio

from chomp_mcp.app import Chomp
from chomp_mcp.messages import OWNER, ChatRequest
from chomp_mcp.settings import Settings


async def main() -> None:
    async with Chomp(Settings.load()) as chomp:
        chomp.jobs.start()
        request = ChatRequest.from_prompt("asked", model="groq/asked")
        job = await chomp.jobs.ask(OWNER, request, prompt="asked", deadline_seconds=0.1)
        print(job.id, flush=True)  # noqa: T201 - the pipe to the test
        await anyio.sleep_forever()


if __name__ == "__main__":
    anyio.run(main)
