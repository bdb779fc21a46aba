"""One report per exchange, many readers."""
