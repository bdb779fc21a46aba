"""Google's Gemini API, as a door."""
