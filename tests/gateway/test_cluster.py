"""Jobs on one Redis: whoever dies, each of them is done or told, and nothing that was answered is asked again."""

from __future__ import annotations

import asyncio
import logging
import pickle
import re
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from redis import Redis as RedisClient
from redis.asyncio import Redis as AsyncRedisClient
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.exceptions import RedisError

from chomp_mcp.app import Chomp
from chomp_mcp.errors import InvalidSetting, NewerRecord, StoreAway
from chomp_mcp.gateway import docket_queue
from chomp_mcp.messages import OWNER, Caller, ChatRequest, Job, JobStatus
from chomp_mcp.settings import Settings
from chomp_mcp.store.kv import redis_link
from tests.support.world import World, environment, world

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
ASKED = ChatRequest.from_prompt("hi", model="groq/m")

Store = Mapping[str, str]


@pytest.fixture
def store(redis_url: str) -> Store:
    return {"CHOMP_STORE": redis_url, "CHOMP_MASTER_KEY": "m" * 32, "CHOMP_JOB_TAKEOVER_SECONDS": "1.5"}


@asynccontextmanager
async def replica(home: Path, w: World, **settings: str) -> AsyncIterator[asyncio.subprocess.Process]:
    command = [sys.executable, "-m", "tests.gateway.replica"]
    env = environment(home, w.routers, **settings)
    started = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=env, stdout=asyncio.subprocess.PIPE)
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.communicate()


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
async def test_the_jobs_of_a_killed_replica_go_on_elsewhere_and_say_that_they_were_asked_before(
    home: Path, store: Store
) -> None:
    """A process has to die for it; one that was dispatched and one that `ask` left behind, at the same time."""
    async with world(home, "groq", **store) as w:
        for model in ("dispatched", "asked"):
            w.groq.on(model=model).stream([f"half of what was {model}", anyio.Event()])
        ask = ChatRequest.from_prompt("hi", model="groq/dispatched")
        dispatched = (await w.chomp.jobs.enqueue(OWNER, ask, prompt="hi")).id
        async with replica(home, w, **store) as other:
            assert other.stdout
            with anyio.fail_after(30):
                asked = (await other.stdout.readline()).decode().strip()
                for job_id in (dispatched, asked):
                    while not (await w.chomp.jobs.result(OWNER, job_id)).text.startswith("half"):
                        await w.chomp.jobs.result(OWNER, job_id, 0.1)
            w.chomp.jobs.start()  # this one stands by, and asks for nothing while the other one lives
            await looked_after(store, times=6)  # as long as it takes to be given up
            assert len(w.groq.chats) == 2
            for model in ("dispatched", "asked"):
                w.groq.on(model=model).answer(f"all of what was {model}")
            other.send_signal(signal.SIGKILL)
            with anyio.fail_after(30):
                done = [await _ended(w.chomp, job_id) for job_id in (dispatched, asked)]
        for each, model in zip(done, ("dispatched", "asked"), strict=True):
            assert (each.status, each.text) == (JobStatus.DONE, f"all of what was {model}")
            assert [attempt["outcome"] for attempt in each.receipt["attempts"]] == ["unknown", "ok"]
            assert f"groq/{model} may have answered a process that ended" in each.receipt["notes"][0]
        assert len(w.groq.chats) == 4
        assert {each.id for each in await w.chomp.jobs.recent(OWNER)} == {dispatched, asked}


async def looked_after(store: Store, *, times: int) -> None:
    """Until Redis was asked so often for what nobody looks after any more, which is every quarter of a second."""
    with anyio.fail_after(30):
        async with AsyncRedisClient.from_url(store["CHOMP_STORE"]) as redis, redis.monitor() as commands:
            async for command in commands.listen():
                times -= command["command"].startswith("XAUTOCLAIM")
                if not times:
                    return


async def _ended(chomp: Chomp, job_id: str, caller: Caller = OWNER) -> Job:
    while True:
        try:
            if (job := await chomp.jobs.result(caller, job_id, 5)).status.is_final:
                return job
        except StoreAway:  # for a moment, after it was killed and on a machine that has much to do
            await answers(chomp.settings.store)


