"""What the bundle starts: the installed server on stdin and stdout."""

import sys

from chomp_mcp.doors.cli import main

sys.exit(main([]))
