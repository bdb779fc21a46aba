"""The least that a gateway on the same building blocks can be: Starlette, aiohttp, the body parsed once."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

URL = f"{os.environ.get('UPSTREAM', '')}/v1/chat/completions"


async def chat(request: Request) -> Response:
    body = orjson.loads(await request.body())
    client: aiohttp.ClientSession = request.app.state.client
    answer = await client.post(URL, data=orjson.dumps(body), headers={"content-type": "application/json"})
    if body.get("stream"):
        return StreamingResponse(relayed(answer), media_type="text/event-stream")
    async with answer:
        return Response(await answer.read(), media_type="application/json")


async def relayed(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    async with answer:
        async for data in answer.content.iter_any():
            yield data


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as app.state.client:
        yield


app = Starlette(routes=[Route("/v1/chat/completions", chat, methods=["POST"])], lifespan=lifespan)
