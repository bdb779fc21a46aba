"""Messages as hosts send them, mended into what the SDK reads: text in, text out, for every transport.

The SDK takes a request whose id it does not like for a notification, and answers nothing; it refuses a whole call for a
progress token, and an empty list where an object belongs (php-sdk #284, MCPSharp #6). No client should wait for ever.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from mcp.types import INVALID_REQUEST, ErrorData, JSONRPCError
from mcp_types import CLIENT_CAPABILITIES_META_KEY

from chomp_mcp import wire

BOM = "\ufeff"
"""Codex on Windows begins with one (kotlin-sdk #956); RFC 8259, 8.1: a parser may ignore it."""

_SURROGATES = re.compile(
    r"(\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)
"""An escaped backslash or a whole pair, which stay; or half a pair."""


def read(text: str) -> str | JSONRPCError:
    """The message's text, mended where that is needed; or the answer to a request that nobody can answer otherwise.

    What is no JSON comes back as it is: whoever parses it says why.
    """
    text = text.removeprefix(BOM)
    try:
        message = wire.loads(text)
    except ValueError:
        return text
    if (r"\ud" in text or r"\uD" in text) and not wire.is_utf8(message):
        text = mended(text)
        message = wire.loads(text)
    if not isinstance(message, dict):
        return text
    if _has_float_id(message):
        message = json.loads(text)  # orjson makes floats of integers above 64 bits
    if "method" in message and not _is_id(message.get("id", 0)):
        return refused("the id is neither text nor a whole number")
    whole = _whole(message)
    return text if whole == message and not _has_float_id(message) else wire.dumps(whole).decode()


def refused(reason: str) -> JSONRPCError:
    """JSON-RPC's answer to what is no request: without an id."""
    error = ErrorData(code=INVALID_REQUEST, message=f"Invalid request: {reason}.")
    return JSONRPCError(jsonrpc="2.0", id=None, error=error)


def mended(text: str) -> str:
    """JSON text with U+FFFD for each escaped half of a surrogate pair, as JavaScript cuts emojis."""
    return _SURROGATES.sub(lambda match: match[1] or r"\ufffd", text)


def is_empty(value: Any) -> bool:
    """What hosts and models write for an object that is not there."""
    if isinstance(value, str):
        return value.strip().lower() in {"", "null", "none", "undefined", "[]", "{}"}
    return value is None or value in ([], {})


def _is_id(value: Any) -> bool:
    if isinstance(value, float):
        return value.is_integer()
    return isinstance(value, str | int) and not isinstance(value, bool)


def _has_float_id(message: Mapping[str, Any]) -> bool:
    """1.0 equals 1, and only one of them is an id."""
    params = message.get("params")
    named = params.get("requestId") if isinstance(params, Mapping) else None
    return isinstance(message.get("id"), float) or isinstance(named, float)


def _integral(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _whole(message: dict[str, Any]) -> dict[str, Any]:
    whole = {**message, "id": _integral(message["id"])} if "id" in message else dict(message)
    if "params" not in whole or "method" not in whole:
        return whole
    params = whole.pop("params")
    if is_empty(params):
        return whole
    if isinstance(params, dict):
        if "_meta" in params:
            params = dict(params)
            meta = params.pop("_meta")
            if isinstance(meta, dict):
                params["_meta"] = meta = dict(meta)
                # A token that is neither text nor a number names no progress: it is as if there were none.
                token = _integral(meta.pop("progressToken", None))
                if _is_id(token):
                    meta["progressToken"] = token
                if CLIENT_CAPABILITIES_META_KEY in meta:
                    meta[CLIENT_CAPABILITIES_META_KEY] = _objects(meta[CLIENT_CAPABILITIES_META_KEY])
        mend = _BY_METHOD.get(str(whole["method"]), dict)
        params = mend(params)
    return {**whole, "params": params}


def _objects(value: Any) -> Any:
    """Capabilities are objects all the way down; PHP writes an empty one as a list."""
    if is_empty(value):
        return {}
    return {name: _objects(inner) for name, inner in value.items()} if isinstance(value, dict) else value


def _text(value: Any) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return wire.dumps(_integral(value)).decode() if is_number else value


def _texts(value: Any) -> Any:
    """An object whose numbers are texts; what is none stays what it is."""
    return {name: _text(inner) for name, inner in value.items()} if isinstance(value, dict) else value


def _hello(params: dict[str, Any]) -> dict[str, Any]:
    info, able = params.get("clientInfo"), _objects(params.get("capabilities"))
    about = {"name": "", "version": "", **(_texts(info) if isinstance(info, dict) else {})}
    return {**params, "capabilities": able, "clientInfo": about}


def _arguments(params: dict[str, Any]) -> dict[str, Any]:
    """Objects come as their own JSON in a text, too."""
    given = params.get("arguments")
    if is_empty(given):
        return {**params, "arguments": {}}
    if isinstance(given, str):
        try:
            parsed = wire.loads(given)
        except ValueError:
            return params
        return {**params, "arguments": parsed}
    return params


def _prompt(params: dict[str, Any]) -> dict[str, Any]:
    """The arguments of prompts are texts."""
    params = _arguments(params)
    return {**params, "arguments": _texts(params["arguments"])}


def _completion(params: dict[str, Any]) -> dict[str, Any]:
    return {**params, "argument": _texts(params["argument"])} if "argument" in params else params


def _page(params: dict[str, Any]) -> dict[str, Any]:
    params = dict(params)
    cursor = params.pop("cursor", None)
    return params if is_empty(cursor) else {**params, "cursor": _text(cursor)}


_BY_METHOD: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "initialize": _hello,
    "tools/call": _arguments,
    "prompts/get": _prompt,
    "completion/complete": _completion,
    "notifications/cancelled": lambda params: {**params, "requestId": _integral(params.get("requestId"))},
    **dict.fromkeys(("tools/list", "prompts/list", "resources/list", "resources/templates/list"), _page),
}
