"""OpenAI's chat completions, which most routers speak."""
