"""Until when a key is used up."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from chomp_mcp.policy.quota import Reading, exhausted

NOW = datetime(2026, 11, 22, 7, 31, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("readings", "until"),
    [
        pytest.param([], None, id="nothing known"),
        pytest.param([Reading("requests", "day", 50, 1, NOW + 60)], None, id="one left"),
        pytest.param([Reading("requests", "day", 50, 0, NOW + 60)], NOW + 60, id="none left"),
        pytest.param([Reading("requests", "day", 50, 0, NOW)], None, id="reset since"),
        pytest.param([Reading("requests", "day", 50, 0)], None, id="no reset told"),
        pytest.param([Reading("requests", "day", 50, None, NOW + 60)], None, id="unknown is not none"),
        pytest.param(
            [Reading("tokens", "minute", 9, 0, NOW + 5), Reading("requests", "day", 9, 0, NOW + 60)],
            NOW + 60,
            id="the last of several",
        ),
    ],
)
def test_until_when_a_key_is_used_up(readings, until):
    assert exhausted(readings, NOW) == until
