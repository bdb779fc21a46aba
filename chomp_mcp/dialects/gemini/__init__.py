"""Google's Gemini API, for routers and as a door."""
