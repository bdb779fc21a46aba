"""nginx before the replicas, with the very configuration of examples/cluster."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

__all__ = ["balanced"]

CONFIGURATION = Path(__file__).parents[2] / "examples" / "cluster" / "nginx.conf"


@asynccontextmanager
async def balanced(folder: Path, urls: Sequence[str]) -> AsyncIterator[str]:
    """The URL that leads to each of the replicas in turn."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    servers = iter(urls)
    text = CONFIGURATION.read_text(encoding="utf-8")
    text = re.sub(
        r"^        server 127\.0\.0\.1:\d+( .*;)$",
        lambda found: f"        server {next(servers).rpartition('/')[2]}{found[1]}",
        text,
        count=len(urls),
        flags=re.MULTILINE,
    )
    text = re.sub(r"^        server 127\.0\.0\.1:808\d .*\n", "", text, flags=re.MULTILINE)
    text = text.replace("listen 8080", f"listen 127.0.0.1:{port}")
    (folder / "tmp").mkdir(parents=True)
    (folder / "nginx.conf").write_text(text, encoding="utf-8")
    nginx = await asyncio.create_subprocess_exec(
        "nginx", "-e", "stderr", "-p", str(folder), "-c", "nginx.conf", stderr=asyncio.subprocess.PIPE
    )
    try:
        with anyio.fail_after(20):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.02)
                    continue
                writer.close()
                break
        yield f"http://127.0.0.1:{port}"
    finally:
        nginx.terminate()
        await nginx.communicate()
