"""An error in the words of the command line: what other doors call a tool is a command here."""

from __future__ import annotations

import json
import re
from typing import Any

from chomp_mcp.doors.cli.output import plain
from chomp_mcp.errors import ChompError

__all__ = ["error_json", "error_line", "spoken"]

_HERE: tuple[tuple[str, str], ...] = (
    (r"Call list_models with router=(\S+)", r"Run `chomp-mcp models \1`"),
    (r"Call list_models", "Run `chomp-mcp models`"),
    (r"\(list_models shows it\)", "(`chomp-mcp models` shows it)"),
    (r"list_models", "chomp-mcp models"),
    (r",? or call register_keys", ""),
    (r"[Cc]all register_keys", "run `chomp-mcp keys add ROUTER`"),
    (r"register a key for a router", "add a key (`chomp-mcp keys add`) of a router"),
    (r"or dispatch it as a job", "or use `chomp-mcp dispatch`"),
    (r"set (\w+_API_KEY)\.", r"or set \1."),
)


def spoken(text: str) -> str:
    """The text with this door's words for what the gateway names by its tools."""
    for there, here in _HERE:
        text = re.sub(there, here, text)
    return text


def error_line(error: ChompError) -> str:
    """`chomp-mcp: <what happened> <what to do next>`, on one line; after a prompt that was left, on a new one."""
    start = "\n" if error.message.startswith("\n") else ""
    return f"{start}chomp-mcp: {plain(spoken(str(error)))}"


def error_json(error: ChompError, exit_code: int) -> str:
    """`{"error": {"message", "type", "code", "param", "exit_code"}, "receipt"?}`, on one line."""
    envelope = error.envelope()["error"]
    told: dict[str, Any] = {
        "error": {**envelope, "message": plain(spoken(str(envelope["message"]))), "exit_code": exit_code}
    }
    receipt = getattr(error, "receipt", None)
    if receipt is not None:
        told["receipt"] = receipt.as_dict()
    return json.dumps(told, ensure_ascii=False)
