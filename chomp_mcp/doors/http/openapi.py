"""Our HTTP APIs as an OpenAPI document: openapi.yaml, and what only the running server knows."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final

from chomp_mcp.version import version

METHODS: Final = ("get", "post", "put", "patch", "delete")


def document(routers: Collection[str], *, needs_token: bool) -> dict[str, Any]:
    """The document for a server with these routers, where a token is due or not (OpenAPI 3.1)."""
    written = _written()
    schemas = written["components"]["schemas"]
    known = {**schemas["Router"], "enum": ["auto", *routers]}
    token: dict[str, list[str]] = {"bearer": []}
    return {
        **written,
        "info": {**written["info"], "version": version()},
        "security": [token] if needs_token else [{}, token],
        "components": {**written["components"], "schemas": {**schemas, "Router": known}},
    }


@lru_cache(maxsize=1)
def _written() -> dict[str, Any]:
    import yaml

    # Written in C where PyYAML was built with it: fifteen times as fast, which a first look at /docs waits for.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    text = (files("chomp_mcp.doors.http") / "openapi.yaml").read_text(encoding="utf-8")
    read: dict[str, Any] = yaml.load(text, Loader=loader)  # noqa: S506 - both are the safe ones
    return read


def resolved(value: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    """The object itself, where `value` is a reference within the document."""
    while "$ref" in value:
        found: Any = document
        for step in value["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        value = found
    return value
