"""Google's own SDK on the Gemini API, in an environment of its own: whole, streamed, with tools, and refused."""

from __future__ import annotations

import json

import pytest

from tests.support.serving import serving, settings_for

pytestmark = [pytest.mark.anyio, pytest.mark.hosts, pytest.mark.timeout(500)]

SCRIPT = """\
import json, sys
from google import genai
from google.genai import errors, types

client = genai.Client(api_key="none", http_options=types.HttpOptions(base_url=sys.argv[1]))
schema = types.Schema(type="OBJECT", properties={"at": types.Schema(type="STRING")})
weather = types.FunctionDeclaration(name="weather", description="d", parameters=schema)
tool = types.Tool(function_declarations=[weather])
told = {}
whole = client.models.generate_content(model="lab/m", contents="hi")
told["text"], told["tokens"] = whole.text, whole.usage_metadata.total_token_count
stream = client.models.generate_content_stream(model="lab/m", contents="hi")
told["pieces"] = [each.text for each in stream if each.text]
config = types.GenerateContentConfig(tools=[tool], automatic_function_calling={"disable": True})
asked = client.models.generate_content(model="lab/m", contents="weather?", config=config)
call = asked.function_calls[0]
told["call"] = [call.name, call.args]
result = types.Part.from_function_response(name=call.name, response={"sky": "sun"})
turns = [types.UserContent("weather?"), asked.candidates[0].content, types.Content(role="user", parts=[result])]
told["after"] = client.models.generate_content(model="lab/m", contents=turns, config=config).text
try:
    client.models.generate_content(model="nobody/has-this", contents="hi")
except errors.ClientError as error:
    told["refused"] = [error.code, error.status]
print(json.dumps(told))
"""


async def test_googles_sdk_reads_what_the_gemini_api_answers(installed_from_pypi, run_host, home, upstream, tmp_path):
    python = installed_from_pypi("google-genai", "python")
    script = tmp_path / "ask.py"
    script.write_text(SCRIPT)
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"at": "Rome"}'}}
    upstream.answer("hello")
    upstream.stream(["Hel", "lo"])
    upstream.answer(None, tool_calls=[{name: value for name, value in call.items() if name != "index"}])
    upstream.answer("Sunny.")
    async with serving(settings_for(home, lab=upstream.url)) as gateway:
        done = await run_host(python, str(script), gateway.url)
    assert done.code == 0, done.err
    told = json.loads(done.out.splitlines()[-1])
    assert told == {
        "text": "hello",
        "tokens": 10,
        "pieces": ["Hel", "lo"],
        "call": ["weather", {"at": "Rome"}],
        "after": "Sunny.",
        "refused": [404, "NOT_FOUND"],
    }
    results = [message for message in upstream.chats[3].json["messages"] if message["role"] == "tool"]
    assert json.loads(results[0]["content"]) == {"sky": "sun"}
