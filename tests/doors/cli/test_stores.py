"""Whether the home can be used at all."""

from __future__ import annotations

import json

import pytest

pytestmark = [
    pytest.mark.timeout(180),  # each doctor starts several servers
    pytest.mark.usefixtures("no_clients"),
]


def by_name(done):
    return {check["name"]: check for check in json.loads(done.stdout)}


@pytest.mark.parametrize("broken", ["state.db", "keys.json.lock"])
def test_a_store_that_cannot_be_written_is_told_and_ends_with_5(run, home, broken):
    (home / broken).mkdir(parents=True)
    done = run("doctor", "--json")
    check = by_name(done)["store"]
    assert done.returncode == 5
    assert (check["ok"], check["exit_code"]) == (False, 5)
    assert str(home / broken.removesuffix(".lock")) in check["detail"]
