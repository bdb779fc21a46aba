"""The version that is installed."""

from __future__ import annotations

from functools import cache


@cache
def version() -> str:
    """Looked up once: all of the README stands beside it and is read with it, for a millisecond."""
    from importlib import metadata

    return metadata.version("chomp-mcp")
