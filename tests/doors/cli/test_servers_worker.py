"""`serve --no-jobs` accepts, `worker` runs: processes of one gateway."""

from __future__ import annotations

import json
import signal
import sys

import anyio
import httpx2
import pytest

from tests.store.conftest import redis_server, redis_url
from tests.support.scripted import ScriptedRouter
from tests.support.serving import process, url_of
from tests.support.world import environment

__all__ = ["redis_server", "redis_url"]

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(sys.platform == "win32", reason="SIGTERM")]

WORKER = ("-m", "chomp_mcp", "worker")


async def test_a_worker_runs_what_a_server_without_jobs_accepts_and_ends_well(home, redis_url: str) -> None:
    """Two processes, because they are what this is about."""
    go_on = anyio.Event()
    async with ScriptedRouter() as groq:
        groq.stream(["so far ", go_on, "and the rest"])
        env = environment(home, {"groq": groq}, CHOMP_STORE=redis_url, CHOMP_MASTER_KEY="m" * 32)
        async with (
            process(home, "--port", "0", "--no-jobs", **env) as server,
            process(home, start=WORKER, **env) as worker,
        ):
            async with httpx2.AsyncClient(base_url=await url_of(server), timeout=30) as http:
                job = (await http.post("/api/dispatch", json={"prompt": "hi", "model": "groq/m"})).json()
                assert (job["status"], job["model"]) == ("queued", "groq/m")
                with anyio.fail_after(30):
                    while (told := (await http.get(f"/api/result/{job['id']}?wait=1")).json())["result"] != "so far ":
                        pass
                assert told["status"] == "running"
                worker.send_signal(signal.SIGTERM)  # it lets the job end, and takes no other
                queued = (await http.post("/api/dispatch", json={"prompt": "another", "model": "groq/m"})).json()
                go_on.set()
                with anyio.fail_after(30):
                    told = (await http.get(f"/api/result/{job['id']}?wait=20")).json()
                    assert await worker.wait() == 0
                assert (told["status"], told["result"]) == ("done", "so far and the rest")
                still = (await http.get(f"/api/result/{queued['id']}")).json()
                assert still["status"] == "queued"
            server.send_signal(signal.SIGTERM)
            with anyio.fail_after(30):
                assert await server.wait() == 0
        assert len(groq.chats) == 1


@pytest.mark.parametrize("words", [("worker",), ("serve", "--no-jobs"), ("worker", "--json")])
async def test_without_a_shared_store_neither_makes_sense(home, words: tuple[str, ...], capsys) -> None:
    from chomp_mcp.doors.cli import main

    code = await anyio.to_thread.run_sync(main, list(words))
    out, errors = capsys.readouterr()
    said = json.loads(out or errors)["error"]["message"] if "--json" in words else errors
    assert code == 2
    assert "CHOMP_STORE" in said
