"""The anthropic SDK against the gateway: change the base URL, keep everything else.

pip install anthropic && python examples/anthropic_sdk.py
"""

from __future__ import annotations

import os

from anthropic import Anthropic

gateway = os.environ.get("CHOMP_URL", "http://127.0.0.1:8080")
token = os.environ.get("CHOMP_TOKEN", "none")  # GATEWAY_AUTH_TOKEN, or what POST /api/keys gave
model = os.environ.get("CHOMP_MODEL", "mock/echo")  # groq/auto, gpt-oss-120b, auto …

client = Anthropic(base_url=gateway, api_key=token)

answer = client.messages.with_raw_response.create(
    model=model, max_tokens=200, messages=[{"role": "user", "content": "Say hello."}]
)
print("".join(block.text for block in answer.parse().content if block.type == "text"))
print("answered by", answer.headers["x-chomp-router"], "after", answer.headers["x-chomp-attempts"], "attempts")

with client.messages.stream(
    model=model, max_tokens=200, messages=[{"role": "user", "content": "Count to three."}]
) as stream:
    for text in stream.text_stream:
        print(text, end="", flush=True)
    print(f"\n{stream.get_final_message().usage.output_tokens} tokens")

print(len(list(client.models.list(limit=1000))), "models")
