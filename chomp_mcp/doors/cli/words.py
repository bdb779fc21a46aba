"""An error in the words of the command line: what other doors call a tool is a command here."""

from __future__ import annotations

import json
from typing import Any

from chomp_mcp.doors import words
from chomp_mcp.doors.cli.output import as_typed, plain
from chomp_mcp.errors import ChompError


def spoken(text: str) -> str:
    """The text in this door's words, and its commands as they run here."""
    return as_typed(words.spoken(text, words.CLI))


def error_line(error: ChompError) -> str:
    """`chomp-mcp: <what happened> <what to do next>`, on one line; after a prompt that was left, on a new one."""
    start = "\n" if error.message.startswith("\n") else ""
    return f"{start}chomp-mcp: {plain(spoken(str(error)))}"


def error_json(error: ChompError, exit_code: int) -> str:
    """`{"error": {"message", "type", "code", "param", "exit_code"}, "receipt"?}`, on one line."""
    envelope = error.envelope()["error"]
    said = plain(spoken(str(envelope["message"])))
    told: dict[str, Any] = {"error": {**envelope, "message": said, "exit_code": exit_code}}
    receipt = getattr(error, "receipt", None)
    if receipt is not None:
        told["receipt"] = receipt.as_dict()
    return json.dumps(told, ensure_ascii=False)
