"""OpenAI's Responses as a door: its requests -> chat completions, answers and streams back."""
