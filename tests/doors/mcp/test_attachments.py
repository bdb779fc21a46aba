"""`files` and `save_to`, through the real server over stdio: what the router got, and what the model was told."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client, StdioServerParameters
from mcp.types import CallToolResult, Implementation, ListRootsResult, Root

from chomp_mcp.app import Chomp
from chomp_mcp.doors.mcp.server import build_server
from chomp_mcp.settings import Settings
from tests.support.mcp_doors import MODES, environment, running, stdio, text_of
from tests.support.scripted import ScriptedRouter

pytestmark = pytest.mark.anyio

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(64))
PDF = b"%PDF-1.7\n" + bytes(range(256))
CLAUDE = Implementation(name="claude-code", version="2.1.332")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder of somebody's work, inside of which files may be read."""
    folder = tmp_path / "work" / "project"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "a.py").write_text("print('a')\n")
    (folder / "src" / "b.py").write_text("print('b')\n")
    (folder / "README.md").write_text("# Project\n")
    (folder / ".env").write_text("TOKEN=1\n")
    (folder / "logo.png").write_bytes(PNG)
    (folder / "paper.pdf").write_bytes(PDF)
    (folder / "data.bin").write_bytes(b"\0\1\2\3")
    (tmp_path / "work" / "outside.txt").write_text("outside")
    return folder


@pytest.fixture
async def client(tmp_path: Path, project: Path, upstream: ScriptedRouter) -> AsyncIterator[Client]:
    """In memory, as a server that was started in the project."""
    async with (
        running(tmp_path / "home", upstream) as chomp,
        Client(build_server(chomp, started_in=str(project)), client_info=CLAUDE) as client,
    ):
        yield client


def sent(upstream: ScriptedRouter) -> Any:
    """The content of the last message that the router got."""
    return upstream.chats[-1].json["messages"][-1]["content"]


async def ask(client: Client, *files: str, **more: Any) -> CallToolResult:
    return await client.call_tool("ask", {"prompt": "Why?", "router": "lab", "files": list(files), **more})


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


async def test_a_folder_with_brackets_in_its_name_is_no_glob(
    client: Client, project: Path, upstream: ScriptedRouter
) -> None:
    (project / "[id].tsx").write_text("page")
    assert not (await ask(client, "[id].tsx")).is_error
    assert "page" in sent(upstream)


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


async def test_secrets_are_left_out_of_globs_and_refused_when_named(
    client: Client, project: Path, upstream: ScriptedRouter
) -> None:
    (project / "config.ini").write_text(f"token = ghp_{'a' * 36}\n")
    result = await ask(client, "*.ini", "README.md", ".e*")
    assert not result.is_error
    assert "ghp_" not in str(sent(upstream))
    assert "TOKEN" not in str(sent(upstream))
    assert result.meta
    assert "left out: config.ini (it holds what looks like a key), .env" in result.meta["chomp/receipt"]["notes"][1]
    before = len(upstream.chats)
    named = await ask(client, "config.ini")
    assert named.is_error
    assert "config.ini was not sent to lab: it holds a GitHub token (sha256:" in text_of(named)
    assert "ghp_" not in text_of(named)
    assert len(upstream.chats) == before


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


async def test_over_http_files_are_refused_with_the_reason(tmp_path: Path, upstream: ScriptedRouter) -> None:
    async with running(tmp_path, upstream) as chomp, Client(build_server(chomp)) as client:
        for arguments in ({"files": ["x"]}, {"save_to": "x"}):
            result = await client.call_tool("ask", {"prompt": "x", "router": "lab", **arguments})
            assert result.is_error
            assert "Over HTTP no file of this machine is read or written" in text_of(result)
    assert not upstream.chats


@pytest.mark.parametrize("mode", MODES)
async def test_the_clients_roots_are_the_allowed_folders(
    tmp_path: Path, project: Path, upstream: ScriptedRouter, mode: str
) -> None:
    async def roots(_context: Any) -> ListRootsResult:
        return ListRootsResult(roots=[Root(uri=(project / "src").as_uri())])  # type: ignore[arg-type]

    async with (
        running(tmp_path / "home", upstream) as chomp,
        Client(build_server(chomp, started_in=str(project)), mode=mode, list_roots_callback=roots) as client,
    ):
        assert not (await ask(client, "a.py")).is_error
        assert "print('a')" in sent(upstream)
        assert "outside of the allowed folders" in text_of(await ask(client, str(project / "README.md")))


