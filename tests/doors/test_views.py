"""One job, one model, one receipt, in the shape of each door."""

from __future__ import annotations

from decimal import Decimal

from chomp_mcp.doors import views
from chomp_mcp.messages import Attempt, Job, JobStatus, Model, Receipt, Usage
from tests.support.clock import NOON

RECEIPT = Receipt("auto", "groq/a/b", (Attempt("groq", "a/b", "ok", 200, 5),), Usage(7, 3), Decimal("0.10"), 12)
JOB = Job(
    "job_1", "owner", "hi", "", "groq/a/b", "groq", JobStatus.DONE, NOON, NOON + 1.5, "hello", receipt=RECEIPT.as_dict()
)
MODEL = Model("groq", "a/b", "A", 8192, None, Decimal("1E+1"), Decimal(0), can=frozenset({"tools"}))


def test_every_door_tells_the_same_job_under_its_own_names():
    assert views.job_head(JOB) == {"job_id": "job_1", "status": "done", "model": "groq/a/b", "router": "groq"}
    assert views.whole_job(JOB)["finished"] == views.api_job(JOB)["finished"] == views.iso(NOON + 1.5)
    assert views.command_job(JOB)["finished_at"] == NOON + 1.5
    texts = [views.whole_job(JOB)["text"], views.command_job(JOB)["text"], views.job_result(JOB)["text"]]
    assert {*texts, views.api_job(JOB)["result"]} == {"hello"}
    assert (views.api_job(JOB)["tokens_in"], views.api_job(JOB)["tokens_out"]) == (7, 3)
    assert views.job_result(JOB)["receipt"] == RECEIPT.as_dict()


def test_a_model_has_its_ref_and_exact_prices_and_unknown_ones_are_null():
    told, plain = views.model_view(MODEL), views.openai_model(MODEL, {"tools": "list"})
    assert told["id"] == plain["id"] == views.command_model(MODEL)["id"] == "groq/a/b"
    shown = views.command_model(MODEL)
    assert (told["price_in"], told["price_out"]) == (10, 0)
    assert (shown["price_in"], shown["price_out"]) == ("10", "0")
    assert views.model_view(Model("groq", "x"))["price_in"] is None
    assert (plain["owned_by"], plain["capabilities"]) == ("groq", {"tools": True})
    assert views.api_model(MODEL, "a/b")["id"] == "a/b"


def test_a_receipt_beside_an_answer_splits_what_served_at_the_first_slash():
    told = views.receipt_extension(RECEIPT)
    assert (told["router"], told["model"], told["cost_usd"]) == ("groq", "a/b", "0.1")
    assert "notes" not in told
    assert views.receipt_extension(Receipt("auto"))["cost_usd"] is None


def test_times_are_in_utc_to_the_millisecond():
    assert views.iso(0.0) == "1970-01-01T00:00:00.000+00:00"
    assert views.iso(1.0015) == "1970-01-01T00:00:01.001+00:00"
