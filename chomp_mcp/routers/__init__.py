"""Who can be called, and how."""
