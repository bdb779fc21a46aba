"""`chomp-mcp` without arguments: the MCP server on stdin and stdout, until the client closes them."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator

from chomp_mcp.settings import Settings

__all__ = ["serve_stdio"]

WAITING = """\
chomp-mcp is an MCP server and waits for a client on stdin. Clients start it themselves:
  chomp-mcp install claude-desktop   adds it to a client
  chomp-mcp demo                     shows what it does
Ctrl-C ends it.
"""


def serve_stdio(settings: Settings) -> None:
    """Serve until stdin ends.

    Nothing slow happens before `initialize` is answered: the store, the network and the key page open when a call needs
    them. stdout belongs to the protocol: what else is printed while the modules load, or later, goes to stderr.

    Raises:
        InvalidSetting: a wrong row in config.toml.
    """
    with contextlib.redirect_stdout(sys.stderr), _no_collection():
        import anyio

        from chomp_mcp.app import Chomp
        from chomp_mcp.doors.key_page import KeyPages
        from chomp_mcp.doors.mcp import build_server

        chomp = Chomp(settings)
        pages = KeyPages(chomp)
        server = build_server(chomp, pages=pages)
    if sys.stdin.isatty():
        sys.stderr.write(WAITING)

    async def serve() -> None:
        async with chomp:
            try:
                await server.run_stdio_async()
            finally:
                await pages.close()

    anyio.run(serve)


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Thousands of classes come to life while the SDK loads, none of them garbage; looking for some takes time."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
