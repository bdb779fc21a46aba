"""The gateway's sentences in the words of each door.

The layers below name what to do next by operations that the MCP tools and Python's methods share (`list_models`,
`register_keys`, `status` …). The command line has commands for them, and HTTP has paths. Whatever text of theirs leaves
by one of these doors goes through `spoken`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

Words = tuple[tuple[re.Pattern[str], str], ...]


def _words(table: Mapping[str, str]) -> Words:
    """What is written in the layers below -> what stands there at this door; the first that fits counts."""
    return tuple((re.compile(there), here) for there, here in table.items())


CLI = _words({
    r"Call list_models with router=(\S+)": r"Run `chomp-mcp models \1`",
    r"Call list_models": "Run `chomp-mcp models`",
    r"\(list_models shows it\)": "(`chomp-mcp models` shows it)",
    r"list_models with needs tells which": "`chomp-mcp models --needs …` tells which",
    r"list_models": "chomp-mcp models",
    r",? or call register_keys": "",
    r"[Cc]all register_keys": "run `chomp-mcp keys add ROUTER`",
    r"register a key for a router": "add a key (`chomp-mcp keys add`) of a router",
    r"or dispatch it as a job": "or use `chomp-mcp dispatch`",
    r"see what status tells": "see what `chomp-mcp status` tells",
    r"or call status": "or run `chomp-mcp status`",
    r"set (\w+_API_KEY)\.": r"or set \1.",
})  # fmt: skip

HTTP = _words({
    r"Call list_models with router=(\S+)": r"Call GET /v1/models?router=\1",
    r"list_models with needs tells which": "`capabilities` in GET /v1/models tells which",
    r"list_models": "GET /v1/models",
    r"register_keys": "POST /api/keys",
    r"register a key for a router": "add a key (POST /api/keys) of a router",
    r"or dispatch it as a job": "or dispatch it as a job (POST /api/dispatch)",
    r"see what status tells": "see what GET /v1/providers tells",
    r"or call status": "or call GET /v1/providers",
})  # fmt: skip


def spoken(text: str, words: Words) -> str:
    """The text with this door's words for what the layers below name by their operations."""
    for there, here in words:
        text = there.sub(here, text)
    return text
