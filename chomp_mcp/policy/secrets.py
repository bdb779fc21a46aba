"""What a secret looks like, once for every mask: key shapes in texts of others, and what we send in any spelling.

Nothing here decides what is secret for a person; it takes out of errors, logs, metrics and traces what a router may
have echoed, or a caller may have pasted where a model's name belongs.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from html.entities import codepoint2name
from typing import Any
from urllib.parse import unquote, urlsplit

from chomp_mcp.messages import Router
from chomp_mcp.policy.shown import shown

_START = r"(?:\b|(?<=\\[nrt]))"
"""In text that was escaped, a line break is two characters, of which the second is a letter."""

KEY_SHAPES: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    # Our own tokens; chomp_mcp is no secret.
    (re.compile(_START + r"(chomp_)[0-9a-f*]{4,}", re.IGNORECASE), r"\1…"),
    # OpenAI, Anthropic, OpenRouter, DeepSeek (sk), Groq, Cerebras, Fireworks, xAI, Hugging Face, NVIDIA.
    (re.compile(_START + r"((?:sk|gsk|csk|fw|pk|rk|xai|hf|nvapi)[-_])[\w.*-]{4,}", re.IGNORECASE), r"\1…"),
    # Perplexity, whose models are called pplx-70b, Replicate, Together, GitHub, GitLab, Slack.
    (re.compile(_START + r"(pplx-|r8_|tgp_v1_|gh[opsur]_|github_pat_|glpat-|xox[abeoprs]-)[\w-]{20,}"), r"\1…"),
    # Google: API keys of the old form, of the new one, and OAuth tokens. Their letters' case is part of the shape.
    (re.compile(_START + r"(AIza|AQ\.|ya29\.)[\w-]{8,}"), r"\1…"),
    (re.compile(_START + r"(AKIA|ASIA)[A-Z0-9]{12,}\b"), r"\1…"),
    # A JSON Web Token: base64 of `{"`, twice. What is none is passed over in one step, for it may hold many beginnings.
    (re.compile(_START + r"eyJ(?:([\w-]{8,}+(?:\.[\w-]*){1,4})|[\w-]*+)"), lambda jwt: "eyJ…" if jwt[1] else jwt[0]),
    (re.compile(_START + r"((?:bearer|basic)\s+)(?=\S*[\d*])[^\s'\",]{4,}", re.IGNORECASE), r"\1…"),
    (re.compile(r"(api[ _-]?key(?: provided)?['\"]?\s*[:=]\s*['\"]?)[^\s'\",}]{4,}", re.IGNORECASE), r"\1…"),
    # Google takes its keys in the address, as other APIs do.
    (re.compile(r"([?&](?:(?:api[_-]?)?key|(?:access_)?token|secret)=)[^\s&#'\"\\]{4,}", re.IGNORECASE), r"\1…"),
    # SambaNova's keys are bare UUIDs.
    (re.compile(_START + r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE), "…"),
    # Mistral's and others' are letters and digits alone; no word, model or date is that long.
    (re.compile(_START + r"(?=[A-Za-z]*\d)[A-Za-z0-9]{32,}\b"), "…"),
)
"""What keys and tokens look like, and what is shown in their place."""

_SHORT = 8
"""A shorter secret may be a part of any word, and hides only where it stands alone."""

_PUBLIC_HEADER = re.compile(
    r"accept|anthropic-(beta|version)|content-type|(http-)?referer|user-agent|x-title", re.IGNORECASE
)


def masked(text: str) -> str:
    """The text without anything that looks like a key."""
    for pattern, instead in KEY_SHAPES:
        text = pattern.sub(instead, text)
    return text


def quoted(name: str) -> str:
    """A name that somebody gave and nobody has, in quotes; `…` for what is no name: keys are pasted anywhere."""
    return repr(name) if _NAME.fullmatch(name) and masked(name) == name else "'…'"


_NAME = re.compile(r"[\w./:-]{1,32}")


def sent_secrets(router: Router, key: str) -> tuple[str, ...]:
    """What of a call nobody may read back: the key, the words of the row's own headers, the password of its address."""
    others = [value for name, value in router.headers.items() if not _PUBLIC_HEADER.fullmatch(name)]
    words = [word for value in others for word in value.split() if len(word) >= _SHORT]
    password = urlsplit(router.url).password if "@" in router.url else None
    return tuple(dict.fromkeys(filter(None, (key, unquote(password or ""), *words))))


