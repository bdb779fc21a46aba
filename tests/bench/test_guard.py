"""The one thing about speed that CI looks at: CPU for each request beside a bare pass-through, with wide margins."""

from __future__ import annotations

import statistics

import pytest

from tests.bench.growth import cost
from tests.bench.servers import LINUX, bare, chomp, upstream

ROUNDS = 5
SECONDS = 0.4
MOST = 6.0
"""Times the bare app's CPU; a quiet machine sees 2 to 2.5, an import or a file read for each request costs more."""


@pytest.mark.skipif(not LINUX, reason="reads /proc")
def test_a_request_costs_no_more_than_a_few_of_a_bare_pass_through(tmp_path):
    with upstream() as direct:
        gateway, without = chomp(tmp_path / "home", direct.port), bare(direct.port)
        with gateway.running(), without.running():
            ours, bares = zip(
                *(
                    (cost(gateway, [gateway.chat()], SECONDS), cost(without, [without.chat()], SECONDS))
                    for _ in range(ROUNDS)
                ),
                strict=True,
            )
    assert statistics.median(ours) <= MOST * statistics.median(bares), (ours, bares)
