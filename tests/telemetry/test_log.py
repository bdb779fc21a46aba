from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys

import pytest

from chomp_mcp.errors import ChompError, InvalidSetting
from chomp_mcp.messages import Attempt, Receipt
from chomp_mcp.telemetry.log import LogObserver, configure
from chomp_mcp.telemetry.report import Report, Transition
from tests.support.world import world


@pytest.fixture(autouse=True)
def same_logging_afterwards():
    logger, root = logging.getLogger("chomp_mcp"), logging.getLogger()
    before, of_libraries = (logger.handlers[:], logger.level, logger.propagate), root.handlers[:]
    yield
    logger.handlers[:], logger.level, logger.propagate = before
    root.handlers[:] = of_libraries


@pytest.fixture
def stream():
    return io.StringIO()


def lines(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_what_a_library_says_is_one_line_as_well_and_masked(stream):
    configure("error", stream)
    configure("error", stream)
    try:
        float("gsk_abcdefghijklmnopqrstuvwxyz1234567890abcdefghijklmnop")
    except ValueError:
        logging.getLogger("some.library").exception("lost")
    logging.getLogger("some.library").warning("not worth a line")

    (line,) = lines(stream)
    assert (line["logger"], line["message"]) == ("some.library", "lost")
    assert "ValueError" in line["exception"]
    assert "abcdefghijklmnopqrstuvwxyz" not in stream.getvalue()


def test_an_exchange_is_one_line_of_json(make_report, stream):
    configure("info", stream)
    LogObserver().exchange(make_report())
    assert lines(stream) == [
        {
            "at": "2025-11-22T08:26:40.260+00:00",
            "level": "info",
            "event": "exchange",
            "door": "mcp",
            "caller": "owner",
            "status": "ok",
            "asked": "groq/auto",
            "served": "groq/openai/gpt-oss-120b",
            "attempts": [{"router": "groq", "model": "openai/gpt-oss-120b", "outcome": "ok", "status": 200, "ms": 250}],
            "streamed": True,
            "job": False,
            "input_tokens": 100,
            "output_tokens": 20,
            "cached_tokens": 10,
            "estimated": False,
            "cost_usd": "0.0025",
            "price": "known",
            "seconds": 0.26,
            "first_token_seconds": 0.05,
        }
    ]


def test_an_unknown_price_is_null_and_never_zero(make_report, stream):
    configure("info", stream)
    LogObserver().exchange(make_report(cost_usd=None, price="unknown"))
    assert lines(stream)[0]["cost_usd"] is None


def test_a_routers_own_words_stay_out_because_they_may_repeat_the_prompt(make_report, stream):
    configure("debug", stream)
    failed = Attempt("groq", "m", "caller_fault", 400, 3, message="cannot read 'my diary'")
    LogObserver().exchange(make_report(status="upstream_error", served="", attempts=(failed,)))
    assert "diary" not in stream.getvalue()


def test_half_an_emoji_breaks_no_line(make_report, stream):
    configure("info", stream)
    LogObserver().exchange(make_report(asked="\ud83d", served="groq/\ud83d"))
    logging.getLogger("chomp_mcp.doors").warning("refused: \ud83d")
    exchange, message = lines(stream)
    assert (exchange["asked"], exchange["served"]) == ("?", "groq/?")
    assert message["message"] == "refused: \ud83d"


@pytest.mark.parametrize(
    ("level", "statuses"),
    [
        ("off", []),
        ("error", ["upstream_error"]),
        ("info", ["ok", "hung_up", "upstream_error"]),
        ("debug", ["ok", "hung_up", "upstream_error"]),
    ],
)
def test_the_level_says_which_exchanges_are_written(make_report, stream, level, statuses):
    configure(level, stream)
    for status in ("ok", "hung_up", "upstream_error"):
        LogObserver().exchange(make_report(status=status))
    assert [line["status"] for line in lines(stream)] == statuses


def test_configuring_twice_writes_once_and_the_last_call_counts(make_report, stream):
    configure("info", io.StringIO())
    configure("error", stream)
    configure(" INFO ", stream)
    LogObserver().exchange(make_report())
    assert len(lines(stream)) == 1


def test_a_wrong_level_is_an_error_that_names_the_setting():
    with pytest.raises(InvalidSetting, match=r"CHOMP_LOG is wrong: 'loud' must be one of off, error, info, debug"):
        configure("loud")


def test_a_breaker_that_changes_is_a_line(stream):
    configure("info", stream)
    LogObserver().transition(Transition("groq", "closed", "open"))
    (line,) = lines(stream)
    assert {name: line[name] for name in ("event", "router", "from", "to")} == {
        "event": "breaker",
        "router": "groq",
        "from": "closed",
        "to": "open",
    }


def test_what_other_modules_log_becomes_json_too(stream):
    configure("info", stream)
    try:
        {}["two\nlines"]
    except KeyError:
        logging.getLogger("chomp_mcp.store").exception("Could not read %s.", "it")
    (line,) = lines(stream)
    assert (line["logger"], line["message"], line["level"]) == ("chomp_mcp.store", "Could not read it.", "error")
    assert "KeyError: 'two\\nlines'" in line["exception"]


@pytest.mark.parametrize(
    "secret",
    [
        "sk-or-v1-0123456789abcdef",
        "gsk_0123456789abcdef",
        "csk-0123456789abcdef",
        "fw_0123456789abcdef",
        "chomp_" + "ab" * 32,
        "Bearer 01234567-89ab.cdef",
    ],
)
def test_a_key_that_slips_into_a_message_is_masked(stream, secret):
    configure("info", stream)
    logging.getLogger("chomp_mcp.doors").warning("refused: %s", secret)
    logging.getLogger("chomp_mcp.doors").warning("and the text goes on")
    first, second = lines(stream)
    assert secret.removeprefix("Bearer ") not in first["message"]
    assert first["message"].startswith("refused: ")
    assert second["message"] == "and the text goes on"


def test_the_root_logger_hears_nothing_once_configured(make_report, stream, caplog):
    configure("info", stream)
    LogObserver().exchange(make_report())
    assert caplog.records == []


def test_a_program_with_its_own_logging_gets_json_as_the_message(make_report, caplog):
    with caplog.at_level(logging.INFO, logger="chomp_mcp"):
        LogObserver().exchange(make_report())
    assert json.loads(caplog.messages[0])["served"] == "groq/openai/gpt-oss-120b"


SCRIPT = """
import sys
from chomp_mcp.messages import Receipt
from chomp_mcp.telemetry.report import Report
from chomp_mcp.telemetry.log import LogObserver, configure
if sys.argv[1]:
    configure(sys.argv[1])
LogObserver().exchange(Report("mcp", "owner", "auto", Receipt("auto"), status="upstream_error"))
"""


@pytest.mark.parametrize(("level", "written"), [("info", 1), ("off", 0), ("", 0)])
def test_a_process_writes_to_stderr_only_and_nothing_unasked(level, written):
    run = subprocess.run([sys.executable, "-c", SCRIPT, level], capture_output=True, check=True, timeout=30)
    assert run.stdout == b""
    assert len(run.stderr.splitlines()) == written


@pytest.mark.anyio
@pytest.mark.parametrize(
    "pasted", ["xai-abcDEF0123456789abcDEF", "0f8fad5b-d9cb-469f-a165-70867728950e", "AIzaSyA0123456789abcdefghijk"]
)
async def test_a_key_pasted_as_a_model_stands_in_no_log_and_no_metric(home, stream, pasted):
    configure("debug", stream)
    async with world(home, "groq") as w:
        chomp, metrics = w.chomp, w.chomp.metrics
        chomp.observers.add(LogObserver())
        w.groq.models(["m"])
        await chomp.ask("hi", model=f"groq/{pasted}")
        with pytest.raises(ChompError):
            await chomp.ask("hi", model=pasted)
        shown = metrics.render(await chomp.metrics_snapshot()).decode()
    assert [line["event"] for line in lines(stream)] == ["exchange", "exchange"]
    assert pasted not in stream.getvalue() + shown


def test_a_terminal_gets_lines_for_people_that_cannot_drive_it(monkeypatch):
    ours, theirs = os.openpty()
    with os.fdopen(theirs, "w") as terminal, os.fdopen(ours, "rb", buffering=0) as screen:
        monkeypatch.setattr(sys, "stderr", terminal)
        configure("info")
        LogObserver().exchange(Report("cli", "owner", "m\x1b[2J", Receipt("m\x1b[2J", served="lab/m"), started_at=1.0))
        seen = screen.read(4096).decode()
        configure("off")
    assert " ok cli: m?[2J -> lab/m · 0 in, 0 out · price unknown · 0.0 s" in seen
    assert "\x1b" not in seen
