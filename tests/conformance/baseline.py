"""Write a baseline from what the conformance suite left in a folder: `python tests/conformance/baseline.py FOLDER`.

A scenario that mostly passes is listed check by check, so that the checks that pass stay binding.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

FAILED = {"FAILURE", "WARNING"}
REASONS = {
    "http-header-validation:sep-2243-server-accepts-whitespace-header-value": (
        "no fixture: httptools leaves blanks at the end of a header's value"
    ),
}


def main(folder: Path) -> None:
    names = sorted(name for checks in folder.glob("*/checks.json") for name in entries(checks))
    lines = [
        "# What the product fails: it lacks the suite's fixtures, which fixture_server.py has.",
        "client: []",
        "server:",
    ]
    lines += [f"  - {name}" + (f"  # {REASONS[name]}" if name in REASONS else "") for name in names]
    sys.stdout.write("\n".join(lines) + "\n")


def entries(path: Path) -> Iterator[str]:
    match = re.fullmatch(r"server-(.+)-\d{4}-\d\d-\d\dT.*", path.parent.name)
    scenario = match[1] if match else path.parent.name
    checks = json.loads(path.read_text())
    failed = [check["id"] for check in checks if check["status"] in FAILED]
    passed = [check["id"] for check in checks if check["status"] == "SUCCESS"]
    if len(failed) < len(passed):
        yield from (f"{scenario}:{check}" for check in dict.fromkeys(failed))
    elif failed:
        yield scenario


if __name__ == "__main__":
    main(Path(sys.argv[1]))
