"""The way of a request as a picture: one streamed chat is traced through the HTTP door, and drawn layer by layer.

.venv/bin/python .ci/picture.py          writes it into docs/architecture.md
.venv/bin/python .ci/picture.py --check  says which files it shows that are not there or say something else, and which
                                         are on the way and not shown; arrows may differ
"""

from __future__ import annotations

import ast
import asyncio
import html
import json
import os
import re
import sys
import tempfile
import textwrap
from collections import defaultdict
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- made by .ci/picture.py -->\n", "<!-- end -->\n"

BOX = re.compile(r"<b>([\w/]+)</b>")
LAYERS = ("doors", "gateway", "policy", "dialects", "routers", "store", "telemetry")
"""The rooms that are drawn; nouns, settings and JSON are everywhere and would hide the way."""
LEFT_OUT = frozenset({"dialects/numbers", "store/kv/finish", "store/kv/turn", "gateway/book", "doors/caller"})


async def traced() -> list[tuple[str, str]]:
    """(caller, callee) of every step from one file to another, in their order."""
    from chomp_mcp.app import Chomp
    from chomp_mcp.doors.http.app import build_app
    from chomp_mcp.settings import Settings

    package = str(ROOT / "chomp_mcp") + os.sep
    steps: list[tuple[str, str]] = []

    def name_of(frame: FrameType | None) -> str:
        """The file of ours that a call stands in, through whatever library called it."""
        while frame is not None:
            if frame.f_code.co_filename.startswith(package):
                return frame.f_code.co_filename.removeprefix(package).removesuffix(".py")
            frame = frame.f_back
        return ""

    def seen(frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(package):
            caller, callee = name_of(frame.f_back), name_of(frame)
            if caller and caller != callee:
                steps.append((caller, callee))

    app = build_app(Chomp(Settings.load()))
    async with app.router.lifespan_context(app):
        await chat(app)  # what is loaded on first use is no part of the way
        sys.setprofile(seen)
        try:
            await chat(app)
        finally:
            sys.setprofile(None)
    return steps


async def chat(app: Any) -> None:
    body = {"model": "mock/echo", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    events = [{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/chat/completions",
        "raw_path": b"/v1/chat/completions",
        "query_string": b"",
        "http_version": "1.1",
        "scheme": "http",
        "server": ("127.0.0.1", 8080),
        "client": ("127.0.0.1", 1),
        "headers": [(b"host", b"127.0.0.1:8080"), (b"content-type", b"application/json")],
        "state": {},
    }
    left = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if events:
            return events.pop()
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(_message: dict[str, Any]) -> None:
        return

    await app(scope, receive, send)
    await asyncio.sleep(0.05)  # settling goes on behind the answer


def picture(steps: list[tuple[str, str]]) -> str:
    """A Mermaid flowchart: a box a file, with the first sentence of its docstring; an arrow where one calls another."""
    edges = list(dict.fromkeys((a, b) for a, b in steps if is_drawn(a) and is_drawn(b)))
    rooms: dict[str, list[str]] = defaultdict(list)
    for name in dict.fromkeys(name for edge in edges for name in edge):
        rooms[name.split("/")[0]].append(name)
    out = ["```mermaid", "flowchart TD"]
    for layer in LAYERS:
        if rooms[layer]:
            out.append(f"  subgraph {layer}")
            out += [f'    {key(name)}["<b>{name}</b><br/>{sentence(name)}"]' for name in sorted(rooms[layer])]
            out.append("  end")
    out += [f"  {key(a)} --> {key(b)}" for a, b in edges if (b, a) not in edges[: edges.index((a, b))]]
    return "\n".join([*out, "```"]) + "\n"


def is_drawn(name: str) -> bool:
    return name not in LEFT_OUT and name.split("/", maxsplit=1)[0] in LAYERS


def is_there(name: str, page: str) -> bool:
    """The file exists, and its first sentence is the one that is drawn."""
    return (ROOT / "chomp_mcp" / f"{name}.py").exists() and f"<b>{name}</b><br/>{sentence(name)}" in page


def key(name: str) -> str:
    return name.replace("/", "_")


def sentence(name: str) -> str:
    """The first clause of the module's docstring: enough to know what lives there."""
    path = ROOT / "chomp_mcp" / f"{name}.py"
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    first = text.split("\n\n")[0].replace("\n", " ").split(". ")[0].rstrip(".")
    return html.escape(textwrap.shorten(first, 90, placeholder=" …"))


def main() -> int:
    os.environ["CHOMP_HOME"] = tempfile.mkdtemp()
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    shown, _, after = rest.partition(END)
    if "--check" in sys.argv:
        wrong = [name for name in BOX.findall(shown) if not is_there(name, shown)]
        new = set(BOX.findall(picture(asyncio.run(traced())))) - set(BOX.findall(shown))
        for name in wrong:
            print(f"drawn, and not so any more: {name}")
        for name in sorted(new):
            print(f"on the way, and not drawn: {name}")
        if wrong or new:
            print("draw it anew: python .ci/picture.py")
        return 1 if wrong or new else 0
    drawn = picture(asyncio.run(traced()))
    PAGE.write_text(before + BEGIN + drawn + END + after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
