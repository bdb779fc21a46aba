"""Every answer in docs/threat-model.md has a test that is there."""

from __future__ import annotations

import ast
import re
import runpy
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")


def names_in(path: str) -> set[str]:
    """What pytest would collect of the file, by its names."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    named = [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {name for name in named if name.startswith("test_")}


def test_every_row_of_the_threat_model_names_a_test():
    rows = [line for line in PAGE.splitlines() if line.startswith("|") and "---" not in line]
    rows = [row for row in rows if not row.endswith(("| test |", "| rerun |"))]
    for row in rows:
        assert re.search(r"`tests/[\w/]+\.py|`nox |python -m tests", row.split("|")[-2]), row


def test_the_attacks_are_read_from_the_page_with_what_plays_each_again():
    rows = runpy.run_path(str(ROOT / ".ci" / "trust.py"))["rows"]()
    tried = PAGE.partition("| attack | tries | held | rerun |")[2]
    assert len(rows) == tried.count("\n| ") > 25
    assert all(row.tests for row in rows)
    (crash,) = [row for row in rows if "tests/behaviour/test_crash.py" in row.tests]
    assert crash.sizes["CHOMP_TEST_EXCHANGES"] == "10000"


def test_every_test_that_the_threat_model_names_exists():
    """A file by itself must hold tests, an id must be one of them: part of a longer name is none."""
    named = re.findall(r"\btests/[\w/.\[\]-]*\.py(?:::[^`\s]+)?", PAGE)
    assert len(named) > 40
    for each in named:
        path, _, test = each.partition("::")
        assert (ROOT / path).is_file(), each
        assert test.partition("[")[0] in names_in(path) if test else names_in(path), each
