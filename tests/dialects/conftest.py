"""A served gateway, for what can be seen through a door alone."""

from __future__ import annotations

from tests.doors.conftest import gateway, upstream

__all__ = ["gateway", "upstream"]
