"""chomp_mcp: every model behind your own router keys, through one local gateway."""
