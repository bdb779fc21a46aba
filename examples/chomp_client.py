"""ChompClient against the gateway: chat, stream, jobs, models, a keyring of one's own.

python examples/chomp_client.py
"""

from __future__ import annotations

import asyncio
import os

from chomp_mcp.client import ChompClient, GatewayError

gateway = os.environ.get("CHOMP_URL", "http://127.0.0.1:8080")
token = os.environ.get("CHOMP_TOKEN", "")  # GATEWAY_AUTH_TOKEN, or what register_keys gave
model = os.environ.get("CHOMP_MODEL", "mock/echo")  # groq/auto, gpt-oss-120b, auto …


async def main() -> None:
    """Ask in every way there is."""
    async with ChompClient(gateway, token) as chomp:
        answer = await chomp.chat("Say hello.", model=model)
        print(answer["choices"][0]["message"]["content"])

        async for text in chomp.chat_stream("Count to three.", model=model):
            print(text, end="", flush=True)
        print()

        job = await chomp.dispatch("Say hello, when you have the time.", model=model)
        done = await chomp.result(job["id"], wait_seconds=30)
        print(done["status"], done["result"])

        print(len(await chomp.list_models("mock")), "models on the mock router")
        try:
            await chomp.chat("Anybody there?", model="mock/500")
        except GatewayError as error:
            print("refused:", error.status, error.code)


asyncio.run(main())
