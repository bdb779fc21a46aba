"""What is known of keys, and until when."""

from __future__ import annotations

import pytest

from chomp_mcp.errors import UpstreamError
from chomp_mcp.messages import OWNER, ChatRequest
from tests.support.world import world

pytestmark = pytest.mark.anyio


def request(model: str, *, stream: bool = True, **options: object) -> ChatRequest:
    return ChatRequest.from_prompt("hi", model=model, options=options).with_stream(stream)


async def test_a_key_that_was_given_anew_is_asked_again(home) -> None:
    async with world(home, "groq") as w:
        w.groq.fail(401, {"error": {"message": "no", "code": "invalid_api_key"}})
        for _ in range(2):
            with pytest.raises(UpstreamError, match="keys add groq") as caught:
                async with w.chomp.gateway.exchange(OWNER, request("groq/m")):
                    pass
            assert caught.value.status == 401
        assert len(w.groq.chats) == 1
        w.groq.answer("hello")
        await w.chomp.register_keys({"groq": "key-groq"})
        async with w.chomp.gateway.exchange(OWNER, request("groq/m")) as reply:
            assert (await reply.completion()).text == "hello"
