"""What a router key looks like as people write it: cleaned of what is around it, and told from a placeholder."""

from __future__ import annotations

import re

_AROUND = " \t\r\n\0\u00a0\u200b\u200c\u200d\u2060\ufeff\"'`,;\u2018\u2019\u201c\u201d"
"""Blanks, zero-width characters and quotes; no router's keys begin or end with them."""

_ASSIGNED = re.compile(
    r"(?:export\s+|setx?\s+|\$env:|-e\s+|--env\s+)?[\"']?[A-Za-z_]{0,64}(?:key|token|secret)[A-Za-z0-9_]{0,64}[\"']?\s*[=:]\s*(?=\S)",
    re.IGNORECASE,
)
"""`NAME=` of a .env file, of a shell or of JSON, pasted with the value."""

_BEARER = re.compile(r"(?:authorization:\s*)?bearer\s+", re.IGNORECASE)

_PLACEHOLDER = re.compile(
    r"""
      \$\{[^}]*\} | \$\w+ | \$\([^)]*\) | %\w+% | \{\{?[^{}]*\}?\}   # not filled in by a host, a shell or a template
    | <[^>]*> | \[[^\]]*\] | \(.*\)                                  # to be filled in by a person
    | undefined | null | nil | none | nan | n/?a | todo | tbd | changeme | change[-_ ]me | replace[-_ ]?me | placeholder
    | [A-Z0-9_]*(?:API[-_ ]?KEY|_KEY|_TOKEN|_SECRET)                 # the name of the variable again
    | (?:[a-z0-9]{2,6}[-_])*(?:x{3,}|\*{3,}|\.{3,}|…+|•+)            # sk-xxxx, gsk_...
    | (?:.*[-_ ./])?your[-_ ].*                                      # your-api-key, gsk_your_key_here
    | (?:.*[-_ ])?(?:key|token|secret|insert|paste|add|put)[-_ ](?:.*[-_ ])?here
    """,
    re.IGNORECASE | re.VERBOSE,
)

_LONGEST_PLACEHOLDER = 200
_FEWEST_CHARACTERS = 8
_MASKED = re.compile(r"\.\.\.|…|\*\*\*|•")


def cleaned(text: str) -> str:
    """The key alone: without quotes, blanks, `NAME=` and `Bearer `; empty for a placeholder that nobody filled in."""
    # Until nothing more comes off: quotes stand around a `NAME=`, and another pair behind it.
    before = None
    while text != before:
        before = text
        text = text.strip(_AROUND)
        for pattern in (_ASSIGNED, _BEARER):
            if found := pattern.match(text):
                text = text[found.end() :]
    return "" if is_placeholder(text) else text


def cleaned_keys(text: str) -> tuple[str, ...]:
    """The different keys of a variable, which commas separate, in their order."""
    return tuple(dict.fromkeys(filter(None, map(cleaned, cleaned(text).split(",")))))


def is_placeholder(text: str) -> bool:
    """Whether it stands for a key that is not there: `${X}`, `%X%`, `<your-key>`, `undefined`, `YOUR_API_KEY`."""
    return len(text) <= _LONGEST_PLACEHOLDER and _PLACEHOLDER.fullmatch(text.strip()) is not None


def why_no_key(key: str) -> str | None:
    """Why a cleaned text can be no key, as the end of a sentence that begins with "it"; None: it may be one."""
    if not key:
        return "is empty, or a placeholder"
    if _MASKED.search(key):
        return "is masked: only its beginning and end are there"
    if not (key.isascii() and key.isprintable()) or " " in key:
        return "holds blanks or characters that no key has"
    if "://" in key or key.startswith(("www.", "/", "~")):
        return "is an address or a path"
    if len(key) < _FEWEST_CHARACTERS:
        return f"has only {len(key)} characters"
    return None
