"""Each door names the next step by what it has itself: HTTP its paths, the command line its commands."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import chomp_mcp
from chomp_mcp import Chomp
from chomp_mcp.doors.words import CLI, HTTP, Words, spoken
from tests.support.scripted import ScriptedRouter
from tests.support.serving import Served

pytestmark = pytest.mark.anyio
HERE = Path(chomp_mcp.__file__).parent
BELOW = ("app.py", "errors.py", "gateway", "policy", "routers", "messages", "dialects", "store", "telemetry")
TOOLS = re.compile(r"list_models|register_keys|[Cc]all (?:ask|dispatch|result|status)|status tells")
"""How the layers below the doors name an operation in a sentence."""


def sentences() -> Iterator[str]:
    """Every text of more than one word in the layers below the doors, docstrings left out."""
    files = [
        file for name in BELOW for file in ([HERE / name] if name.endswith(".py") else (HERE / name).rglob("*.py"))
    ]
    for file in files:
        text = file.read_text(encoding="utf-8")
        nodes = list(ast.walk(ast.parse(text))) if TOOLS.search(text) else []
        said = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        for node in nodes:
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
                yield node.value


STEPS = sorted({text for text in sentences() if TOOLS.search(text) and " " in text})


def test_the_layers_below_name_steps_by_what_python_and_mcp_both_have():
    assert len(STEPS) > 5
    for text in STEPS:
        for name in re.findall("list_models|register_keys|ask|dispatch|result|status", " ".join(TOOLS.findall(text))):
            assert callable(getattr(Chomp, name))


@pytest.mark.parametrize("text", STEPS)
@pytest.mark.parametrize(("words", "own"), [(HTTP, r"(GET|POST) /"), (CLI, r"chomp-mcp|API_KEY")], ids=["http", "cli"])
def test_no_step_is_told_in_the_words_of_another_door(text: str, words: Words, own: str):
    told = spoken(text, words)
    assert not TOOLS.search(told), told
    assert re.search(own, told) or not re.search("[a-z]", told), told


async def test_over_http_each_error_names_a_path(gateway: Served, upstream: ScriptedRouter):
    anthropic = {"anthropic-version": "2023-06-01"}
    unknown = (await gateway.chat(model="nobody-has-this")).json()["error"]["message"]
    keyless = (await gateway.chat(model="groq/x")).json()["error"]["message"]
    upstream.fail(404, {"error": {"message": "no such model", "code": "model_not_found"}})
    gone = (await gateway.chat(model="lab/m")).json()["error"]["message"]
    body = {"model": "nobody-has-this", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    native = (await gateway.http.post("/v1/messages", json=body, headers=anthropic)).json()["error"]["message"]
    google = (
        await gateway.http.post("/v1beta/models/nope:generateContent", json={"contents": [{"parts": [{"text": "a"}]}]})
    ).json()["error"]["message"]
    job = (await gateway.http.post("/api/dispatch", json={"prompt": "hi", "model": "groq/x"})).json()
    if "id" in job:
        job = (await gateway.http.get(f"/api/result/{job['id']}?wait=20")).json()
    failed = str(job["error"])
    for told in (unknown, keyless, gone, native, google, failed):
        assert not TOOLS.search(told), told
        assert re.search(r"(GET|POST) /(v1/models|api/keys)", told), told
