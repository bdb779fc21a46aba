"""Tables as a terminal shows them."""

from __future__ import annotations

import pytest

from chomp_mcp.doors.cli.output import table


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
def test_tables_fit_a_terminal_and_cut_no_address_and_no_price(columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    url = "https://cloud.sambanova.ai/apis/of/a/long/path"
    row = ("sambanova", "abcd…efgh (environment)", "SAMBANOVA_API_KEY", url)
    table(("ROUTER", "KEY", "VARIABLE", "GET ONE AT"), [row], droppable=("VARIABLE",))
    rows = [("groq/" + "m" * 50, 131072, "0.15"), ("a/b", 8, "10")]
    table(("MODEL", "CONTEXT", "$/M IN"), rows, droppable=("CONTEXT",))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    assert any(url in line for line in lines)
    assert any(line.endswith("0.15") for line in lines)
