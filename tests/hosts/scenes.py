"""What each host's model is made to do, and what it must have read then."""

from __future__ import annotations

import re
from pathlib import Path

from tests.hosts.model import Call

__all__ = ["CALLS", "CODE", "SETTINGS", "furnish", "plain"]

CODE = 'def greet(name):\n\treturn "Hello, " + name\n'
SETTINGS = {"CHOMP_DEADLINE_SECONDS": "2"}
CALLS = (
    Call("ask", {"prompt": "Four", "model": "mock/echo"}),
    Call("ask", {"prompt": CODE, "model": "mock/echo"}),
    Call("ask", {"prompt": "Take your time", "model": "mock/slow?seconds=30"}),
    Call("ask", {"prompt": "Hello", "model": "mock/500"}),
    Call("ask", {"prompt": "What is in it?", "model": "mock/lorem?tokens=20", "files": ["big.txt"]}),
    Call("ask", {"prompt": "Go on.", "model": "mock/lorem?tokens=5000", "files": ["big.txt"], "save_to": "out.txt"}),
)
LINE = "A line of a file that nobody should have to type again.\n"


def furnish(folder: Path) -> None:
    """A file of 300 KB in the folder that the host works in."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "big.txt").write_text(LINE * (300_000 // len(LINE)))


_JOB = re.compile(r"job_[0-9a-f]+")
_TIME = re.compile(r"\d+\.\d s\b")
_PLACE = re.compile(r"/\S+/(?=out\.txt|big\.txt)")
_SPENT = re.compile(r"(?<=unfinished:)\s*Lorem ?(?=\n\n\(job )")


def plain(text: str) -> str:
    """The text without what differs from run to run: ids, times, folders, how far an unfinished answer had come."""
    return _SPENT.sub("", _PLACE.sub("…/", _TIME.sub("… s", _JOB.sub("job_…", text))))