async def test_chomp_files_comes_before_everything(tmp_path: Path, project: Path, upstream: ScriptedRouter) -> None:
    settings = environment(tmp_path / "home", upstream, CHOMP_FILES=str(project / "src"))
    async with (
        Chomp(Settings.load(settings)) as chomp,
        Client(build_server(chomp, started_in=str(project.parent))) as client,
    ):
        assert not (await ask(client, "a.py")).is_error
        assert "outside" in text_of(await ask(client, "../README.md"))


@pytest.mark.parametrize("folder", ["/", "~", "~/..", ""])
async def test_nobody_chose_a_home_or_a_root_by_starting_a_program_there(
    tmp_path: Path, upstream: ScriptedRouter, folder: str
) -> None:
    started_in = os.path.expanduser(folder)  # noqa: ASYNC240, PTH111 - a text
    async with (
        running(tmp_path / "home", upstream) as chomp,
        Client(build_server(chomp, started_in=started_in)) as client,
    ):
        assert "set CHOMP_FILES" in text_of(await ask(client, "x.txt"))
    assert not upstream.chats


async def test_an_answer_is_saved_and_the_model_gets_its_beginning(
    client: Client, project: Path, upstream: ScriptedRouter
) -> None:
    answer = "".join(f"line {number}\n" for number in range(2000))
    upstream.answer(answer)
    result = await ask(client, save_to="out.md")
    assert (project / "out.md").read_text() == answer
    assert text_of(result).startswith(
        f"Saved to {project / 'out.md'}: {len(answer):,} bytes, 2,000 lines. It begins:\n"
    )
    assert "line 4" in text_of(result)
    assert len(text_of(result)) < 600
    upstream.answer("again")
    assert not (await ask(client, save_to="out.md")).is_error
    assert (project / "out.md").read_text() == "again"
    assert [name for name in os.listdir(project) if "out" in name] == ["out.md"]  # noqa: PTH208 - nothing beside it


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("README.md", "README.md exists, and chomp did not write it"),
        ("nowhere/out.md", "The folder of 'nowhere/out.md' does not exist"),
        ("src", "'src' is a folder"),
        ("src/", "'src/' is a folder"),
        ("../out.md", "outside of the allowed folders"),
        ("link/out.md", "outside of the allowed folders"),
        (".git/hooks", "version control"),
        (".envrc", "files of its name hold secrets"),
    ],
)
async def test_where_no_answer_may_go_nothing_is_asked(
    client: Client, project: Path, upstream: ScriptedRouter, name: str, says: str
) -> None:
    (project / "link").symlink_to(project.parent)
    (project / ".git").mkdir()
    before = sorted(os.walk(project))
    result = await ask(client, save_to=name)
    assert result.is_error
    assert says in text_of(result)
    assert not upstream.chats
    assert sorted(os.walk(project)) == before


async def test_a_file_that_somebody_changed_since_is_theirs(
    client: Client, project: Path, upstream: ScriptedRouter
) -> None:
    await ask(client, save_to="out.md")
    (project / "out.md").write_text("mine now")
    assert "it was changed since" in text_of(await ask(client, save_to="out.md"))
    assert (project / "out.md").read_text() == "mine now"


async def test_a_file_that_appears_while_the_model_answers_is_left_alone(
    client: Client, project: Path, upstream: ScriptedRouter
) -> None:
    rest = anyio.Event()
    upstream.stream(["Hello", rest, " world"])
    results: list[CallToolResult] = []

    async def asking() -> None:
        results.append(await ask(client, save_to="out.md"))

    async with anyio.create_task_group() as group:
        group.start_soon(asking)
        await upstream.saw_request()
        (project / "out.md").write_text("mine")
        rest.set()
    assert (project / "out.md").read_text() == "mine"
    assert text_of(results[0]).startswith("Hello world\n\n(Not saved to ")


def started_in(project: Path, server: StdioServerParameters) -> StdioServerParameters:
    return server.model_copy(update={"cwd": str(project)})


@pytest.mark.parametrize("mode", MODES)
async def test_a_dispatched_job_reads_and_saves_over_stdio(
    tmp_path: Path, project: Path, upstream: ScriptedRouter, mode: str
) -> None:
    upstream.answer("the answer\n" * 3)
    server = started_in(project, stdio(tmp_path / "home", upstream))
    async with Client(server, mode=mode, client_info=CLAUDE) as client:
        begun = await client.call_tool(
            "dispatch", {"prompt": "Why?", "router": "lab", "files": ["src/**"], "save_to": "out.md"}
        )
        assert begun.meta, text_of(begun)
        job_id = begun.meta["chomp/job"]["job_id"]
        result = await client.call_tool("result", {"job_id": job_id, "wait_seconds": 30})
    assert (project / "out.md").read_text() == "the answer\n" * 3
    assert text_of(result).startswith(f"Saved to {project / 'out.md'}: 33 bytes, 3 lines.")
    assert "print('b')" in sent(upstream)


