"""Streams of every dialect: cut into frames, decoded into deltas."""
