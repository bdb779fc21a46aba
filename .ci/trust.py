"""Plays again what docs/threat-model.md says was tried: each row's tests, in the order of the page, with their figures.

`CHOMP_TEST_LONG=1` plays the long forms, with the sizes that a row names (an hour). Rows are chosen by a word of their
attack: `python .ci/trust.py kill disk`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "threat-model.md"


class Row(NamedTuple):
    """An attack, what plays it again, and how large it was when the page was written."""

    attack: str
    tests: list[str]
    sizes: dict[str, str]


def rows() -> list[Row]:
    """The table of attacks, as it stands on the page."""
    _, _, tried = PAGE.read_text(encoding="utf-8").partition("| attack | tries | held | rerun |")
    cells = [re.split(r"(?<!\\) \| ", line.strip("| ")) for line in tried.splitlines() if line.startswith("| ")]
    return [
        Row(each[0], re.findall(r"`(tests/[^`]+)`", each[-1]), dict(re.findall(r"`(CHOMP_TEST_\w+)=(\w+)`", each[-1])))
        for each in cells
    ]


def main(words: list[str]) -> int:
    """0 where all that was played held."""
    is_long, told, held = bool(os.environ.get("CHOMP_TEST_LONG")), [], {}
    for row in rows():
        if words and not any(word.lower() in row.attack.lower() for word in words):
            continue
        print(f"\n== {row.attack}", flush=True)
        started = time.monotonic()
        # Several rows may be figures of one test, which is played once.
        if tests := [test for test in row.tests if test not in held]:
            command = [sys.executable, "-m", "pytest", "-q", "-s", "-n", "0", "--timeout=600", *tests]
            env = {**os.environ, **(row.sizes if is_long else {})}
            is_well = subprocess.run(command, cwd=ROOT, env=env, check=False).returncode == 0
            held.update(dict.fromkeys(tests, is_well))
        did = "held  " if all(held[test] for test in row.tests) else "FAILED"
        told.append(f"{did} {time.monotonic() - started:5.0f} s  {row.attack}")
    print("", *told, sep="\n")
    return int(not told or not all(held.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
