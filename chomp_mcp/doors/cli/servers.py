"""The two servers: stdio, when there is no command, and `serve`."""

from __future__ import annotations

import argparse
from dataclasses import replace

from chomp_mcp.settings import Settings

__all__ = ["serve", "stdio"]


def stdio(_args: argparse.Namespace) -> int:
    """Be an MCP server on stdin and stdout until the client leaves."""
    from chomp_mcp.doors.mcp.stdio import serve_stdio

    serve_stdio(Settings.load())
    return 0


def serve(args: argparse.Namespace) -> int:
    """Serve HTTP until SIGTERM or Ctrl-C."""
    from chomp_mcp.doors.http.server.serve import serve as serve_http

    given = {name: value for name in ("host", "port", "workers") if (value := getattr(args, name)) is not None}
    serve_http(replace(Settings.load(), **given), as_json=args.json)
    return 0
