"""What a decoder's error means, as the gateway judges it."""

from __future__ import annotations

from chomp_mcp.messages import ErrorObject
from chomp_mcp.routers.failures import judge_error

__all__ = ["judged"]


def judged(told):
    """A `Failed`, whoever said that it failed; anything else as it is."""
    return judge_error(told.error, told.status, 0.0) if isinstance(told, ErrorObject) else told
