"""Whether a router takes a key: asked with a call that needs one, past every cache, and told to nobody else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import anyio

from chomp_mcp.dialects import dialect, speech
from chomp_mcp.messages import ChatRequest, Failed, FailureKind, Route, Router, WireRequest
from chomp_mcp.policy.secrets import sent_secrets, without
from chomp_mcp.routers.account_page import page_of
from chomp_mcp.routers.client import Client
from chomp_mcp.routers.failures import judge
from chomp_mcp.routers.response import Unreachable

MAX_BYTES = 32 * 1024 * 1024
SECONDS = 10.0
REFUSALS = frozenset({401, 403})
LATER = frozenset({FailureKind.QUOTA, FailureKind.RATE_LIMITED})
"""What says that the key is known, and only has nothing left now."""


@dataclass(frozen=True, slots=True)
class KeyCheck:
    """`detail` says what was seen, as the end of a sentence; never the key."""

    ok: bool
    detail: str
    is_refused: bool = False
    """The router said no to the key; another failure says nothing of it."""


async def check_key(client: Client, router: Router, key: str, *, clock: Callable[[], float]) -> KeyCheck:
    """Ask the account page if there is one, else the list of models, else, where everybody gets that, for one token."""
    # Zen, for one, lists its models for any key. A token costs next to nothing.
    if router.url_lacks:
        return KeyCheck(ok=False, detail=f"{router.url_lacks} is a part of its address, and is not set")
    try:
        with anyio.fail_after(SECONDS):
            return await _asked(client, router, key, clock)
    except TimeoutError:
        return KeyCheck(ok=False, detail=f"no answer in {SECONDS:g} s. Try again, or look at the router's status page")
    except Unreachable as error:
        return KeyCheck(ok=False, detail=without(str(error), sent_secrets(router, key)))
    except Exception:  # noqa: BLE001 - whatever a router sends, it is its own check alone that fails
        return KeyCheck(ok=False, detail="its answer cannot be understood")


async def _asked(client: Client, router: Router, key: str, clock: Callable[[], float]) -> KeyCheck:
    async def sent(request: WireRequest) -> bytes | Failed:
        response, body = await client.fetch(request, MAX_BYTES)
        return body if response.is_success else judge(response.status, response.headers, body, clock())

    def failed(failure: Failed) -> KeyCheck:
        said = without(failure.message, sent_secrets(router, key))
        if failure.kind in LATER:
            return KeyCheck(ok=True, detail=f"it knows the key, but has nothing left for it now: {said}")
        is_refused = failure.kind is FailureKind.BAD_KEY or failure.status in REFUSALS
        return KeyCheck(ok=False, detail=said, is_refused=is_refused)

    speak = dialect(router.dialect)
    if router.key_info:
        page = await sent(page_of(router, key))
        return failed(page) if isinstance(page, Failed) else KeyCheck(ok=True, detail="its account page came")
    request = speak.encode_list(router, key)
    listed = await sent(request) if request else b""
    if isinstance(listed, Failed):
        return failed(listed)
    open_list = speak.encode_list(router, "") if request else None
    if open_list and isinstance(await sent(open_list), Failed):
        return KeyCheck(ok=True, detail="its list of models came")
    # The list is everybody's, and says nothing of the key: a token does, of a model that is listed where one is.
    ids = [model.id for model in speak.decode_list(router, listed)]
    name = next((name for name in router.models if name in ids), next(iter([*ids, *router.models]), ""))
    if not name:
        return KeyCheck(ok=True, detail="it lists no model to try the key with")
    route = Route(router.serving(name), name, key)
    asked = ChatRequest.from_prompt("Hi", options={"max_tokens": 1})
    answer = await sent(speech(route, asked).encode(route, asked))
    return failed(answer) if isinstance(answer, Failed) else KeyCheck(ok=True, detail=f"{name} answered")
