"""/openapi.json and /docs: every route is described, and real answers are as described."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import httpx2
import pytest
from jsonschema import Draft202012Validator
from starlette.routing import Route

from chomp_mcp.doors.http.app import build_app
from chomp_mcp.doors.http.openapi import METHODS, document, resolved
from tests.support.scripted import ScriptedRouter
from tests.support.serving import Served, serving, settings_for

pytestmark = pytest.mark.anyio
APART = {"/mcp", "/sse", "/messages/", "/keys/{nonce}"}
"""MCP, which describes itself, and the page that a person is led to."""
TOKEN = "a-long-enough-token"


def operations(described: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path, shared in described["paths"].items():
        for method in METHODS:
            if method in shared:
                yield path, method.upper(), {"parameters": [], **shared, **shared[method]}


async def test_every_route_is_described_and_every_description_has_a_route(gateway: Served):
    served = {
        (re.sub(r":path}", "}", route.path), method)
        for route in build_app(gateway.chomp).routes
        if isinstance(route, Route) and route.path not in APART
        for method in (route.methods or ())
        if method != "HEAD"
    }
    described = (await gateway.http.get("/openapi.json")).json()
    told = {(path, method) for path, method, _ in operations(described)}
    assert told == served, "each route stands in doors/http/openapi.yaml"
    assert described["openapi"] == "3.1.0"
    assert described["security"] == [{}, {"bearer": []}]
    assert {"auto", "lab", "groq", "mock"} <= set(described["components"]["schemas"]["Router"]["enum"])
    names = [operation["operationId"] for _, _, operation in operations(described)]
    assert len(names) == len(set(names))


async def test_each_example_is_answered_as_described(gateway: Served, upstream: ScriptedRouter):
    upstream.models([{"id": "m"}])
    described = (await gateway.http.get("/openapi.json")).json()
    for path, method, operation in operations(described):
        if path == "/events" or operation["operationId"] == "forgetMe":
            continue
        url = path
        for each in (resolved(each, described) for each in operation["parameters"]):
            url = url.replace(f"{{{each['name']}}}", str(each.get("example", "nothing")))
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if content is None:
            bodies: tuple[Any, ...] = (None,)
        else:
            fits = content["example"]
            assert not list(validator(content["schema"], described).iter_errors(fits)), (path, fits)
            stream = {**fits, "stream": True} if "stream" in str(content["schema"]) or "messages" in fits else fits
            bodies = (fits, stream, {**fits, "model": 7}, {"model": "mock/echo"}, {})
        for body in bodies:
            answer = await gateway.http.request(method, url, json=body)
            check(answer, operation, described)
            if body is not None and answer.status_code == 200:  # what does not fit is not taken
                assert not list(validator(content["schema"], described).iter_errors(body)), (path, body)
        check(await gateway.http.request("PATCH", url), operation, described)


def check(answer: httpx2.Response, operation: Mapping[str, Any], described: Mapping[str, Any]) -> None:
    told = operation["responses"].get(str(answer.status_code)) or operation["responses"]["default"]
    kind = answer.headers["content-type"].partition(";")[0]
    content = resolved(told, described)["content"]
    where = f"{answer.request.method} {answer.request.url} {answer.status_code}: {answer.text[:300]}"
    assert answer.status_code != 500, where
    assert kind in content, where
    if kind == "application/json":
        assert not list(validator(content[kind]["schema"], described).iter_errors(answer.json())), where


def validator(schema: Mapping[str, Any], described: Mapping[str, Any]) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": described["components"]})


async def test_where_a_token_is_due_the_document_says_so_and_wants_it(home):
    async with serving(settings_for(home, environ={"GATEWAY_AUTH_TOKEN": TOKEN})) as gateway:
        for path in ("/docs", "/openapi.json"):
            refused = await gateway.http.get(path)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"].startswith("Basic ")
        shown = {"authorization": f"Bearer {TOKEN}"}
        described = (await gateway.http.get("/openapi.json", headers=shown)).json()
        assert described["security"] == [{"bearer": []}]
        assert described == document(gateway.chomp.routers, needs_token=True)
        check(await gateway.http.get("/v1/models"), described["paths"]["/v1/models"]["get"], described)
