"""The jobs: dispatched exchanges that outlive the call, the connection and the process."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from chomp_mcp.errors import NewerRecord
from chomp_mcp.messages import Job, JobStatus
from chomp_mcp.store.kv.protocol import KV, Value, Write, delete_all

FINISHED_SECONDS = 24 * 3600
"""How long a finished job can be collected."""
UNFINISHED_SECONDS = 48 * 3600
"""How long a job lives that nobody finishes."""

RECORD_VERSION = 1
"""Of what is written here. A greater one is told, and left as it is, for a replica that knows it."""

_ID = re.compile(r"job_[0-9a-f]{21}", re.ASCII)
_FIELDS = tuple(field.name for field in fields(Job))
_PAGE = 500


def new_id(now: float) -> str:
    """`job_` + 11 hex digits of milliseconds + 10 random ones: ids sort by time and cannot be guessed."""
    return f"job_{int(now * 1000):011x}{secrets.token_hex(5)}"


class Jobs:
    """`job:{caller id}:{id}` -> a `Job`. An id of another shape than `new_id` gives is simply not found.

    `asked:{caller id}:{id}` -> what a job that any replica may run sends: large, and written once, while the job is
    written once a second. All raise `NewerRecord` for a job of a version that this one cannot read; a list shows it.
    """

    def __init__(self, kv: KV, *, clock: Callable[[], float] = time.time) -> None:
        self._kv = kv
        self._clock = clock

    async def save(self, job: Job) -> None:
        """Write the job over whatever stands there; `change` is for jobs that others may change too."""
        write = _write(job)
        await self._kv.put(_key(job.caller, job.id), write.value or {}, expires_in=write.expires_in)

    async def get(self, caller_id: str, job_id: str) -> Job | None:
        if not _ID.fullmatch(job_id):
            return None
        value = await self._kv.get(_key(caller_id, job_id))
        return None if value is None else _job(value)

    async def change(self, caller_id: str, job_id: str, change: Callable[[Job], Job | None]) -> Job | None:
        """Change the job in one atomic step, `change` returning None to leave it; the job as it is afterwards.

        `change` may run more than once, maybe in another thread: it must be pure. None if there is no such job.
        """
        job: Job | None = None

        def rewrite(old: Sequence[Value | None]) -> Sequence[Write | None]:
            nonlocal job
            job = None if old[0] is None else _job(old[0])
            changed = None if job is None else change(job)
            job = changed or job
            return [None if changed is None else _write(changed)]

        if _ID.fullmatch(job_id):
            await self._kv.update([_key(caller_id, job_id)], rewrite)
        return job

    async def recent(self, caller_id: str, limit: int) -> list[Job]:
        """The caller's newest jobs, the newest first; one of a newer version without what it holds."""
        entries = await self._kv.list(_key(caller_id, ""), limit=limit, newest_first=True)
        jobs = []
        for entry in entries:
            try:
                jobs.append(_job(entry.value))
            except NewerRecord as error:
                # That it is there, and why it says no more.
                caller, _, job_id = entry.key.removeprefix("job:").rpartition(":")
                at = entry.value.get("created_at")
                created_at = at if isinstance(at, int | float) else 0.0
                jobs.append(Job(job_id, caller, "", "", "", "", JobStatus.RUNNING, created_at, error=str(error)))
        return jobs

    async def keep_request(self, job: Job, request: Value) -> None:
        """What the job sends, for whoever runs it, and runs it again."""
        await self._kv.put(_asked(job.caller, job.id), request, expires_in=UNFINISHED_SECONDS)

    async def request_of(self, caller_id: str, job_id: str) -> Value | None:
        return await self._kv.get(_asked(caller_id, job_id))

    async def drop_request(self, caller_id: str, job_id: str) -> None:
        """The job has ended."""
        await self._kv.delete(_asked(caller_id, job_id))

    async def line_up(self, queue: str, job_id: str) -> None:
        """Leave the job to whichever process looks into this queue next."""
        await self._kv.put(f"queue:{queue}:{job_id}", {"at": self._clock()}, expires_in=UNFINISHED_SECONDS)

    async def next_in_line(self, queue: str) -> str | None:
        """Take the oldest job's id out of the queue; nobody else gets it."""
        prefix = f"queue:{queue}:"
        for entry in await self._kv.list(prefix, limit=_PAGE):
            if await self._kv.delete(entry.key):
                return entry.key.removeprefix(prefix)
        return None

    async def count_in_line(self, queue: str, limit: int) -> int:
        """How many jobs wait there, as far as `limit`."""
        return len(await self._kv.list(f"queue:{queue}:", limit=limit))

    async def is_in_line(self, queue: str, job_id: str) -> bool:
        return await self._kv.get(f"queue:{queue}:{job_id}") is not None

    async def delete_all(self, caller_id: str) -> None:
        for prefix in (_key(caller_id, ""), _asked(caller_id, "")):
            await delete_all(self._kv, prefix)


def _key(caller_id: str, job_id: str) -> str:
    return f"job:{caller_id}:{job_id}"


def _asked(caller_id: str, job_id: str) -> str:
    return f"asked:{caller_id}:{job_id}"


def _write(job: Job) -> Write:
    value: dict[str, Any] = {"version": RECORD_VERSION}
    for name in _FIELDS:
        of_job = getattr(job, name)
        value[name] = dict(of_job) if isinstance(of_job, Mapping) else of_job
    value["status"] = job.status.value
    return Write(value, FINISHED_SECONDS if job.status.is_final else UNFINISHED_SECONDS)


def _job(value: Value) -> Job:
    known = {name: value[name] for name in _FIELDS if name in value}
    version = value.get("version", RECORD_VERSION)
    try:
        if version > RECORD_VERSION:
            raise ValueError(version)  # noqa: TRY301 - one error for all that cannot be read
        return Job(**{**known, "status": JobStatus(known["status"]), "images": tuple(known.get("images", ()))})
    except (KeyError, TypeError, ValueError):
        raise NewerRecord(
            f"The job {str(value.get('id'))[:64]} was stored by a newer chomp-mcp (record version {version}; this one"
            f" reads {RECORD_VERSION}).",
            hint="It is left as it is: collect it where the newer version runs, or update this one.",
        ) from None
