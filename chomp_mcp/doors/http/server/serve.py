"""`serve`: bind the port, serve it with one process or several, stop in good order."""

from __future__ import annotations

import gc
import hmac
import json
import secrets
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import anyio
from starlette.applications import Starlette

from chomp_mcp.app import Chomp
from chomp_mcp.doors.http.app import SETTLE_SECONDS, build_app
from chomp_mcp.doors.http.auth import check_bind
from chomp_mcp.doors.http.server.process import GRACE_SECONDS, Server, configured
from chomp_mcp.errors import InvalidSetting, StoreAway
from chomp_mcp.settings import Settings
from chomp_mcp.store.master_key import VARIABLE, parsed
from chomp_mcp.telemetry.log import LogObserver, configure

_MOST_SOCKETS = 65_536


def serve(settings: Settings, *, as_json: bool = False) -> None:
    """Serve until SIGTERM or SIGINT; then stop accepting, let answers in flight finish, settle, and return.

    Raises:
        InvalidSetting: a bind beyond loopback without GATEWAY_AUTH_TOKEN, an address that cannot be bound, or what
            `Chomp` finds wrong.
    """
    check_bind(settings)
    if settings.workers > 1 and sys.platform == "win32":
        hint = "Leave GATEWAY_WORKERS and --workers out."
        raise InvalidSetting("GATEWAY_WORKERS is more than 1, and on Windows one process serves a port.", hint=hint)
    if sys.platform != "win32":  # every stream takes two sockets, and many systems allow 1,024 unless asked
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = _MOST_SOCKETS if hard == resource.RLIM_INFINITY else min(hard, _MOST_SOCKETS)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    trouble = _checked_store(settings) if settings.store else ""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listening = socket.create_server((settings.host.strip("[]"), settings.port), family=family, backlog=2048)
    except OSError as error:
        reason = str(error.strerror or error).partition(" (while")[0]  # which says the address again
        why = f"{settings.host}:{settings.port} cannot be bound: {reason}."
        hint = "Choose another --port or GATEWAY_PORT (0 picks a free one), or another --host or GATEWAY_HOST."
        raise InvalidSetting(why, hint=hint) from None
    with listening:
        settings = replace(settings, port=listening.getsockname()[1])
        configure(settings.log or "error")
        if settings.workers > 1:
            _supervise(settings, listening, partial(_announce, trouble=trouble, as_json=as_json))
            return
        app = _app(settings, _state_key(settings))
        _announce(settings, trouble=trouble, as_json=as_json)
        Server(configured(app, settings)).run(sockets=[listening])


def _checked_store(settings: Settings) -> str:
    """What waiting would not mend is refused; a Redis that is away may come while we serve, and is told."""
    from chomp_mcp.store.kv.redis import Redis

    async def check() -> None:
        store = Redis(settings.store)
        try:
            await store.check()
        finally:
            await store.close()
        async with Chomp(settings) as chomp:
            keys = await chomp.sealed.at_rest()
        if keys["sealed"] and not keys["master_key"]:  # each call that needs one would fail, here alone
            raise InvalidSetting(f"Router keys in the store are {keys['note']}")

    Chomp(settings)  # the settings first
    try:
        anyio.run(check)
    except StoreAway as error:
        if error.is_lasting:
            raise InvalidSetting(error.reason, hint=error.hint) from None
        return f"chomp-mcp: {error.reason} {error.hint}"
    return ""


def _state_key(settings: Settings) -> bytes:
    """What seals that which MCP clients bring back: any replica on one store must read it."""
    if not settings.store:
        return secrets.token_bytes(32)
    master = parsed(settings.environment[VARIABLE].strip())
    return hmac.digest(master.bits, b"chomp-mcp request state", "sha256")


def _supervise(settings: Settings, listening: socket.socket, announce: Callable[[Settings], None]) -> None:
    from chomp_mcp.doors.http.server.workers import Supervisor, bind

    Chomp(settings)  # what is wrong is told here, and once
    # All workers together keep to the limits, so each has its share. On a remote store the rate limit is one for all.
    shares = 1 if settings.store else settings.workers
    share = replace(
        settings,
        rate_rps=settings.rate_rps / shares,
        rate_burst=max(1, settings.rate_burst // shares),
        max_requests=max(1, settings.max_requests // settings.workers),
        max_caller_requests=-(-settings.max_caller_requests // settings.workers),  # rounded up: 0 means another default
        max_request_bytes=settings.max_request_bytes // settings.workers,
    )
    config = configured(partial(_app, share, _state_key(settings)), settings, factory=True)
    ready, patience = partial(announce, settings), GRACE_SECONDS + 2 * SETTLE_SECONDS
    with bind(listening) as port:
        Supervisor(config, port, ready=ready, stop_seconds=patience).run()


def _app(settings: Settings, state_key: bytes) -> Starlette:
    """What this process serves, which may be one of several."""
    configure(settings.log or "error")
    chomp = Chomp(settings, observers=[LogObserver()])
    app = build_app(chomp, state_key=state_key)
    app.state.under_way = chomp.gateway.under_way
    # What was imported stays for ever, and a request leaves hardly any cycle behind: look less often.
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    return app


def _announce(settings: Settings, *, trouble: str, as_json: bool) -> None:
    """The first line is for programs, too; a person also reads what is where."""
    at = f"http://{bracketed(settings.host)}:{settings.port}"
    if as_json:
        urls = {"page": f"{at}/", "openai": f"{at}/v1", "anthropic": at, "mcp": f"{at}/mcp", "docs": f"{at}/docs"}
        print(json.dumps({"serves": at, "urls": urls}), flush=True)  # noqa: T201 - that is what --json asks for
    lines = [f"chomp-mcp serves {at}"]
    if sys.stderr.isatty():
        token = "any text as the key" if not settings.auth_token else "GATEWAY_AUTH_TOKEN as the key"
        lines += [
            f"  {at}/      what happens here, in a browser",
            f"  {at}/docs  these APIs, with every field",
            f"  {at}/v1    OpenAI's APIs, {token}; without the /v1 Anthropic's",
            f"  {at}/mcp   MCP (Streamable HTTP)",
            "  Ctrl-C ends it.",
        ]
    sys.stderr.write("".join(f"{line}\n" for line in (*lines, *filter(None, [trouble]))))
    sys.stderr.flush()


def bracketed(host: str) -> str:
    """A host as it stands in a URL."""
    return f"[{host.strip('[]')}]" if ":" in host else host
