"""The OpenAI SDK against the gateway: change the base URL, keep everything else.

pip install openai && python examples/openai_sdk.py
"""

from __future__ import annotations

import os

from openai import OpenAI

gateway = os.environ.get("CHOMP_URL", "http://127.0.0.1:8080")
token = os.environ.get("CHOMP_TOKEN", "none")  # GATEWAY_AUTH_TOKEN, or what POST /api/keys gave
model = os.environ.get("CHOMP_MODEL", "mock/echo")  # groq/auto, gpt-oss-120b, auto …

client = OpenAI(base_url=f"{gateway}/v1", api_key=token)

answer = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "Say hello."}])
print(answer.choices[0].message.content)
receipt = answer.model_dump()["chomp"]
print("answered by", receipt["router"], "for", receipt["cost_usd"], "USD")

stream = client.chat.completions.create(
    model=model,
    messages=[{"role": "user", "content": "Count to three."}],
    stream=True,
    stream_options={"include_usage": True},
)
for chunk in stream:
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)
    elif chunk.usage:
        print(f"\n{chunk.usage.total_tokens} tokens")

print(len(list(client.models.list())), "models")
