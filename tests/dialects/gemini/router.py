"""A router that speaks Gemini: what it is sent, and what is read in its answers."""

from __future__ import annotations

from chomp_mcp import wire
from chomp_mcp.dialects.gemini import answer as gemini
from chomp_mcp.messages import ChatRequest, Route, Router

ROUTER = Router("google", "Google", "https://generativelanguage.googleapis.com/v1beta", dialect="gemini", roles={})
HELLO = [{"role": "user", "content": "hello"}]
SIGNED = {"google": {"thought_signature": "c2lnbmVk"}}


def encoded(messages=HELLO, model="gemini-3.5-flash", *, stream=False, **body):
    return gemini.encode(Route(ROUTER, model, "AIza-1"), ChatRequest({"messages": messages, **body}, stream=stream))


def sent(messages=HELLO, model="gemini-3.5-flash", **body):
    return wire.loads(encoded(messages, model, **body).body)
