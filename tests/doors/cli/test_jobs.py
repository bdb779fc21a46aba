from __future__ import annotations

import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.processes import job_processes, until


def test_a_dispatched_job_outlives_its_command_and_is_collected_by_another(run, upstream):
    answered = threading.Event()
    upstream.answer("done at last", before=answered)
    job_id = run("dispatch", "take your time", "-m", "lab/m").stdout.strip()
    upstream.wait(upstream.saw_request)
    assert run("result", job_id).stdout == ""
    answered.set()
    done = run("result", job_id, "--wait", "20")
    assert (done.returncode, done.stdout) == (0, "done at last\n")
    assert done.stderr.startswith("lab/m · 7 in, 3 out · ")


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_many_dispatches_at_once_are_few_processes_and_all_are_answered(run, upstream, home: Path):
    answered = threading.Event()
    upstream.answer("done", before=answered)
    with ThreadPoolExecutor() as pool:
        ids = [done.stdout.strip() for done in pool.map(lambda _: run("dispatch", "hi", "-m", "lab/m"), range(5))]
    upstream.wait(upstream.saw_request, 5)
    # What found two of them looking into the queue has ended, or is about to.
    until(lambda: len(job_processes(home)) <= 2)
    answered.set()
    assert [run("result", job_id, "--wait", "20").stdout for job_id in ids] == ["done\n"] * 5
    until(lambda: not job_processes(home))


def test_dispatch_says_on_stderr_how_to_collect_the_job(run, upstream):
    done = run("dispatch", "hi", "-m", "lab/m")
    job_id = done.stdout.strip()
    assert done.returncode == 0
    assert job_id.startswith("job_")
    assert f"chomp-mcp result {job_id}" in done.stderr


def test_jobs_and_results_are_json_on_request(run, upstream):
    upstream.answer("hello")
    told = json.loads(run("dispatch", "hi", "-m", "lab/m", "-s", "be brief", "--json").stdout)
    assert (told["model"], told["router"], told["status"]) == ("lab/m", "lab", "queued")
    result = json.loads(run("result", told["job_id"], "--wait", "20", "--json").stdout)
    assert (result["status"], result["text"], result["error"]) == ("done", "hello", "")
    assert result["receipt"]["served"] == "lab/m"
    assert json.loads(run("jobs", "--json").stdout) == [result]


def test_the_table_of_jobs_has_the_newest_first(run, upstream):
    ids = [run("dispatch", prompt, "-m", "lab/m").stdout.strip() for prompt in ("first", "second")]
    header, *rows = run("jobs").stdout.splitlines()
    assert header.split() == ["ID", "STATUS", "CREATED", "MODEL", "PROMPT"]
    assert [row.split()[0] for row in rows] == ids[::-1]
    assert [row.split()[-1] for row in rows] == ["second", "first"]


def test_without_jobs_the_next_step_is_named(run):
    done = run("jobs")
    assert (done.returncode, done.stdout) == (0, "")
    assert "chomp-mcp dispatch" in done.stderr


def test_a_job_that_failed_tells_why_and_ends_with_4(run, upstream):
    upstream.fail(400, {"error": {"message": "no such thing", "type": "invalid_request_error"}})
    job_id = run("dispatch", "hi", "-m", "lab/m").stdout.strip()
    done = run("result", job_id, "--wait", "20")
    assert done.returncode == 4
    assert done.stderr.startswith("chomp-mcp: ")
    assert "no such thing" in done.stderr


def test_cancelling_a_job_stops_the_router_that_works_on_it(run, upstream):
    upstream.hang(after=["some text"])
    job_id = run("dispatch", "hi", "-m", "lab/m").stdout.strip()
    upstream.wait(upstream.saw_request)
    assert run("cancel", job_id).stdout == f"{job_id} cancelled\n"
    upstream.wait(upstream.saw_disconnect)
    done = run("result", job_id)
    assert done.returncode == 2
    assert f"{job_id} was cancelled" in done.stderr
