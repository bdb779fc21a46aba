"""Ollama: its OpenAI-compatible API and its own."""
