"""Recorded hosts: what one sent on stdio, and what its model read of each result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.hosts.model import ScriptedModel
from tests.hosts.scenes import plain

__all__ = ["RECORDED", "load", "own", "record"]

RECORDED = Path(__file__).parent / "recorded"


def own(text: str) -> str:
    """What came from us: Claude Code adds a reminder of its own to a result, Codex how long it took."""
    text = text.partition("\n\n<system-reminder>")[0]
    return text.partition("Output:\n")[2] if text.startswith("Wall time:") else text


def record(program: str, version: str, frames: Path, model: ScriptedModel) -> None:
    """Write the host's frames, and the texts, without what differs from run to run."""
    lines = [json.loads(line) for line in frames.read_text(encoding="utf-8").splitlines()]
    sent = [line["host"] for line in lines if "method" in line.get("host", {})]  # its answers had ids of that day
    read = [plain(own(text)) for text in model.results()]
    told = {"program": program, "version": version, "sent": sent, "read": read}
    RECORDED.mkdir(exist_ok=True)
    text = json.dumps(told, indent=1, ensure_ascii=False)
    (RECORDED / f"{program}.json").write_text(text + "\n", encoding="utf-8")


def load(program: str) -> dict[str, Any]:
    """A recording."""
    return dict(json.loads((RECORDED / f"{program}.json").read_text(encoding="utf-8")))
