"""Text of strangers (answers, names, ids, errors of routers) as eyes, terminals and host programs get it: data."""

from __future__ import annotations

import re

_TURNING = "\u202a-\u202e\u2066-\u2069"
"""Bidi controls that turn the order of what follows round (CVE-2021-42574); the marks 200E, 200F and 061C do not."""
UNSEEN = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029{_TURNING}]")
"""Everything but a tab and the end of a line."""
_PICTURES = {**{code: 0x2400 + code for code in range(32)}, 127: 0x2421}
"""https://www.unicode.org/charts/PDF/U2400.pdf"""


def shown(text: str) -> str:
    """The text with a visible sign for each character that would drive a terminal, or turn round what is read."""
    text = text.replace("\r\n", "\n")
    return UNSEEN.sub(_sign, text)


def one_line(text: str) -> str:
    """The same on one line, whatever Unicode takes for the end of one."""
    return UNSEEN.sub(_sign, " ".join(text.split()))


def _sign(found: re.Match[str]) -> str:
    code = ord(found[0])
    return chr(_PICTURES[code]) if code in _PICTURES else f"[U+{code:04X}]"
