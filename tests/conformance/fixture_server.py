"""The product's own HTTP server with the conformance suite's fixtures added.

python -m tests.conformance.fixture_server PORT
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

from mcp.server.mcpserver import MCPServer

from chomp_mcp.doors.http.server.serve import serve
from chomp_mcp.doors.mcp import server as mcp
from chomp_mcp.settings import Settings
from tests.conformance.fixtures import add_fixtures


def main(port: int) -> None:
    build = mcp.build_server

    def build_with_fixtures(*args: Any, **words: Any) -> MCPServer[Any]:
        server = build(*args, **words)
        add_fixtures(server)
        return server

    mcp.build_server = build_with_fixtures
    serve(replace(Settings.load(), port=port))


if __name__ == "__main__":
    main(int(sys.argv[1]))
