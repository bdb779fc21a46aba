"""The pages of docs/ that are made from the code are what the code says, and whoever reads finds every page."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MADE = runpy.run_path(str(ROOT / ".ci" / "docs.py"))
PAGES = sorted(path.name for path in (ROOT / "docs").glob("*.md"))


@pytest.mark.parametrize("page", MADE["pages"]())
def test_a_made_page_is_what_the_code_says(page):
    assert (ROOT / page).read_text(encoding="utf-8") == MADE["pages"]()[page], "run: python .ci/docs.py"


def test_every_setting_says_what_it_does():
    assert set(MADE["_SETTINGS"]) - set(MADE["_docstrings"]()) == set()


def test_the_site_has_every_page():
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    assert sorted(re.findall(r": ([\w-]+\.md)$", nav, re.MULTILINE)) == PAGES, "each page has its line in mkdocs.yml"


def test_no_link_of_a_page_leads_into_nowhere():
    for page in PAGES:
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        for link in re.findall(r"\]\((?!https?:|#)([^)\s#]+)", text):
            assert (ROOT / "docs" / link).exists(), f"docs/{page}: {link}"
        for path in re.findall(r"github\.com/chomp-mcp/chomp-mcp/(?:blob|tree)/main/([^)\s#]+)", text):
            assert (ROOT / path).exists(), f"docs/{page}: {path}"
