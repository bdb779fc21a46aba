"""The one pipeline that every door calls."""

from __future__ import annotations

from typing import Final

RUN_JOB: Final = "run-job"
"""The command line of a process that runs jobs: `chomp-mcp run-job QUEUE`; a person has no use for it.

It stands here so that the command line knows it without loading the gateway.
"""
