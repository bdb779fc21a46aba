"""What becomes of a job whose process is gone, or goes: who may be asked again, and what the receipt says of it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Final

from chomp_mcp.messages import Job, JobStatus, Receipt
from chomp_mcp.policy import budget

MOST_STARTS: Final = 10
"""Of a job that ends every process that begins it."""

STOPPED = "The gateway was stopped before the answer was complete. Dispatch it again."
ASKED_AGAIN = "asked again, because the process that asked first was ended"
UNKNOWN = "unknown"
"""The outcome of an attempt whose process is gone: the router may have answered."""
DIED = "The replica that ran this job ended before the answer did, and it may not be asked again (CHOMP_JOB_RETRIES)."
NOT_KEPT = "What this job asks is not in the store any more. Dispatch it again."
KEEPS_DYING = f"{MOST_STARTS} processes that began this job ended before a router was called."


def taken_up(job: Job, process: str, retries: int, now: float) -> Job:
    """The job as `process` takes it up: one that waits, or one whose process is gone.

    What was answered is done. What may have been asked is asked again as far as `retries` allows. What was not asked
    yet is begun again without a word.
    """
    if job.is_answered:
        return replace(job, status=JobStatus.DONE, finished_at=now)
    if job.status is JobStatus.RUNNING and job.asked is not None:
        # The attempt that nobody saw the end of is told as `unknown`; what it probably cost is booked by the ledger,
        # which finds the dead process's reservation.
        earlier = job.earlier or {"attempts": [], "notes": [], "nano_usd": 0}
        router, _, model = job.model.partition("/")
        why = "The process that asked ended before the answer did."
        attempt = {"router": router, "model": model, "outcome": UNKNOWN, "status": None, "ms": 0, "message": why}
        likely = int(job.asked.get("likely_nano", 0))
        cost = f": ${budget.usd(likely).normalize():f} is booked for it, estimated" if likely else ""
        notes = [*earlier["notes"], f"{job.model} may have answered a process that ended{cost}"]
        attempts, nano = [*earlier["attempts"], attempt], earlier["nano_usd"] + likely
        job = replace(job, earlier={"attempts": attempts, "notes": notes, "nano_usd": nano})
        if job.retries >= retries:
            return failed(job, DIED, now)
        job = replace(job, retries=job.retries + 1)
    elif job.starts >= MOST_STARTS:
        return failed(job, KEEPS_DYING, now)
    return replace(job, status=JobStatus.RUNNING, process=process, starts=job.starts + 1, asked=None, text="", error="")


def handed_back(job: Job, told: Job, retries: int, now: float) -> Job | None:
    """The job for others to run, whose run here was stopped as `told`; None where it is not ours any more."""
    if job.status.is_final or (job.process, job.starts) != (told.process, told.starts):
        return None
    if job.is_answered:
        return replace(job, status=JobStatus.DONE, finished_at=now)
    # Where a router was called already, that counts as asking again, and the receipt says so.
    was_asked = told.asked is not None
    if was_asked and told.receipt is not None:
        earlier = {
            "attempts": told.receipt["attempts"],
            "notes": [*told.receipt.get("notes", ()), ASKED_AGAIN],
            "nano_usd": budget.nano(Decimal(told.receipt["cost_usd"] or 0)),
        }
        job = replace(job, earlier=earlier)
    if was_asked and job.retries >= retries:
        return failed(job, STOPPED, now)
    return replace(
        job, status=JobStatus.QUEUED, process="", text="", queued_at=now, asked=None, retries=job.retries + was_asked
    )


def failed(job: Job, error: str, now: float) -> Job:
    """Its text so far stays."""
    earlier = job.earlier or {"attempts": [], "notes": [], "nano_usd": 0}
    receipt = Receipt(asked=job.model, cost_usd=budget.usd(earlier["nano_usd"])).as_dict()
    receipt["attempts"], receipt["notes"] = list(earlier["attempts"]), list(earlier["notes"])
    return replace(job, status=JobStatus.ERROR, error=error, receipt=receipt, finished_at=now)
