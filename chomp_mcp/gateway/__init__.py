"""The one pipeline that every door calls."""
