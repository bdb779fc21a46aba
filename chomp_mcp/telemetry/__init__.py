"""One report per exchange, many readers."""

from __future__ import annotations

from chomp_mcp.telemetry.report import OK, Observer, Observers, Price, Report, Transition

__all__ = ["OK", "Observer", "Observers", "Price", "Report", "Transition"]
