"""Prices that neither a list nor genai-prices tells: USD per million tokens, with date and source."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["SNAPSHOT", "SOURCES"]

SOURCES: Mapping[str, str] = {
    "zen": "opencode.ai/docs/zen (August 2026) and models.dev (October 2026)",
    "sambanova": "models.dev (October 2026)",
}
"""Where the figures of a router were read, and when last."""

SNAPSHOT: Mapping[str, Mapping[str, tuple[str, str, str | None]]] = {
    # model: (input, output, cached input or None); Zen's chat/completions models only, the others are not for us
    "zen": {
        "deepseek-v4.1-flash": ("0.30", "1.20", "0.01"),
        "deepseek-v4-flash": ("0.14", "0.28", "0.028"),
        "deepseek-v4-pro": ("1.74", "3.48", "0.145"),
        "minimax-m3": ("0.30", "1.20", "0.06"),
        "minimax-m2.7": ("0.30", "1.20", "0.06"),
        "minimax-m2.5": ("0.30", "1.20", "0.06"),
        "glm-5.2": ("1.40", "4.40", "0.26"),
        "glm-5.1": ("1.40", "4.40", "0.26"),
        "glm-5": ("1.00", "3.20", "0.20"),
        "kimi-k3": ("3.00", "15.00", "0.30"),
        "kimi-k2.7-code": ("0.95", "4.00", "0.19"),
        "kimi-k2.6": ("0.95", "4.00", "0.16"),
        "kimi-k2.5": ("0.60", "3.00", "0.10"),
        "grok-build-0.1": ("1.00", "2.00", "0.20"),
    },
    "sambanova": {
        "Meta-Llama-3.3-70B-Instruct": ("0.60", "1.20", None),
        "gpt-oss-120b": ("0.22", "0.59", None),
        "DeepSeek-V3.1": ("3.00", "4.50", None),
        "DeepSeek-V3.2": ("3.00", "4.50", None),
        "MiniMax-M3": ("0.60", "2.40", "0.06"),
        "MiniMax-M2.7": ("0.60", "2.40", "0.06"),
        "gemma-4-31B-it": ("0.38", "1.15", None),
    },
}
