"""Write a baseline from the conformance suite's output: `python tests/conformance/baseline.py OUTPUT`."""

from __future__ import annotations

import re
import sys
from pathlib import Path


def main() -> None:
    summary = Path(sys.argv[1]).read_text().rpartition("=== SUMMARY ===")[2]
    failed = sorted(set(re.findall(r"^✗ ([a-z0-9-]+):", summary, re.MULTILINE)))
    lines = [
        "# Fixtures of the suite that a product does not have; fixture_server.py has them.",
        "client: []",
        "server:",
    ]
    sys.stdout.write("\n".join([*lines, *(f"  - {name}" for name in failed)]) + "\n")


if __name__ == "__main__":
    main()
