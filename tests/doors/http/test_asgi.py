"""What the HTTP doors share: headers, event streams, clients that hang up."""

from __future__ import annotations

import json

import anyio
import httpx2
import pytest

from chomp_mcp.doors.http import asgi, chat_completions
from chomp_mcp.doors.http.asgi import EventStream, header_value, server_sent, while_connected
from tests.support.scripted import chunk

pytestmark = pytest.mark.anyio
HELLO = [{"role": "user", "content": "hi"}]


async def test_a_header_cannot_be_split_by_a_models_name(gateway, upstream):
    refused = await gateway.chat(model="lab/m\r\nx-evil: 1")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_request")
    assert "x-evil" not in refused.headers
    answer = await gateway.chat(model="lab/mé")
    assert answer.headers["x-chomp-model"] == "m%C3%A9"


def test_a_header_cannot_be_split_by_anything():
    assert header_value("m\r\nx-evil: 1é") == b"m%0D%0Ax-evil: 1%C3%A9"


async def test_a_silent_stream_is_kept_alive_with_comments(monkeypatch):
    monkeypatch.setattr(asgi, "KEEPALIVE_SECONDS", 0.001)
    sent: list[bytes] = []
    said = anyio.Event()

    async def send(message):
        if b"keepalive" in message.get("body", b""):
            said.set()
        sent.append(message.get("body", b""))

    async def receive():
        await anyio.sleep_forever()

    words = chat_completions.OpenAIWords({})
    stream = EventStream(send, words.failure, words.pulse)

    async def work():
        async with stream:
            await stream.start([])
            await stream.write(server_sent({"a": 1}))
            await said.wait()
            stream.last = b"data: [DONE]\n\n"

    with anyio.fail_after(5):
        await while_connected({}, receive, work, stream)
    assert sent[:3] == [b"", b'data: {"a":1}\n\n', b": keepalive\n\n"]
    assert sent[-1] == b"data: [DONE]\n\n"


def test_a_frame_of_several_lines_stays_one_event():
    delta = chunk("hi")
    pretty = json.dumps(delta, indent=1).encode()
    frames = chat_completions.OpenAIWords({}).frames([chat_completions.Delta(data=pretty)])
    lines = frames.decode().rstrip("\n").split("\n")
    assert all(line.startswith("data: ") for line in lines)
    assert json.loads("\n".join(line[6:] for line in lines)) == delta


async def test_a_connection_serves_many_answers(gateway, upstream):
    async with httpx2.AsyncClient(base_url=gateway.url, limits=httpx2.Limits(max_connections=1)) as http:
        for stream in (False, True, False):
            body = {"model": "lab/m", "messages": HELLO, "stream": stream}
            assert (await http.post("/v1/chat/completions", json=body)).status_code == 200


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "The body is empty. Send a JSON object."),
        (b'["\\ud83d", NaN]', "The body is not JSON: This cannot be read as JSON: NaN is no number in it. Send"),
        (
            b'{"a":[' + b"[]," * 2_000_000 + b"1]}",
            "The body holds millions of JSON values, which nobody reads. Send less",
        ),
    ],
    ids=["empty", "no number", "too many values"],
)
async def test_a_body_that_is_not_read_is_refused_with_the_reason_and_the_next_step(gateway, body, said):
    told = await gateway.http.post("/v1/chat/completions", content=body)
    assert told.status_code == 400
    assert told.json()["error"]["message"].startswith(said)