async def answers(url: str) -> None:
    """As soon as that Redis does, which redis-py finds out by asking again."""
    again = Retry(ConstantBackoff(0.05), retries=-1)
    async with AsyncRedisClient.from_url(url, retry=again, retry_on_error=[RedisError]) as redis:
        await redis.ping()


def another(home: Path, w: World, store: Store) -> Chomp:
    """On the same store, with the same routers."""
    return Chomp(Settings.load(environment(home, w.routers, **store)))


async def test_jobs_that_run_elsewhere_take_no_place_from_those_that_wait(
    home: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as a replica runs at once, which is one here."""
    monkeypatch.setattr(docket_queue, "MOST_AT_ONCE", 1)
    async with world(home, "groq", **store) as w, another(home, w, store) as asking:
        w.groq.on(model="slow").hang(after=["so far"])
        w.chomp.jobs.start()
        request = ChatRequest.from_prompt("hi", model="groq/slow")
        slow = await asking.jobs.ask(OWNER, request, prompt="hi", deadline_seconds=0.2)
        with anyio.fail_after(20):
            for _ in range(3):
                await looked_after(store, times=3)
                done = await w.chomp.jobs.dispatch(OWNER, ASKED, prompt="hi")
                assert (await _ended(w.chomp, done.id)).status is JobStatus.DONE
            assert (await w.chomp.jobs.cancel(OWNER, slow.id)).status is JobStatus.CANCELLED
            await w.groq.saw_disconnect()
        assert len(w.groq.chats) == 4


async def test_a_replica_that_leaves_hands_its_jobs_back_and_another_one_runs_them(home: Path, store: Store) -> None:
    async with world(home, "groq", **store) as w:
        w.groq.hang(after=["partial"])
        async with another(home, w, store) as leaving:
            job = await leaving.jobs.dispatch(OWNER, ASKED, prompt="hi")
            with anyio.fail_after(10):
                await w.groq.saw_request()
        told = await w.chomp.jobs.result(OWNER, job.id)
        assert (told.status, told.text, told.process) == (JobStatus.QUEUED, "", "")
        w.groq.answer("whole")
        w.chomp.jobs.start()
        with anyio.fail_after(10):
            done = await _ended(w.chomp, job.id)
        assert (done.status, done.text) == (JobStatus.DONE, "whole")
        assert [each["outcome"] for each in done.receipt["attempts"]] == ["hung_up", "ok"]
        assert "asked again, because the process that asked first was ended" in done.receipt["notes"]


async def test_without_retries_a_replica_that_leaves_says_so_in_what_it_had_asked(home: Path, store: Store) -> None:
    settings = {**store, "CHOMP_JOB_RETRIES": "0"}
    async with world(home, "groq", **settings) as w:
        w.groq.hang(after=["partial"])
        async with another(home, w, settings) as leaving:
            job = await leaving.jobs.dispatch(OWNER, ASKED, prompt="hi")
            with anyio.fail_after(10):
                await w.groq.saw_request()
        told = await w.chomp.jobs.result(OWNER, job.id)
        assert (told.status, [each["outcome"] for each in told.receipt["attempts"]]) == (JobStatus.ERROR, ["hung_up"])
        assert "stopped" in told.error


async def test_a_job_that_waits_is_cancelled_before_anybody_runs_it(home: Path, store: Store) -> None:
    async with world(home, "groq", **store) as w:
        cancelled = await w.chomp.jobs.enqueue(OWNER, ASKED, prompt="hi")
        assert (await w.chomp.jobs.cancel(OWNER, cancelled.id)).status is JobStatus.CANCELLED
        w.chomp.jobs.start()
        done = await w.chomp.jobs.dispatch(OWNER, ASKED, prompt="hi")
        with anyio.fail_after(10):
            assert (await _ended(w.chomp, done.id)).status is JobStatus.DONE
        assert (await w.chomp.jobs.result(OWNER, cancelled.id)).status is JobStatus.CANCELLED
        assert len(w.groq.chats) == 1


async def test_a_caller_of_a_token_gets_its_jobs_done_with_its_own_keys(home: Path, store: Store) -> None:
    async with world(home, "groq", **store) as w:
        _, caller = await w.chomp.keyring.create()
        await w.chomp.register_keys({"groq": "gsk_5Qx9fT7bWm2LkR8vNc4JhY6dZ3pA"}, caller=caller)
        job = await w.chomp.jobs.dispatch(caller, ASKED, prompt="hi")
        with anyio.fail_after(10):
            assert (await _ended(w.chomp, job.id, caller)).status is JobStatus.DONE
        assert w.groq.chats[0].key == "gsk_5Qx9fT7bWm2LkR8vNc4JhY6dZ3pA"


class Bomb:
    """Unpickled, it would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


async def test_whoever_can_write_to_the_redis_cannot_have_the_replicas_run_code(home: Path, store: Store) -> None:
    made = home.parent / "made"
    async with world(home, "groq", **store) as w:
        job = await w.chomp.jobs.enqueue(OWNER, ASKED, prompt="hi")
        bomb = pickle.dumps(Bomb(made))
        with RedisClient.from_url(store["CHOMP_STORE"]) as redis:
            [(_, message)] = redis.xrange("chomp:jobs:stream")
            redis.xadd("chomp:jobs:stream", {**message, b"args": bomb, b"kwargs": bomb, b"key": b"owner:job_x"})
            redis.xadd("chomp:jobs:strikes", {b"direction": b"strike", b"operator": b"==", b"value": bomb})
        w.chomp.jobs.start()
        with anyio.fail_after(10):
            assert (await _ended(w.chomp, job.id)).status is JobStatus.DONE
            again = await w.chomp.jobs.dispatch(OWNER, ASKED, prompt="hi")
            assert (await _ended(w.chomp, again.id)).status is JobStatus.DONE
    assert not made.exists()


async def test_a_redis_user_with_the_rights_that_are_asked_for_is_enough_and_without_them_the_log_says_so(
    home: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    rights = redis_link._RIGHTS.partition("<user> ")[2].rstrip(".").split()
    channel = "&chomp:jobs:cancel:*"
    url = store["CHOMP_STORE"].replace("//", "//team:password@")
    with RedisClient.from_url(store["CHOMP_STORE"]) as redis:
        less = [each for each in rights if each != channel]
        redis.execute_command("ACL", "SETUSER", "team", "reset", "on", ">password", *less)
        async with world(home, "groq", **{**store, "CHOMP_STORE": url}) as w:
            job = await w.chomp.jobs.dispatch(OWNER, ASKED, prompt="hi")
            with anyio.fail_after(10):
                while not re.search("the queue of jobs: .*no permissions to access.* channel", caplog.text):
                    await w.chomp.jobs.result(OWNER, job.id, 0.1)
            redis.execute_command("ACL", "SETUSER", "team", *rights)
            with anyio.fail_after(10):
                assert (await _ended(w.chomp, job.id)).status is JobStatus.DONE
        denied = redis.acl_log()
        redis.execute_command("ACL", "DELUSER", "team")
    assert {each["object"] for each in denied} == {"chomp:jobs:cancel:*"}


async def test_a_job_of_a_newer_version_is_told_and_left_for_one_that_can_read_it(home: Path, store: Store) -> None:
    async with world(home, "groq", **store) as w:
        job = await w.chomp.jobs.enqueue(OWNER, ASKED, prompt="hi")
        kv = w.chomp._stores[1]
        [entry] = await kv.list("job:owner:")
        await kv.put(entry.key, {**entry.value, "version": 2, "status": "paused"})
        w.chomp.jobs.start()
        other = await w.chomp.jobs.dispatch(OWNER, ASKED, prompt="hi")
        with anyio.fail_after(10):
            assert (await _ended(w.chomp, other.id)).status is JobStatus.DONE
        for look in (w.chomp.jobs.result, w.chomp.jobs.cancel):
            with pytest.raises(NewerRecord, match="newer chomp-mcp"):
                await look(OWNER, job.id)
        listed = {each.id: each for each in await w.chomp.jobs.recent(OWNER)}
        assert "newer chomp-mcp" in listed[job.id].error
        await kv.put(entry.key, entry.value)  # the newer version has gone, and left it as the old one knows it
        with RedisClient.from_url(store["CHOMP_STORE"]) as redis:
            assert redis.zcard("chomp:jobs:queue") == 1, "it comes again"
        assert (await w.chomp.jobs.result(OWNER, job.id)).status is JobStatus.QUEUED


async def test_a_job_that_waits_long_is_put_in_line_again(home: Path, store: Store) -> None:
    """As after a Redis that lost its last second: the job's record is there, and its place in the queue is not."""
    async with world(home, "groq", **store) as w:
        job = await w.chomp.jobs.enqueue(OWNER, ASKED, prompt="hi")
        with RedisClient.from_url(store["CHOMP_STORE"]) as redis:
            for key in redis.keys("chomp:jobs:*"):
                redis.delete(key)
        w.chomp.jobs.start()
        later = another(home, w, store)
        async with later:
            later.jobs.engine._clock = lambda: time.time() + 61
            with anyio.fail_after(10):
                assert (await _ended(later, job.id)).text == "hello"


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
async def test_jobs_outlive_a_redis_that_is_killed_and_nobody_is_asked_twice(
    home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A Redis has to die for it; one answer ends while it is away, one when it is back, and then a new one begins."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = {"port": port, "bind": "127.0.0.1", "dir": tmp_path, "appendonly": "yes", "appendfsync": "always"}
    command = ["redis-server", *(text for name, value in options.items() for text in (f"--{name}", str(value)))]
    settings = {
        "CHOMP_STORE": f"redis://127.0.0.1:{port}/0",
        "CHOMP_MASTER_KEY": "m" * 32,
        "CHOMP_JOB_TAKEOVER_SECONDS": "4",
    }
    go_on = {"away": anyio.Event(), "back": anyio.Event()}
    async with lasting(command) as redis, world(home, "groq", **settings) as w, another(home, w, settings) as other:
        jobs = {}
        other.jobs.start()
        for name, event in go_on.items():
            w.groq.on(model=name).stream(["before ", event, "after"])
            request = ChatRequest.from_prompt("hi", model=f"groq/{name}")
            jobs[name] = (await w.chomp.jobs.dispatch(OWNER, request, prompt=name)).id
        with anyio.fail_after(20):
            for job_id in jobs.values():
                while (await w.chomp.jobs.result(OWNER, job_id)).text != "before ":
                    await w.chomp.jobs.result(OWNER, job_id, 0.1)
        redis.kill()
        await redis.wait()
        go_on["away"].set()
        with anyio.fail_after(5):
            await w.groq.saw_end()
        with pytest.raises(StoreAway):
            await w.chomp.jobs.dispatch(OWNER, ASKED, prompt="hi")
        async with lasting(command):
            with anyio.fail_after(30):
                assert (await _ended(w.chomp, jobs["away"])).text == "before after"
                go_on["back"].set()
                assert (await _ended(w.chomp, jobs["back"])).text == "before after"
                new = await w.chomp.jobs.dispatch(OWNER, ASKED, prompt="hi")
                assert (await _ended(other, new.id)).text == "hello"
            assert len(w.groq.chats) == 3
    told = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert {record.name for record in told} >= {"chomp_mcp.jobs"}
    assert [record.getMessage() for record in told if record.name == "docket.worker" or record.exc_info] == []


@asynccontextmanager
async def lasting(command: list[str]) -> AsyncIterator[asyncio.subprocess.Process]:
    redis = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert redis.stdout
    try:
        async for line in redis.stdout:
            if b"Ready to accept connections" in line:
                break
        yield redis
    finally:
        if redis.returncode is None:
            redis.kill()
        await redis.communicate()


def test_a_plain_install_says_what_a_shared_store_needs(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "docket", None)
    settings = Settings.load(
        {"CHOMP_HOME": str(home), "CHOMP_STORE": "redis://127.0.0.1:9/0", "CHOMP_MASTER_KEY": "m" * 32}
    )
    with pytest.raises(InvalidSetting, match=r"docket.* is not installed\. Run: pip install 'chomp-mcp\[redis\]'"):
        Chomp(settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CHOMP_JOB_RETRIES", "-1"),
        ("CHOMP_JOB_RETRIES", "many"),
        ("CHOMP_JOB_RETRIES", "1.5"),
        ("CHOMP_JOB_TAKEOVER_SECONDS", "0"),
        ("CHOMP_JOB_TAKEOVER_SECONDS", "soon"),
    ],
)
def test_a_wrong_setting_is_told_at_start(home: Path, name: str, value: str) -> None:
    with pytest.raises(InvalidSetting, match=f"{name} in the environment is wrong"):
        Settings.load({"CHOMP_HOME": str(home), name: value})
