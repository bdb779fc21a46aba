"""A request arrives: translate in, translate out, decide nothing."""
