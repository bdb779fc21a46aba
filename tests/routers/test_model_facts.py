"""Public data about models: what is shipped is whole, and what is fetched is checked before it counts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chomp_mcp.messages import NEEDS
from chomp_mcp.routers import model_facts
from chomp_mcp.routers.catalog import load
from chomp_mcp.routers.model_facts import current, read, told, written
from chomp_mcp.settings import Settings

ROUTERS = load(Settings(home=Path("nowhere")))
API = {
    "groq": {
        "models": {
            "m": {
                "tool_call": True,
                "reasoning": False,
                "structured_output": False,
                "modalities": {"input": ["text", "image", "pdf"]},
                "limit": {"context": 1000, "output": 100},
                "cost": {"input": 0.15, "output": 0.6},
                "last_updated": "2026-10-01",
            },
            "text": {"tool_call": False, "modalities": {"input": ["text"]}, "last_updated": "2026-09-01"},
            "gone": {"status": "deprecated", "last_updated": "2026-11-01"},
            "whisper-large": {"last_updated": "2026-09-01"},
            "odd": {"modalities": {"input": "text"}, "limit": {"context": "large"}, "cost": None, "last_updated": 5},
        }
    },
    "nobody": {"models": {"x": {"last_updated": "2027-01-01"}}},
}


def test_the_shipped_file_is_whole_and_says_where_it_is_from():
    shipped = current(Path("nowhere"))
    assert "MIT" in shipped.source
    assert shipped.date >= "2026-09-01"
    assert len(shipped) > 500
    assert set(shipped.routers) <= set(ROUTERS)
    assert not [router.id for router in ROUTERS.values() if router.models_dev and router.id not in shipped.routers]
    for models in shipped.routers.values():
        for model in models.values():
            assert model.can | model.cannot <= set(NEEDS)
            assert not model.can & model.cannot
    assert read(written(shipped)).routers == shipped.routers


def test_models_dev_is_read_as_it_is_meant():
    facts = told(json.dumps(API).encode(), ROUTERS.values())
    assert facts.date == "2026-11-01"
    assert set(facts.routers["groq"]) == {"m", "text", "odd"}
    model, text, odd = (facts.routers["groq"][name] for name in ("m", "text", "odd"))
    assert (model.can, model.cannot) == ({"tools", "vision", "documents"}, {"reasoning"})
    assert (model.context_length, model.max_output) == (1000, 100)
    assert (str(model.price_in), str(model.price_out), model.price_cached) == ("0.15", "0.6", None)
    assert text.cannot == {"tools", "vision"}
    assert (odd.can, odd.cannot, odd.context_length) == (set(), set(), None)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"<html>", "not JSON"),
        (b"[]", "no object"),
        (b"{}", "nothing of these routers"),
        (b'{"groq": {"models": []}}', "nothing of these routers"),
        (b'{"format": 2, "date": "2026-01-01", "routers": {}}', "format 1"),
        (b'{"format": 1, "date": "soon", "routers": {}}', "no date"),
        (b'{"format": 1, "date": "2026-01-01", "routers": {"groq": []}}', "groq is no table"),
    ],
)
def test_a_broken_file_says_why(body, why):
    with pytest.raises(ValueError, match=why):
        told(body, ROUTERS.values())


def test_the_newest_whole_file_counts(tmp_path, caplog):
    shipped, path = current(tmp_path), tmp_path / model_facts.FILE
    for date, is_used in (("2099-01-01", True), ("2020-01-01", False)):
        path.write_text(json.dumps({"format": 1, "date": date, "source": "s", "routers": {"groq": {"m": {}}}}))
        assert (current(tmp_path).date == date) == is_used
    for broken in ("{", '{"format": 1}', ""):
        path.write_text(broken)
        assert current(tmp_path) is shipped
        assert "is left aside" in caplog.text
        caplog.clear()
