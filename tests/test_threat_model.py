"""Every answer in docs/threat-model.md has a test that is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_row_of_the_threat_model_names_tests_that_exist():
    page = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("|") and "---" not in line]
    rows = [row for row in rows if not row.endswith(("| test |", "| rerun |"))]
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", row.split("|")[-2])
        assert named, row
        for path, test in named:
            assert f"def {test}" in (ROOT / path).read_text(encoding="utf-8"), (path, test)
