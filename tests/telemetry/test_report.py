from __future__ import annotations

import dataclasses
import logging

import pytest

from chomp_mcp.messages import Attempt
from chomp_mcp.telemetry.report import Observers, Transition


class Recorder:
    def __init__(self):
        self.seen = []

    def exchange(self, report):
        self.seen.append(report)

    def transition(self, transition):
        self.seen.append(transition)


class Broken:
    def exchange(self, report):
        raise RuntimeError("broken")

    transition = exchange


def test_a_report_cannot_be_changed(make_report):
    with pytest.raises(dataclasses.FrozenInstanceError):
        make_report().status = "ok"


def test_a_report_shows_at_most_twelve_characters_of_the_caller(make_report):
    assert make_report(caller_id="0123456789abcdef" * 4).caller_id == "0123456789ab"


def test_a_report_cuts_an_endless_model_ref(make_report):
    assert len(make_report(asked="x" * 10_000).asked) == 200


def test_the_served_router_ends_at_the_first_slash(make_report):
    assert make_report().served == ("groq", "openai/gpt-oss-120b")


def test_the_last_try_stands_in_when_nobody_answered(make_report):
    tries = (Attempt("groq", "a", "transient"), Attempt("zen", "b", "timeout"))
    assert make_report(served="", attempts=tries).served == ("zen", "b")
    assert make_report(served="", attempts=()).served == ("", "")


@pytest.mark.parametrize(
    ("status", "failed"), [("ok", False), ("hung_up", False), ("cancelled", False), ("upstream_error", True)]
)
def test_a_caller_who_left_met_no_error(make_report, status, failed):
    assert make_report(status=status).failed is failed


def test_a_broken_observer_stops_neither_the_exchange_nor_the_other_observers(make_report, caplog):
    recorder = Recorder()
    observers = Observers([Broken()])
    observers.add(recorder)
    report, transition = make_report(), Transition("groq", "closed", "open")
    with caplog.at_level(logging.ERROR, logger="chomp_mcp"):
        observers.exchange(report)
        observers.transition(transition)
    assert recorder.seen == [report, transition]
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
