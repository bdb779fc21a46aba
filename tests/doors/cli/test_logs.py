"""logs: the receipts of all doors, without what was said."""

from __future__ import annotations

import json


def test_logs_are_the_receipts_of_all_doors_without_what_was_said(run, upstream):
    upstream.answer("the answer")
    run("ask", "sesame", "-m", "lab/m")
    run("ask", "sesame", "-m", "mock/500")
    done = run("logs", "--json")
    failed, answered = json.loads(done.stdout)
    assert (answered["door"], answered["status"], answered["receipt"]["served"]) == ("cli", "ok", "lab/m")
    assert [attempt["outcome"] for attempt in failed["receipt"]["attempts"]] == ["transient", "transient"]
    assert "sesame" not in done.stdout
    assert "the answer" not in done.stdout
    rows = run("logs", "--limit", "1").stdout.splitlines()
    assert len(rows) == 2
    assert "mock/500 -> no answer" in rows[1]
    assert run("logs", "--limit", "1").stderr == ""
