"""A dispatched exchange, to collect later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from chomp_mcp.messages.receipt import ReceiptView


class JobStatus(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    ERROR = "error"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in {JobStatus.DONE, JobStatus.ERROR, JobStatus.CANCELLED}


@dataclass(frozen=True, slots=True)
class Job:
    """A dispatched exchange to collect later. `text` is partial while it runs and stays after an error."""

    id: str
    caller: str
    prompt: str
    system: str
    model: str
    """`router/model`: what was planned, then what answered."""
    router: str
    status: JobStatus
    created_at: float
    finished_at: float | None = None
    text: str = ""
    images: Sequence[str] = ()
    """The URLs of the answer's pictures."""
    error: str = ""
    receipt: ReceiptView | None = None
    process: str = ""
    """The process that runs it; when that is gone, so is the run."""
    request: Mapping[str, Any] | None = None
    """What to send, for a job that another process is to run; dropped once it runs."""
    queued_at: float = 0.0
    """When it was last left for another process to take up."""
    starts: int = 0
    """How often a process has begun it."""
    asked: Mapping[str, Any] | None = None
    """Of this start, once a router may have been called: `likely_nano`, what the call probably costs in nano-USD."""
    is_answered: bool = False
    """The whole answer is in `text` and `receipt`, though its cost may not be booked yet: nobody asks again."""
    retries: int = 0
    """How often a router was asked again, because a process ended in the middle."""
    earlier: Mapping[str, Any] | None = None
    """Of the starts before this one: the receipts' `attempts` and `notes`, and `nano_usd`, what they cost."""
    save_to: Mapping[str, Any] | None = None
    """Where its answer is to be written: an allowed folder, and the parts of the path below it."""
