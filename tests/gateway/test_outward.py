# ruff: noqa: ASYNC240 - a test may wait for its disk
"""What leaves for a router that is not on this machine, through real sockets."""

from __future__ import annotations

import json
import logging
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from chomp_mcp.errors import SecretFound
from chomp_mcp.settings import Settings
from tests.support.scripted import ScriptedRouter
from tests.support.serving import serving
from tests.support.world import World, environment, world

pytestmark = pytest.mark.anyio

TOKEN = "ghp_" + "a1" * 18
OWN = "csk-abcdefghijklmnop4f2a"


async def asked(w: World, text: str, model: str = "groq/m", **options: Any) -> Any:
    for upstream in w:
        upstream.models(["m"])
        upstream.answer("hello")
    return await w.chomp.ask(text, model=model, **options)


async def test_by_default_it_is_sent_and_the_receipt_and_the_log_say_so(home: Path, caplog) -> None:
    async with world(home, "groq") as w:
        with caplog.at_level(logging.DEBUG):
            answer = await asked(w, f"why does {TOKEN} fail?")
        assert TOKEN in str(w.groq.chats[0].json)
    (note,) = answer.receipt["notes"]
    assert note.startswith("sent to Groq: a GitHub token (sha256:")
    assert note in caplog.text
    assert TOKEN not in caplog.text + note


async def test_redacted_it_is_sent_without_the_secret(home: Path) -> None:
    async with world(home, "groq", CHOMP_SECRETS="redact") as w:
        answer = await asked(w, f"why does {TOKEN} fail?")
        assert w.groq.chats[0].json["messages"][-1]["content"] == "why does [redacted: a GitHub token] fail?"
    assert answer.receipt["notes"][0].startswith("redacted for Groq")


@pytest.mark.parametrize("policy", ["block", "local"])
async def test_blocked_nothing_is_sent(home: Path, policy: str) -> None:
    async with world(home, "groq", CHOMP_SECRETS=policy) as w:
        with pytest.raises(SecretFound) as caught:
            await asked(w, f"why does {TOKEN} fail?")
        assert w.groq.chats == []
    assert TOKEN not in str(caught.value)
    assert "sha256:" in str(caught.value)


async def test_local_goes_on_with_the_routers_of_this_machine(home: Path) -> None:
    async with (
        ScriptedRouter() as ollama,
        world(home, "groq", CHOMP_SECRETS="local", LLM_FALLBACKS="groq,ollama", OLLAMA_BASE_URL=ollama.base) as w,
    ):
        ollama.on(path="/api/tags").reply(200, {"models": [{"name": "m", "model": "m"}]})
        ollama.answer("from here")
        answer = await asked(w, f"why does {TOKEN} fail?", model="auto")
        assert answer.receipt["served"] == "ollama/m"
        assert w.groq.chats == []
        assert any(note.startswith("stays on this machine") for note in answer.receipt["notes"])
        assert (await asked(w, "nothing secret", model="auto")).receipt["served"] == "groq/m"


@pytest.mark.parametrize("policy", ["warn", "redact", "block"])
async def test_our_own_keys_never_leave_but_for_off(home: Path, policy: str) -> None:
    async with world(home, "groq", CHOMP_SECRETS=policy) as w:
        await w.chomp.register_keys({"cerebras": OWN})
        with pytest.raises(SecretFound, match="one of your own router keys"):
            await asked(w, f"is {OWN} a key?")
        assert w.groq.chats == []
    async with world(home, "groq", CHOMP_SECRETS="off") as w:
        assert (await asked(w, f"is {OWN} a key?")).text == "hello"


async def test_to_this_machine_it_goes_untouched(home: Path) -> None:
    async with world(home, "ollama", CHOMP_SECRETS="block") as w:
        answer = await asked(w, TOKEN, model="ollama/m")
        assert "notes" not in answer.receipt
        assert TOKEN in str(w.ollama.chats[0].json)


async def test_an_allowed_hash_passes(home: Path) -> None:
    home.mkdir()
    (home / "config.toml").write_text(f'secrets_allow = ["sha256:{sha256(TOKEN.encode()).hexdigest()[:12]}"]')
    async with world(home, "groq", CHOMP_SECRETS="block") as w:
        assert (await asked(w, TOKEN)).text == "hello"


DOORS = {
    "/v1/chat/completions": {"model": "groq/m", "messages": [{"role": "user", "content": TOKEN}], "stream": True},
    "/v1/messages": {"model": "anthropic/m", "max_tokens": 9, "messages": [{"role": "user", "content": TOKEN}]},
    "/v1/messages/count_tokens": {"model": "anthropic/m", "messages": [{"role": "user", "content": TOKEN}]},
    "/v1/responses": {"model": "groq/m", "input": TOKEN},
    "/v1/embeddings": {"model": "openrouter/m", "input": [TOKEN]},
    "/v1/completions": {"model": "openrouter/m", "prompt": TOKEN},
    "/v1/chat": {"agent_id": "a", "model": "groq/m", "messages": [{"role": "user", "content": TOKEN}]},
}


@pytest.mark.parametrize("path", DOORS)
async def test_every_door_is_guarded_also_where_a_body_goes_through_as_it_came(home: Path, path: str) -> None:
    async with ScriptedRouter() as one:
        one.models(["m"])
        env = environment(home, dict.fromkeys(("groq", "anthropic", "openrouter"), one), CHOMP_SECRETS="block")
        async with serving(Settings.load(env)) as served:
            answer = await served.http.post(path, json=DOORS[path])
        assert answer.status_code == 400
        assert "a GitHub token" in answer.text
        assert TOKEN not in answer.text
        assert not [request for request in one.requests if TOKEN in json.dumps(request.json)]
