"""`save_to`: what stands in the file, and what the model was told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from mcp import Client
from mcp.types import CallToolResult

from tests.doors.files.asking import ask
from tests.support.mcp_doors import text_of
from tests.support.scripted import ScriptedRouter

pytestmark = pytest.mark.anyio


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