def without(value: Any, secrets: Collection[str]) -> Any:
    """What a router says of its failure, a text or a JSON value with all its texts and names, as it may be repeated.

    Without these very secrets, however they are spelled, and with a sign for what would drive whoever's terminal it is
    shown on in the end.
    """

    def clean(text: str) -> str:
        for secret in secrets:
            text = _spelled(secret).sub("…", text)
            # Texts are cut before they come here, perhaps in the middle of the secret.
            lowered, sizes = text.lower(), range(len(secret) - 1, _SHORT - 1, -1)
            rest = next((size for size in sizes if lowered.endswith(secret[:size].lower())), 0)
            text = f"{text[:-rest]}…" if rest else text
        return shown(text)

    return each_text(value, clean)


def without_password(url: str) -> str:
    """An address that may be shown."""
    before, at, place = url.rpartition("@")
    return f"{before.partition('//')[0]}//…@{place}" if at else url


def each_text(value: Any, change: Callable[[str], str]) -> Any:
    """The same JSON value with its texts and names changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {change(str(name)): each_text(item, change) for name, item in value.items()}
    return [each_text(item, change) for item in value] if isinstance(value, list) else value


@lru_cache(maxsize=256)
def _spelled(secret: str) -> re.Pattern[str]:
    """The secret in either case, any character full-width or escaped for URLs, HTML, JSON or mail; or in base64."""
    usual = ""
    for character in secret:
        # A proxy may have quoted what another had quoted before, hence the repeated `25`, `amp;` and `\\`.
        code, data = ord(character), character.encode("utf-8", "replace")
        quoted = "".join(f"(?:%(?:25)*|=){byte:02x}" for byte in data)
        named = f"|{codepoint2name[code]}" if code in codepoint2name else ""
        entity = rf"&(?:amp;)*(?:#0*{code}|#x0*{code:x}{named});"
        # Only behind the first character any number of them: a text of backslashes would be read anew from each.
        several, any_number = (r"\\+", r"\\*") if usual else (r"\\", "")
        escaped = rf"{several}(?:u{code:04x}|x{code:02x})"
        plus = "|[+]" if character == " " else ""
        plain = character if character.isascii() and character.isalnum() else rf"{any_number}{re.escape(character)}"
        # Full-width forms, as Japanese input methods and some models write ASCII.
        wide = f"|{chr(code + 0xFEE0)}" if 0x21 <= code < 0x7F else ""  # noqa: PLR2004 - those that have one
        usual += rf"(?:{plain}|{quoted}|{entity}|{escaped}{plus}{wide})"
    if len(secret) < _SHORT:
        return re.compile(rf"(?<!\w){usual}(?!\w)", re.IGNORECASE)
    # As HTTP's Basic sends it: what stands before it shifts its bits, and of the digits at its ends a part is a
    # neighbour's.
    packed, data = [], secret.encode("utf-8", "replace")
    for shift in range(3):
        digits = b64encode(bytes(shift) + data).decode().rstrip("=")
        core = digits[-(-shift * 4 // 3) : len(digits) - bool((shift + len(data)) % 3)]
        packed.append(re.escape(core).replace(r"\+", "[+-]").replace("/", "[/_]"))
    return re.compile(rf"{usual}|[\w+/-]?(?:{'|'.join(packed)})[\w+/-]?=*", re.IGNORECASE)
