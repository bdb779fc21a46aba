"""The HTTP door: the APIs that agents speak, and those of the two ancestors."""
