"""Files that a question takes along, and the file its answer goes into: for MCP over stdio and the command line."""

from __future__ import annotations

from chomp_mcp.doors.files.folders import Folders, folders_for
from chomp_mcp.doors.files.reading import with_files
from chomp_mcp.doors.files.saving import saved, target_for

__all__ = ["Folders", "folders_for", "saved", "target_for", "with_files"]
