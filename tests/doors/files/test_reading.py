"""`files`: what the router got, and what the model was told, through the MCP server."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest
from mcp import Client

from chomp_mcp.doors.mcp.server import build_server
from tests.doors.files.asking import PDF, PNG, ask, sent
from tests.support.mcp_doors import running, text_of
from tests.support.scripted import ScriptedRouter

pytestmark = pytest.mark.anyio


async def test_text_goes_with_its_path_before_the_question(client: Client, upstream: ScriptedRouter) -> None:
    result = await ask(client, "src/*.py", "README.md")
    assert not result.is_error, text_of(result)
    assert sent(upstream) == (
        "<file path=\"src/a.py\">\nprint('a')\n\n</file>\n\n"
        "<file path=\"src/b.py\">\nprint('b')\n\n</file>\n\n"
        '<file path="README.md">\n# Project\n\n</file>\n\nWhy?'
    )
    assert result.meta
    assert result.meta["chomp/receipt"]["notes"] == ["sent 3 files (0.0 kB): src/a.py, src/b.py, README.md"]
    assert "src/b.py" in text_of(result)


async def test_images_and_pdfs_go_as_parts(client: Client, upstream: ScriptedRouter) -> None:
    await ask(client, "logo.png", "paper.pdf", "README.md")
    image, document, words = sent(upstream)
    assert image["image_url"]["url"] == f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    assert document["file"]["filename"] == "paper.pdf"
    assert document["file"]["file_data"] == f"data:application/pdf;base64,{base64.b64encode(PDF).decode()}"
    assert words == {"type": "text", "text": '<file path="README.md">\n# Project\n\n</file>\n\nWhy?'}


async def test_one_path_may_come_as_a_text(client: Client, upstream: ScriptedRouter) -> None:
    await client.call_tool("ask", {"prompt": "Why?", "router": "lab", "files": "README.md"})
    assert "# Project" in sent(upstream)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nothing.txt", "There is no file 'nothing.txt'"),
        ("*.nothing", "'*.nothing' matches no file"),
        ("src", "'src' is a folder. Give a glob, such as \"src/**/*.py\"."),
        ("../outside.txt", "outside of the allowed folders"),
        ("/etc/passwd", "outside of the allowed folders"),
        ("/etc/*", "outside of the allowed folders"),
        ("link.txt", "outside of the allowed folders"),
        ("data.bin", "neither text in UTF-8, an image nor a PDF"),
        ("innocent.txt", "files of its name hold secrets. Name it by itself"),
        ("pipe", "no regular file"),
        ("\0", "is no path"),
        ("", "files names no file"),
        (".git/*", "version control"),
        ("many/*", "matches more than 200 files"),
        ("large.txt", "The text files together have 5.0 MB; the limit is 4.2 MB"),
    ],
)
async def test_what_cannot_be_sent_is_an_error_and_nothing_is_sent(
    client: Client, project: Path, upstream: ScriptedRouter, name: str, says: str
) -> None:
    (project / "link.txt").symlink_to(project.parent / "outside.txt")
    (project / "innocent.txt").symlink_to(project / ".env")
    os.mkfifo(project / "pipe")
    (project / ".git").mkdir()
    (project / ".git" / "config").write_text("[core]")
    (project / "many").mkdir()
    for number in range(10_000 if name == "many/*" else 0):
        (project / "many" / f"{number}.txt").touch()
    if name == "large.txt":
        (project / name).write_bytes(b"x" * 5_000_000)
    result = await ask(client, name) if name else await client.call_tool("ask", {"prompt": "x", "files": [" "]})
    assert result.is_error
    assert says in text_of(result) or (not name and "empty name" in text_of(result))
    assert not upstream.chats


async def test_a_router_key_of_ours_is_never_sent(tmp_path: Path, project: Path, upstream: ScriptedRouter) -> None:
    async with (
        running(tmp_path / "home", upstream) as chomp,
        Client(build_server(chomp, started_in=str(project))) as client,
    ):
        await chomp.register_keys({"groq": "gsk_abcdefghijklmnop4f2a"})
        (project / "notes.txt").write_text("my key is gsk_abcdefghijklmnop4f2a")
        result = await ask(client, "notes.txt")
    assert result.is_error
    assert "gsk_" not in text_of(result)
    assert not upstream.chats


async def test_more_than_the_model_takes_is_refused_before_it_is_sent(
    client: Client, project: Path, upstream: ScriptedRouter
) -> None:
    upstream.models({"data": [{"id": "scripted-small", "context_length": 1000}]})
    (project / "long.txt").write_text("word " * 10_000)
    result = await ask(client, "long.txt", model="scripted-small")
    assert result.is_error
    assert "The files are about 12,500 tokens; lab/scripted-small takes 1,000." in text_of(result)
    assert not upstream.chats


async def test_a_question_about_300_kb_costs_the_hosts_model_under_300_tokens(
    client: Client, project: Path, upstream: ScriptedRouter
) -> None:
    (project / "long.log").write_text("a line of some log\n" * 16_000)
    upstream.answer("It is fine.")
    arguments = {"prompt": "What is wrong?", "model": "lab/scripted-small", "files": ["long.log"]}
    result = await client.call_tool("ask", arguments)
    assert len(sent(upstream)) > 300_000
    assert len(json.dumps(arguments)) + len(text_of(result)) < 3 * 300
