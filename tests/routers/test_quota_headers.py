"""What headers say of a key's limits: every reset form, every router's names."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chomp_mcp.policy.quota import Reading
from chomp_mcp.routers.catalog import load
from chomp_mcp.routers.quota_headers import parse_reset, read, retry_after
from chomp_mcp.settings import Settings

ROUTERS = load(Settings(home=Path("nowhere")))
DAY = 86_400
NOW = datetime(2026, 11, 22, 7, 31, tzinfo=UTC).timestamp()
MIDNIGHT = datetime(2026, 11, 23, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        pytest.param("2m59.56s", 179.56, id="Groq requests"),
        pytest.param("7.66s", 7.66, id="Groq tokens"),
        pytest.param("6m0s", 360, id="OpenAI"),
        pytest.param("1s", 1, id="OpenAI short"),
        pytest.param("1h", 3600, id="an hour"),
        pytest.param("1d2h3m4s", 93_784, id="days"),
        pytest.param("23h59m59.999s", 86_399.999, id="almost a day"),
        pytest.param("500ms", 0.5, id="milliseconds"),
        pytest.param("1m500ms", 60.5, id="minutes are not milliseconds"),
        pytest.param("250us", 0.00025, id="microseconds"),
        pytest.param("250µs", 0.00025, id="Go's microseconds"),
        pytest.param("12", 12, id="seconds"),
        pytest.param("11.382883", 11.382883, id="Cerebras: float seconds"),
        pytest.param(" 12 ", 12, id="spaces around"),
        pytest.param("0", 0, id="now"),
        pytest.param(f"{NOW + 60:.0f}", 60, id="epoch seconds"),
        pytest.param(f"{(NOW + 60) * 1000:.0f}", 60, id="OpenRouter: epoch milliseconds"),
        pytest.param("2026-11-22T07:32:00Z", 60, id="Anthropic: RFC 3339"),
        pytest.param("2026-11-22T07:32:00.500Z", 60.5, id="RFC 3339 with a fraction"),
        pytest.param("2026-11-22T08:32:00+01:00", 60, id="RFC 3339 with an offset"),
        pytest.param("2026-11-22T07:32:00", 60, id="no zone means UTC"),
        pytest.param("Sun, 22 Nov 2026 07:32:00 GMT", 60, id="HTTP date"),
        pytest.param("Sunday, 22-Nov-26 07:32:00 GMT", 60, id="HTTP date of RFC 850"),
        pytest.param("Sun Nov 22 07:32:00 2026", 60, id="HTTP date of asctime"),
        pytest.param("2026-11-22T07:30:00Z", -60, id="a past moment stays past"),
    ],
)
def test_a_reset_is_read_in_every_form(text, seconds):
    assert parse_reset(text, NOW) == pytest.approx(NOW + seconds, abs=1e-5)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            "soon",
            "-1",
            "-1s",
            "nan",
            "inf",
            "1e999",
            "5 s",
            "1x",
            "s",
            "1m2",
            "2026-13-01T00:00:00Z",
            "9" * 65,
        ),
        *("1e20", "1e300", "-1e20", "9999999h", f"{'9' * 60}d", "1e9", "1e12", f"{NOW + 32 * DAY:.0f}"),
        *("9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "Thu, 01 Jan 1970 00:00:00 GMT"),
    ],
)
def test_what_nobody_writes_is_no_reset(text):
    assert parse_reset(text, NOW) is None


@given(st.text(max_size=80) | st.from_regex(r"[0-9]{1,4}[-:a-zA-Z ,.0-9]{0,30}"))
def test_no_text_makes_the_parser_raise(text):
    until = parse_reset(text, NOW)

    assert until is None or abs(until - NOW) <= 31 * DAY


@given(st.integers(0, 700), st.integers(0, 59), st.integers(0, 59_999))
def test_a_go_duration_is_the_sum_of_its_parts(hours, minutes, milliseconds):
    text = f"{hours}h{minutes}m{milliseconds / 1000}s"

    assert parse_reset(text, NOW) == pytest.approx(NOW + hours * 3600 + minutes * 60 + milliseconds / 1000, abs=1e-3)


@given(st.integers(int(NOW) - 30 * DAY, int(NOW) + 30 * DAY))
def test_every_form_of_one_moment_says_the_same(epoch):
    moment = datetime.fromtimestamp(epoch, UTC)
    forms = [moment.isoformat(), format_datetime(moment, usegmt=True), str(epoch), str(epoch * 1000)]

    for text in forms:
        assert parse_reset(text, NOW) == pytest.approx(epoch, abs=0.01)


@pytest.mark.parametrize(
    ("router", "headers", "expected"),
    [
        pytest.param(
            "groq",
            {
                "x-ratelimit-limit-requests": "1000",
                "x-ratelimit-remaining-requests": "997",
                "x-ratelimit-reset-requests": "2m59.5s",
                "x-ratelimit-limit-tokens": "8000",
                "x-ratelimit-remaining-tokens": "7500",
                "x-ratelimit-reset-tokens": "7.5s",
            },
            (
                Reading("requests", "day", 1000, 997, NOW + 179.5),
                Reading("tokens", "minute", 8000, 7500, NOW + 7.5),
            ),
            id="Groq: requests of a day, tokens of a minute",
        ),
        pytest.param(
            "cerebras",
            {
                "x-ratelimit-limit-requests-day": "14400",
                "x-ratelimit-remaining-requests-day": "14399",
                "x-ratelimit-reset-requests-day": "59340.5",
                "x-ratelimit-limit-tokens-minute": "30000",
                "x-ratelimit-remaining-tokens-minute": "0",
                "x-ratelimit-reset-tokens-minute": "20.5",
                "x-ratelimit-remaining-tokens-hour": "1000000",
            },
            (
                Reading("requests", "day", 14400, 14399, NOW + 59340.5),
                Reading("tokens", "minute", 30000, 0, NOW + 20.5),
                Reading("tokens", "hour", None, 1000000),
            ),
            id="Cerebras: windows in the names",
        ),
        pytest.param(
            "sambanova",
            {
                "x-ratelimit-limit-requests": "20",
                "x-ratelimit-remaining-requests": "19",
                "x-ratelimit-reset-requests": f"{NOW + 30:.0f}",
                "x-ratelimit-limit-requests-day": "20",
                "x-ratelimit-remaining-requests-day": "3",
            },
            (Reading("requests", "minute", 20, 19, NOW + 30), Reading("requests", "day", 20, 3)),
            id="SambaNova: a minute and a day",
        ),
        pytest.param(
            "openrouter",
            {
                "x-ratelimit-limit": "50",
                "x-ratelimit-remaining": "0",
                "x-ratelimit-reset": f"{MIDNIGHT * 1000:.0f}",
            },
            (Reading("requests", "", 50, 0, MIDNIGHT),),
            id="OpenRouter: bare names, epoch milliseconds",
        ),
        pytest.param(
            "anthropic",
            {
                "anthropic-ratelimit-requests-limit": "50",
                "anthropic-ratelimit-requests-remaining": "49",
                "anthropic-ratelimit-requests-reset": "2026-11-22T07:31:01Z",
                "anthropic-ratelimit-input-tokens-limit": "40000",
                "anthropic-ratelimit-input-tokens-remaining": "39000",
                "anthropic-ratelimit-output-tokens-limit": "8000",
                "anthropic-ratelimit-output-tokens-remaining": "12",
                "anthropic-ratelimit-output-tokens-reset": "2026-11-22T07:31:05Z",
                "anthropic-ratelimit-unified-5h-reset": "1795000000",
            },
            (
                Reading("requests", "minute", 50, 49, NOW + 1),
                Reading("tokens", "minute", 8000, 12, NOW + 5),
            ),
            id="Anthropic: the tightest of its token limits",
        ),
        pytest.param(
            "fireworks",
            {
                "x-ratelimit-over-limit": "yes",
                "x-ratelimit-limit-requests": "600",
                "x-ratelimit-remaining-requests": "599",
                "x-ratelimit-limit-tokens-prompt": "60000",
                "x-ratelimit-remaining-tokens-prompt": "50000",
                "x-ratelimit-remaining-tokens-generated": "700",
            },
            (Reading("requests", "", 600, 599), Reading("tokens", "", None, 700)),
            id="Fireworks: parts of tokens",
        ),
        pytest.param("openai", {"content-type": "application/json", "date": "x"}, (), id="nothing told"),
        pytest.param("lab", {"x-ratelimit-limit-requests": "many"}, (), id="not numbers"),
        pytest.param("lab", {"x-ratelimit-remaining": "-1"}, (), id="minus one is no limit"),
        pytest.param("lab", {"x-ratelimit-reset-requests": "1s"}, (), id="a reset alone says nothing"),
        pytest.param("lab", {"x-ratelimit-remaining-tokens": "1e3"}, (Reading("tokens", "", None, 1000),), id="1e3"),
    ],
)
def test_headers_become_readings(router, headers, expected):
    row = ROUTERS.get(router)
    assert read(headers, NOW, windows=row and row.quota_windows) == expected


names = st.from_regex(
    r"\A(x-|anthropic-)?ratelimit(-(limit|remaining|reset|requests|tokens|day|over|[a-z]{1,5})){1,5}\Z"
)


@given(st.dictionaries(names, st.text(max_size=12) | st.integers(-5, 10**15).map(str), max_size=8))
def test_no_header_makes_the_reader_raise(headers):
    readings = read(headers, NOW, windows=ROUTERS["groq"].quota_windows)

    assert len({(reading.kind, reading.window) for reading in readings}) == len(readings)
    assert all(reading.remaining is None or reading.remaining >= 0 for reading in readings)
    assert retry_after(headers, NOW) is None or retry_after(headers, NOW) >= 0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        pytest.param({}, None, id="nothing told"),
        pytest.param({"retry-after": "30"}, 30, id="seconds"),
        pytest.param({"retry-after": "0.25"}, 0.25, id="a fraction"),
        pytest.param({"retry-after": "Sun, 22 Nov 2026 07:33:00 GMT"}, 120, id="a date"),
        pytest.param({"retry-after": "Sun, 22 Nov 2026 07:30:00 GMT"}, 0, id="a past date"),
        pytest.param({"retry-after-ms": "1500", "retry-after": "2"}, 1.5, id="milliseconds first"),
        pytest.param({"x-ms-retry-after-ms": "250"}, 0.25, id="Azure's milliseconds"),
        pytest.param({"retry-after": "later"}, None, id="not a time"),
        pytest.param(
            {
                "retry-after": "later",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "7.5s",
                "x-ratelimit-remaining-requests": "10",
                "x-ratelimit-reset-requests": "1h",
            },
            7.5,
            id="else the reset of what is used up",
        ),
        pytest.param(
            {
                "x-ratelimit-remaining-requests-minute": "0",
                "x-ratelimit-reset-requests-minute": "30",
                "x-ratelimit-remaining-requests-day": "0",
                "x-ratelimit-reset-requests-day": "3600",
            },
            3600,
            id="of both when two are used up",
        ),
        pytest.param(
            {"x-ratelimit-remaining": "0", "x-ratelimit-reset": f"{MIDNIGHT * 1000:.0f}"},
            MIDNIGHT - NOW,
            id="OpenRouter's daily cap has no Retry-After",
        ),
    ],
)
def test_how_long_to_wait(headers, seconds):
    assert retry_after(headers, NOW) == (None if seconds is None else pytest.approx(seconds))
