"""The one-time local page where a person types a key.

A page is a 24-byte nonce in a URL, bound to one caller, good for ten minutes and for one saved key. The key goes from
the browser to this process and into the key store; no chat, no model and no log sees it. The same route serves inside
the HTTP app, in whichever of its processes the browser meets, or, for a stdio server, on a listener of its own that
starts with the first page.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

import anyio
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from chomp_mcp.app import Chomp
from chomp_mcp.doors.http.auth import is_loopback
from chomp_mcp.doors.http.server.listener import Listener
from chomp_mcp.doors.pages import frame
from chomp_mcp.errors import ChompError, InvalidRequest
from chomp_mcp.messages import Caller, Router
from chomp_mcp.policy import key_shape, routing
from chomp_mcp.policy.secrets import quoted
from chomp_mcp.policy.shown import shown
from chomp_mcp.store.key_pages import Page

CHECK_SECONDS = 4.0
"""How long a router may take to say whether it takes the key."""
POLL_SECONDS = 0.2
"""How often a page is looked at while somebody waits for its key."""
BODY_LIMIT = 64 * 1024
"""A router, a key and nothing else."""
_POLICY = "default-src 'none'; style-src 'sha256-{style}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
# Not "no-referrer": under that, browsers send `Origin: null` with the form (Fetch, "serializing a request origin"), and
# the same-origin check could not tell our form from a stranger's.
_HEADERS = {**frame.HEADERS, "Referrer-Policy": "same-origin"}


class KeyPages:
    """Opens pages and serves them: on a listener of its own, or `mounted` in an app that listens already."""

    def __init__(self, chomp: Chomp, *, mounted: bool = False) -> None:
        self._chomp = chomp
        self._mounted = mounted
        self._pages = chomp.pages
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
        return f"{base}/keys/{await self._pages.open(caller, router)}"

    async def wait(self, nonce: str, seconds: float) -> str | None:
        """The router whose key was saved on the page; None when nothing was saved within `seconds`."""
        saved = await self._pages.outcome(nonce)
        with anyio.move_on_after(seconds):
            while saved == "":
                await anyio.sleep(POLL_SECONDS)
                saved = await self._pages.outcome(nonce)
        return saved or None

    async def forget(self, nonce: str) -> None:
        """The person said no: the page is gone."""
        await self._pages.forget(nonce)

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
            hint = f"These do: {', '.join(takers)}."
            raise InvalidRequest(f"{quoted(router)} is no router that takes a key.", hint=hint, param="router")

    async def _serve(self, request: Request) -> Response:
        """Host, page, origin: in this order, so that a stranger learns nothing."""
        try:  # what the browser called this machine: anything but a name of itself is DNS rebinding
            host = urlsplit(f"//{request.headers.get('host', '')}").hostname or "?"
        except ValueError:
            host = "?"
        if not is_loopback(host):
            return _said(421, "Not here", "This page opens only on the machine that runs chomp.")
        nonce = request.path_params["nonce"]
        page = await self._pages.find(nonce)
        if page is None:
            return _used_up()
        if request.method != "POST":
            return self._form(page)
        if request.headers.get("origin") != f"{request.url.scheme}://{request.headers['host']}":
            return _said(403, "Not from here", "The form came from another site, so nothing was saved.")
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > BODY_LIMIT:  # it counts as an empty form
                body = b""
                break
        fields = parse_qs(body.decode("utf-8", "replace"))
        return await self._submit(nonce, {name: values[0] for name, values in fields.items()})

    async def _submit(self, nonce: str, fields: Mapping[str, str]) -> Response:
        """Save what was typed. A page is closed while it saves, and stays closed after: of two submissions one wins."""
        page = await self._pages.take(nonce)
        if page is None:
            return _used_up()
        try:
            router = await self._save(page.caller, fields)
        except BaseException as error:
            with anyio.CancelScope(shield=True):
                await self._pages.give_back(nonce)
            if not isinstance(error, ChompError):
                raise
            guess = routing.owner_of_key(fields.get("key", ""), self._takers().values())
            return self._form(page, problem=str(error), router=guess.id if guess else fields.get("router", ""))
        await self._pages.save(nonce, router.id)
        problem = ""
        with anyio.move_on_after(CHECK_SECONDS):  # a router that cannot be asked in a moment speaks not against it
            problem = await self._chomp.refusal_of(router.id, caller=page.caller)
        if problem:
            return _said(
                200,
                f"{html.escape(router.name)} does not take this key",
                f"It is saved, but the router says: {html.escape(shown(problem))} "
                "Close this page; the chat opens a new one.",
            )
        return _said(
            200,
            f"{html.escape(router.name)} is ready",
            "The key is saved on this machine. Close this page and go on in the chat."
            + (f"</p><p class=dim>What it allows: {html.escape(router.limits)}." if router.limits else ""),
        )

    async def _save(self, caller: Caller, fields: Mapping[str, str]) -> Router:
        router, key = fields.get("router", ""), fields.get("key", "").strip()
        if key and (reason := key_shape.why_no_key(key_shape.cleaned(key))):
            raise InvalidRequest(f"That is no key: it {reason}.", hint="Copy it again from its page.", param="key")
        if key and not router:
            owner = routing.owner_of_key(key, self._takers().values())
            if owner is None:
                hint = "Choose the router, then save."
                raise InvalidRequest("How this key begins says nothing of its router.", hint=hint, param="router")
            router = owner.id
        self._check(router)
        if not key:
            raise InvalidRequest("There is no key yet.", hint="Paste one, then save.", param="key")
        await self._chomp.register_keys({router: key}, caller=caller, keep_others=True)
        return self._chomp.routers[router]

    def _form(self, page: Page, *, problem: str = "", router: str = "") -> Response:
        takers = self._takers().values()
        chosen = router or page.router
        options = [
            f'<option value="{html.escape(each.id)}"{" selected" if each.id == chosen else ""}>'
            f"{html.escape(each.name)}</option>"
            for each in takers
        ]
        if not chosen:
            options.insert(0, '<option value="" selected>told by how the key begins</option>')
        links = [
            f'<li><a href="{html.escape(each.keys_page)}" target="_blank" rel="noopener noreferrer">'
            f"{html.escape(each.name)}</a></li>"
            for each in takers
            if each.keys_page
        ]
        content = frame.filled(
            "key_form.html",
            alert=f'<p role="alert">{html.escape(shown(problem))}</p>\n' if problem else "",
            options="\n".join(options),
            links="\n".join(links),
        )
        return _page(400 if problem else 200, "Add a router key", content)


def _used_up() -> Response:
    return _said(410, "This page is used up", "It works once and for ten minutes. Ask for a new one in the chat.")


def _said(status: int, title: str, sentence: str) -> Response:
    return _page(status, title, f"<p>{sentence}</p>")


def _page(status: int, title: str, content: str) -> Response:
    return frame.page(
        "key_page", sheet="key_page.css", policy=_POLICY, headers=_HEADERS, status=status, title=title, content=content
    )
