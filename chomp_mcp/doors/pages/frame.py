"""What the pages share: their files, and the headers under which nothing foreign is loaded, framed or kept."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from string import Template
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse

HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


_POLICY: Final = (
    "default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; "
    "connect-src 'self'; img-src data:; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
)


def page(
    name: str,
    *,
    sheet: str = "home.css",
    policy: str = _POLICY,
    headers: Mapping[str, str] = HEADERS,
    status: int = 200,
    **parts: str,
) -> HTMLResponse:
    """`name`.html with its style sheet, `name`.js where there is one, and the parts, which are HTML already.

    `policy` is the content security policy, in which `{style}` and `{script}` are the hashes of the two.
    """
    style, script = text(sheet), text(f"{name}.js")
    told = policy.format(style=_digest(style), script=_digest(script))
    content = filled(f"{name}.html", style=style, script=script, **parts)
    return HTMLResponse(content, status, {**headers, "Content-Security-Policy": told})


def filled(name: str, **parts: str) -> str:
    """The template with its parts."""
    return Template(text(name)).substitute(parts)


@cache
def text(name: str) -> str:
    """One of the files beside this one; empty where it is not there."""
    file = files("chomp_mcp.doors.pages") / name
    return file.read_text(encoding="utf-8").strip() if file.is_file() else ""


def table(headers: Sequence[str], rows: Iterable[Sequence[str]], *, has_number: bool = False) -> str:
    """`rows` are HTML already; the last column holds numbers where `has_number`."""
    names = [
        f' class="number" data-name="{name}"' if has_number and name == headers[-1] else f' data-name="{name}"'
        for name in headers
    ]
    # The roles are told because on a phone each row is a block of its own, and no browser takes that for a table.
    cells = (
        "".join(f'<td role="cell"{name}>{cell}</td>' for name, cell in zip(names, row, strict=True)) for row in rows
    )
    body = "".join(f'<tr role="row">{row}</tr>' for row in cells)
    head = "".join(f'<th role="columnheader"{name}>{title}</th>' for name, title in zip(names, headers, strict=True))
    return (
        f'<div class="wide" tabindex="0"><table role="table"><thead role="rowgroup"><tr role="row">{head}</tr></thead>'
        f'<tbody role="rowgroup">{body}</tbody></table></div>'
    )


def address(request: Request) -> str:
    """How the browser found us."""
    return f"{request.url.scheme}://{request.headers.get('host', 'localhost')}"


@cache
def _digest(content: str) -> str:
    return base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
