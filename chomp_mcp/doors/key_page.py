"""The one-time local page where a person types a key.

A page is a 24-byte nonce in a URL, bound to one caller, good for ten minutes and for one saved key. The key goes from
the browser to this process and into the key store; no chat, no model and no log sees it. The same route serves inside
the HTTP app or, for a stdio server, on a listener of its own that starts with the first page.
"""

from __future__ import annotations

import base64
import hashlib
import html
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from string import Template
from typing import Protocol
from urllib.parse import parse_qs, urlsplit

import anyio
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from chomp_mcp.doors.auth import is_loopback
from chomp_mcp.doors.listener import Listener
from chomp_mcp.errors import ChompError, InvalidRequest
from chomp_mcp.messages import Caller, Router

__all__ = ["KeyPages", "KeyTaker"]

PAGE_SECONDS = 600.0
BODY_LIMIT = 64 * 1024
"""A router, a key and nothing else."""


class KeyTaker(Protocol):
    """The part of `Chomp` that a page needs."""

    @property
    def routers(self) -> Mapping[str, Router]: ...

    async def register_keys(self, keys: Mapping[str, str], *, caller: Caller = ...) -> Mapping[str, str]: ...


@dataclass(slots=True)
class _Page:
    caller: Caller
    router: str
    expires_at: float
    is_open: bool = True
    saved: tuple[str, ...] = ()
    done: anyio.Event = field(default_factory=anyio.Event)


class KeyPages:
    """Opens pages and serves them: on a listener of its own, or `mounted` in an app that listens already."""

    def __init__(self, chomp: KeyTaker, *, mounted: bool = False, clock: Callable[[], float] = time.time) -> None:
        self._chomp = chomp
        self._mounted = mounted
        self._clock = clock
        self._pages: dict[str, _Page] = {}
        self._listener = Listener(self.routes())

    async def open(self, caller: Caller, router: str = "", *, host: str = "") -> str:
        """The URL of a new page for this caller, with `router` chosen on it.

        `host` is the Host header by which the caller found the app that the route is mounted in.

        Raises:
            InvalidRequest: no such router, or one that takes no key.
        """
        if router:
            self._check(router)
        base = f"http://{host}" if self._mounted else await self._listener.start()
        self._sweep()
        nonce = secrets.token_urlsafe(24)
        self._pages[nonce] = _Page(caller, router, self._clock() + PAGE_SECONDS)
        return f"{base}/keys/{nonce}"

    async def wait(self, nonce: str, seconds: float) -> tuple[str, ...] | None:
        """The routers whose key was saved on the page; None when nothing was saved within `seconds`."""
        page = self._pages.get(nonce)
        if page is None:
            return None
        with anyio.move_on_after(seconds):
            await page.done.wait()
        return page.saved or None

    def forget(self, nonce: str) -> None:
        """The person said no: the page is gone."""
        self._pages.pop(nonce, None)

    def routes(self) -> list[BaseRoute]:
        """What to mount; it asks for no bearer token, the nonce is the proof."""
        return [Route("/keys/{nonce}", self._serve, methods=["GET", "POST"])]

    async def close(self) -> None:
        """Stop the listener, if a page started one."""
        await self._listener.stop()

    def _takers(self) -> dict[str, Router]:
        return {router.id: router for router in self._chomp.routers.values() if router.needs_key}

    def _check(self, router: str) -> None:
        takers = self._takers()
        if router not in takers:
            raise InvalidRequest(
                f"{router!r} is no router that takes a key.", hint=f"These do: {', '.join(takers)}.", param="router"
            )

    def _sweep(self) -> None:
        now = self._clock()
        self._pages = {nonce: page for nonce, page in self._pages.items() if page.expires_at > now}

    async def _serve(self, request: Request) -> Response:
        """Host, page, origin: in this order, so that a stranger learns nothing."""
        if not is_loopback(_hostname(request)):
            return _said(421, "Not here", "This page opens only on the machine that runs chomp.")
        self._sweep()
        page = self._pages.get(request.path_params["nonce"])
        if page is None or not page.is_open:
            return _said(
                410, "This page is used up", "It works once and for ten minutes. Ask for a new one in the chat."
            )
        if request.method != "POST":
            return self._form(page)
        if request.headers.get("origin") != f"{request.url.scheme}://{request.headers['host']}":
            return _said(403, "Not from here", "The form came from another site, so nothing was saved.")
        return await self._submit(page, request)

    async def _submit(self, page: _Page, request: Request) -> Response:
        """Save what was typed. A page is closed while it saves, and stays closed after: of two submissions one wins."""
        page.is_open = False
        fields: dict[str, str] = {}
        try:
            fields = await _fields(request)
            router = await self._save(page.caller, fields)
        except ChompError as error:
            return self._form(page, problem=str(error), router=fields.get("router", ""))
        else:
            page.saved = (router.id,)
        finally:
            page.is_open = not page.saved
        page.done.set()
        return _said(
            200,
            f"{html.escape(router.name)} is ready",
            "The key is saved on this machine. Close this page and go on in the chat.",
        )

    async def _save(self, caller: Caller, fields: Mapping[str, str]) -> Router:
        router, key = fields.get("router", ""), fields.get("key", "").strip()
        self._check(router)
        if not key:
            raise InvalidRequest("There is no key yet.", hint="Paste one, then save.", param="key")
        await self._chomp.register_keys({router: key}, caller=caller)
        return self._chomp.routers[router]

    def _form(self, page: _Page, *, problem: str = "", router: str = "") -> Response:
        takers = self._takers().values()
        content = _template("key_form.html").substitute(
            alert=f'<p role="alert">{html.escape(problem)}</p>\n' if problem else "",
            options=_options(takers, router or page.router),
            links=_links(takers),
        )
        return _page(400 if problem else 200, "Add a router key", content)


