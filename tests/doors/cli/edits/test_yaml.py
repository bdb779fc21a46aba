"""YAML, edited in place."""

from __future__ import annotations

import pytest

from chomp_mcp.doors.cli.edits import CannotEdit, drop, merge, yaml

ENTRY = {"cmd": "chomp-mcp", "enabled": True}
PLACE = ("extensions", "chomp")


@pytest.mark.parametrize(
    "before",
    [
        "",
        "GOOSE_MODEL: x # y\n",
        "extensions:\n    dev:\n        enabled: true\n\n# tail\nX: |\n  a\n\n",
        "extensions:\n  dev: {}\nX: 1\n",
    ],
)
def test_every_other_line_stays_and_nothing_of_the_entry_is_left_in_the_end(before):
    after = merge(yaml, before, PLACE, ENTRY)
    assert yaml.read(after)["extensions"]["chomp"] == ENTRY
    kept = iter(after.splitlines())
    assert all(line in kept for line in before.splitlines())
    without = drop(yaml, after, PLACE)
    assert "chomp" not in without
    assert {**yaml.read(before), "extensions": None} == {**yaml.read(without), "extensions": None}


def test_the_lines_of_an_older_entry_are_replaced_and_its_neighbours_are_not():
    before = "extensions:\n  chomp:\n    cmd: old\n    note: |\n      two\n      lines\n  dev: {} # mine\n"
    after = merge(yaml, before, PLACE, ENTRY)
    assert yaml.read(after)["extensions"] == {"chomp": ENTRY, "dev": {}}
    assert after.endswith("  dev: {} # mine\n")


@pytest.mark.parametrize("text", ["- a", "a: [", "extensions: {dev: {}}\n", "extensions: text\n"])
def test_what_cannot_be_edited_says_why(text):
    with pytest.raises(CannotEdit, match=r"YAML|in one line"):
        merge(yaml, text, PLACE, ENTRY)
