"""python -m chomp_mcp: the command line."""

from __future__ import annotations

import sys

from chomp_mcp.doors.cli import main

if __name__ == "__main__":
    sys.exit(main())