def _hostname(request: Request) -> str:
    """What the browser called this machine; anything but a name of itself is DNS rebinding."""
    try:
        return urlsplit(f"//{request.headers.get('host', '')}").hostname or "?"
    except ValueError:
        return "?"


async def _fields(request: Request) -> dict[str, str]:
    """The form's fields; a body over the limit has none."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_LIMIT:
            return {}
    parsed = parse_qs(body.decode("utf-8", "replace"))
    return {name: values[0] for name, values in parsed.items()}


def _options(routers: Iterable[Router], chosen: str) -> str:
    return "\n".join(
        f'<option value="{html.escape(router.id)}"{" selected" if router.id == chosen else ""}>'
        f"{html.escape(router.name)}</option>"
        for router in routers
    )


def _links(routers: Iterable[Router]) -> str:
    return "\n".join(
        f'<li><a href="{html.escape(router.keys_page)}" target="_blank" rel="noopener noreferrer">'
        f"{html.escape(router.name)}</a></li>"
        for router in routers
        if router.keys_page
    )


@cache
def _template(name: str) -> Template:
    return Template((files("chomp_mcp.doors") / name).read_text(encoding="utf-8"))


@cache
def _style() -> tuple[str, str]:
    """The style sheet, and its hash for the content security policy."""
    text = (files("chomp_mcp.doors") / "key_page.css").read_text(encoding="utf-8").strip()
    return text, base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _said(status: int, title: str, sentence: str) -> Response:
    return _page(status, title, f"<p>{sentence}</p>")


def _page(status: int, title: str, content: str) -> Response:
    style, digest = _style()
    return HTMLResponse(
        _template("key_page.html").substitute(title=title, style=style, content=content),
        status_code=status,
        headers={
            "Cache-Control": "no-store",
            "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; "
            "frame-ancestors 'none'; base-uri 'none'",
            # Not "no-referrer": under that, browsers send `Origin: null` with the form (Fetch, "serializing a request
            # origin"), and the same-origin check could not tell our form from a stranger's.
            "Referrer-Policy": "same-origin",
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Opener-Policy": "same-origin",
        },
    )
