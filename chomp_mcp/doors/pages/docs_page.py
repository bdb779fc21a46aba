"""/openapi.json and /docs: our HTTP APIs, for programs and for people."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from html import escape
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from chomp_mcp.app import Chomp
from chomp_mcp.doors.http.asgi import Json
from chomp_mcp.doors.http.auth import is_open
from chomp_mcp.doors.http.openapi import METHODS, document, resolved
from chomp_mcp.doors.pages import frame


def routes(chomp: Chomp) -> list[Route]:
    """`/openapi.json` and `/docs`."""
    is_for_all = is_open(chomp.settings)
    # Where a token is due, the owner's own rows are named to nobody who has not been lent them.
    own = () if is_for_all else {name for name in chomp.settings.router_rows if not chomp.routers[name].shared}
    described = document([name for name in chomp.routers if name not in own], needs_token=not is_for_all)

    async def as_json(_request: Request) -> Json:
        return Json(described)

    async def as_page(request: Request) -> HTMLResponse:
        info, groups = described["info"], []
        for tag in described["tags"]:
            name = tag["name"]
            operations = [
                _operation(method, path, {"parameters": [], **shared, **shared[method]}, described, request)
                for path, shared in described["paths"].items()
                for method in METHODS
                if method in shared and name in shared[method]["tags"]
            ]
            heading = f'<h2 id="about-{name}">{name}</h2><p>{_prose(tag["description"])}</p>'
            groups.append(f'<section aria-labelledby="about-{name}">{heading}{"".join(operations)}</section>')
        return frame.page(
            "docs",
            version=escape(info["version"]),
            about=_prose(info["description"]),
            groups="\n".join(f'<li><a href="#about-{tag["name"]}">{tag["name"]}</a></li>' for tag in described["tags"]),
            operations="\n".join(groups),
            shapes="\n".join(
                f'<details><summary><code>{name}</code></summary><div id="{name}">{_shape(schema)}</div></details>'
                for name, schema in described["components"]["schemas"].items()
            ),
        )

    return [Route("/openapi.json", as_json), Route("/docs", as_page)]


def _operation(
    method: str, path: str, operation: Mapping[str, Any], described: dict[str, Any], request: Request
) -> str:
    """Closed, one line; opened, all that a caller must know."""
    parameters = [resolved(each, described) for each in operation["parameters"]]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    parts = [f"<p>{_prose(operation['description'])}</p>" if "description" in operation else ""]
    url = frame.address(request) + path
    for each in parameters:
        url = url.replace(f"{{{each['name']}}}", str(each.get("example", each["name"].upper())))
    words = ["curl", *(() if method in {"get", "post"} else ("-X", method.upper())), shlex.quote(url)]
    if method == "post":
        words += ["-H", "'content-type: application/json'", "-d", shlex.quote(json.dumps(body.get("example", {})))]
    parts.append(f'<pre tabindex="0"><code>{escape(" ".join(words))}</code></pre>')
    if parameters:
        rows = [
            (f"<code>{each['name']}</code>", each["in"], _kind(each["schema"]), _prose(each.get("description", "")))
            for each in parameters
        ]
        parts.append(frame.table(("Parameter", "Stands in", "Is", "Meaning"), rows))
    if body:
        parts.append(f"<h3>Send</h3><p>{_kind(body['schema'])}</p>{_shape(resolved(body['schema'], described))}")
    answers = [(status, resolved(answer, described)) for status, answer in operation["responses"].items()]
    told = [
        (f"<code>{status}</code>", escape(kind), _kind(content["schema"]), _prose(answer["description"]))
        for status, answer in answers
        for kind, content in answer["content"].items()
    ]
    parts.append(frame.table(("Answer", "Type", "Is", "Meaning"), told))
    title = f'<code><b class="method">{method.upper()}</b> {escape(path)}</code> {escape(operation["summary"])}'
    return f'<details id="{operation["operationId"]}"><summary>{title}</summary>{"".join(parts)}</details>'


def _shape(schema: Mapping[str, Any]) -> str:
    """A row for each field."""
    about = f"<p>{_prose(schema['description'])}</p>" if "description" in schema else ""
    if "properties" not in schema:
        return f"{about}<p>{_kind(schema)}</p>"
    required = schema.get("required", ())
    rows = [
        (f"<code>{name}</code>", _kind(its), "yes" if name in required else "", _prose(its.get("description", "")))
        for name, its in schema["properties"].items()
    ]
    return about + frame.table(("Field", "Is", "Always", "Meaning"), rows)


def _kind(schema: Mapping[str, Any]) -> str:
    """What a value is, in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(each) for each in schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        return ", ".join(f"<code>{escape(str(each))}</code>" for each in schema.get("enum", [schema.get("const")]))
    kinds = schema.get("type", "anything" if schema.keys().isdisjoint({"properties", "required"}) else "object")
    words = " or ".join([kinds] if isinstance(kinds, str) else kinds)
    inner = schema.get("items") or schema.get("additionalProperties")
    return f"{words} of {_kind(inner)}" if isinstance(inner, dict) and inner else words


def _prose(text: str) -> str:
    """Sentences with `code` in them."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))