async def test_what_goes_into_a_file_stays_out_of_the_conversation_also_while_it_runs(
    tmp_path: Path, project: Path, upstream: ScriptedRouter
) -> None:
    rest = anyio.Event()
    begun = "".join(f"line {number}\n" for number in range(2000))
    upstream.stream([begun, rest, "the end"])
    server = started_in(project, stdio(tmp_path / "home", upstream, CHOMP_DEADLINE_SECONDS="2"))
    async with Client(server) as client:
        result = await ask(client, save_to="out.md")
        assert text_of(result).startswith("Still running as job")
        assert f"To be saved to {project / 'out.md'}: {len(begun):,} bytes" in text_of(result)
        assert len(result.model_dump_json()) < 2000
        assert result.structured_content
        looked = await client.call_tool("result", {"job_id": result.structured_content["job_id"]})
        assert len(looked.model_dump_json()) < 2000
        rest.set()
        done = await client.call_tool("result", {"job_id": result.structured_content["job_id"], "wait_seconds": 30})
        assert text_of(done).startswith(f"Saved to {project / 'out.md'}: {len(begun) + 7:,} bytes")
    assert (project / "out.md").read_text() == begun + "the end"


async def test_all_who_collect_it_as_it_ends_are_told_the_same_place(
    client: Client, project: Path, upstream: ScriptedRouter
) -> None:
    rest = anyio.Event()
    upstream.stream(["Hello", rest, " world"])
    job = await client.call_tool("dispatch", {"prompt": "hi", "model": "lab/m", "save_to": "out.md"})
    assert job.meta
    wanted = {"job_id": job.meta["chomp/job"]["job_id"], "wait_seconds": 30}
    collected: list[str] = []

    async def collect() -> None:
        collected.append(text_of(await client.call_tool("result", wanted)))

    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(collect)
        await upstream.saw_request()
        rest.set()
    assert [text.partition(" bytes")[0] for text in collected] == [f"Saved to {project / 'out.md'}: 11"] * 8
    assert (project / "out.md").read_text() == "Hello world"


async def test_an_ask_past_its_deadline_saves_at_its_end(
    tmp_path: Path, project: Path, upstream: ScriptedRouter
) -> None:
    rest = anyio.Event()
    upstream.stream(["Hello", rest, " world"])
    server = started_in(project, stdio(tmp_path / "home", upstream, CHOMP_DEADLINE_SECONDS="0.5"))
    async with Client(server) as client:
        result = await ask(client, save_to="out.md")
        assert text_of(result).startswith("Still running as job")
        rest.set()
        with anyio.fail_after(20):
            while not (project / "out.md").exists():  # noqa: ASYNC110 - another process writes it
                await anyio.sleep(0.05)
    assert (project / "out.md").read_text() == "Hello world"


async def test_a_question_about_300_kb_costs_the_hosts_model_under_300_tokens(
    client: Client, project: Path, upstream: ScriptedRouter
) -> None:
    (project / "long.log").write_text("a line of some log\n" * 16_000)
    upstream.answer("It is fine.")
    arguments = {"prompt": "What is wrong?", "model": "lab/scripted-small", "files": ["long.log"]}
    result = await client.call_tool("ask", arguments)
    assert len(sent(upstream)) > 300_000
    assert len(json.dumps(arguments)) + len(text_of(result)) < 3 * 300


def test_the_command_line_takes_and_saves_files(tmp_path: Path, project: Path) -> None:
    command = [sys.executable, "-m", "chomp_mcp", "ask", "-m", "mock/echo", "Why?"]
    environ = {**os.environ, "CHOMP_HOME": str(tmp_path / "home")}
    told = subprocess.run(
        [*command, "-a", "src/a.py", "-a", str(project.parent / "outside.txt"), "--save-to", "out.md"],
        cwd=project, env=environ, capture_output=True, text=True, check=True,
    )  # fmt: skip
    saved = (project / "out.md").read_text()
    assert "print('a')" in saved
    assert saved.endswith("outside\n</file>\n\nWhy?")
    assert told.stdout.startswith(f"Saved to {project / 'out.md'}:")
    refused = subprocess.run(
        [*command, "--save-to", "README.md"], cwd=project, env=environ, capture_output=True, text=True, check=False
    )
    assert refused.returncode == 2
    assert "chomp did not write it" in refused.stderr
