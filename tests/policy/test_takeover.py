"""Who may be asked again when a job's process is gone, and what the receipt says of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from chomp_mcp.messages import Job, JobStatus
from chomp_mcp.policy.takeover import MOST_STARTS, handed_back, taken_up
from tests.support.clock import NOON


def job(**fields: Any) -> Job:
    return Job(
        **{
            "id": "job_" + "0" * 21,
            "caller": "owner",
            "prompt": "hi",
            "system": "",
            "model": "groq/m",
            "router": "groq",
            "status": JobStatus.RUNNING,
            "created_at": NOON,
            "process": "gone",
            "starts": 1,
            **fields,
        }
    )


def test_a_job_whose_router_may_have_been_called_is_asked_again_once_and_says_so():
    again = taken_up(job(asked={"likely_nano": 2_500_000}), "here", 1, NOON)
    assert (again.status, again.process, again.retries, again.asked) == (JobStatus.RUNNING, "here", 1, None)
    assert again.earlier is not None
    [attempt] = again.earlier["attempts"]
    assert (attempt["router"], attempt["model"], attempt["outcome"]) == ("groq", "m", "unknown")
    assert again.earlier["nano_usd"] == 2_500_000

    told = taken_up(replace(again, asked={"likely_nano": 2_500_000}, text="half"), "third", 1, NOON + 9)
    assert (told.status, told.finished_at, told.text) == (JobStatus.ERROR, NOON + 9, "half")
    assert told.receipt is not None
    assert [each["outcome"] for each in told.receipt["attempts"]] == ["unknown", "unknown"]
    assert told.receipt["cost_usd"] == "0.005"
    assert "estimated" in told.receipt["notes"][0]
    assert "CHOMP_JOB_RETRIES" in told.error


def test_with_no_retries_it_is_told_at_once():
    assert taken_up(job(asked={"likely_nano": 0}), "here", 0, NOON).status is JobStatus.ERROR


def test_a_job_that_was_answered_is_done_and_asked_by_nobody():
    answered = job(asked={"likely_nano": 1}, is_answered=True, text="whole", receipt={"served": "groq/m"})
    done = taken_up(answered, "here", 5, NOON)
    assert (done.status, done.text, done.process) == (JobStatus.DONE, "whole", "gone")
    handed = handed_back(answered, answered, 5, NOON)
    assert handed is not None
    assert (handed.status, handed.text) == (JobStatus.DONE, "whole")


def test_what_was_not_asked_yet_is_begun_again_without_a_word_but_not_for_ever():
    begun = job()
    for starts in range(2, MOST_STARTS + 1):
        begun = taken_up(begun, "here", 0, NOON)
        assert (begun.starts, begun.retries, begun.earlier) == (starts, 0, None)
    assert taken_up(begun, "here", 0, NOON).status is JobStatus.ERROR
