"""What tests of the gateway may ask for: a Redis, a served gateway, the two ways in which jobs are run."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.doors.conftest import gateway, upstream
from tests.store.conftest import redis_server, redis_url

__all__ = ["Store", "gateway", "redis_server", "redis_url", "store", "upstream"]

Store = Mapping[str, str]


@pytest.fixture(params=["embedded", "docket"])
def store(request: pytest.FixtureRequest) -> Store:
    """Settings: jobs run in the process that accepts them, or on any that shares a Redis."""
    if request.param == "embedded":
        return {}
    url = request.getfixturevalue("redis_url")
    return {"CHOMP_STORE": url, "CHOMP_MASTER_KEY": "m" * 32, "CHOMP_JOB_TAKEOVER_SECONDS": "1"}
