"""The composition root: settings in, a running `Chomp` out. Opens everything lazily, closes everything."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Self, cast, overload

from chomp_mcp.arguments import as_json, check
from chomp_mcp.errors import ChompError, InvalidRequest, StoreError
from chomp_mcp.gateway.account import CreditReader
from chomp_mcp.gateway.admission import Admission
from chomp_mcp.gateway.book import Books
from chomp_mcp.gateway.conversations import Conversations
from chomp_mcp.gateway.engine import Embedded, Engine
from chomp_mcp.gateway.health import Health
from chomp_mcp.gateway.jobs import JobRunner, Room
from chomp_mcp.gateway.model_list import ModelList
from chomp_mcp.gateway.model_pages import ModelPage, ModelPages
from chomp_mcp.gateway.orders import Orders
from chomp_mcp.gateway.outward import OutwardGuards
from chomp_mcp.gateway.pipeline import Exchange, Gateway
from chomp_mcp.gateway.planner import Planner
from chomp_mcp.gateway.prices import Prices
from chomp_mcp.gateway.receipt_log import ReceiptLog
from chomp_mcp.gateway.runs import Runs
from chomp_mcp.gateway.settlement import Settlement
from chomp_mcp.gateway.status import Status, StatusView
from chomp_mcp.messages import (
    AUTO,
    OWNER,
    Caller,
    ChatChunk,
    ChatCompletion,
    ChatRequest,
    Job,
    Model,
    ReceiptView,
    Router,
    is_conversation,
    refuse_dry_run,
)
from chomp_mcp.policy import grants, key_shape, routing
from chomp_mcp.policy.breaker import BreakerRules
from chomp_mcp.policy.budget import Limits
from chomp_mcp.routers import catalog
from chomp_mcp.routers.client import Client
from chomp_mcp.settings import Settings
from chomp_mcp.store.jobs import Jobs
from chomp_mcp.store.key_pages import Pages
from chomp_mcp.store.keyring import Keyring
from chomp_mcp.store.kv.lenient import Lenient
from chomp_mcp.store.kv.protocol import KV
from chomp_mcp.store.opening import ledger_of, stores_of
from chomp_mcp.store.processes import JobProcesses, Processes
from chomp_mcp.store.proof import Proof
from chomp_mcp.store.rates import Rates, SharedBuckets
from chomp_mcp.store.threads import Threads
from chomp_mcp.store.written import Written
from chomp_mcp.telemetry.report import Observer, Observers
from chomp_mcp.telemetry.tracing import Tracing

if TYPE_CHECKING:
    from chomp_mcp.telemetry.metrics import Metrics


Messages = Sequence[Mapping[str, Any]]
"""A conversation in OpenAI's shape."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished answer and its receipt."""

    text: str
    receipt: ReceiptView


class Chat:
    """A chat on its way, as `Chomp.chat` gives it: `await` it for the whole answer."""

    def __init__(self, exchange: Callable[[], Exchange]) -> None:
        self._exchange = exchange

    def __await__(self) -> Generator[Any, None, ChatCompletion]:
        """OpenAI's `chat.completion` object, the router's own fields in it."""

        async def whole() -> ChatCompletion:
            async with self._exchange() as reply:
                return cast("ChatCompletion", dict((await reply.completion()).body))

        return whole().__await__()


class ChatStream:
    """A streamed chat, as `Chomp.chat(stream=True)` gives it: `async for chunk in …`, awaited before or not."""

    def __init__(self, exchange: Callable[[], Exchange]) -> None:
        self._exchange = exchange

    def __await__(self) -> Generator[Any, None, AsyncIterator[ChatChunk]]:
        """For those who know the `openai` package, where a stream is awaited first."""

        async def chunks() -> AsyncIterator[ChatChunk]:
            return aiter(self)

        return chunks().__await__()

    async def __aiter__(self) -> AsyncIterator[ChatChunk]:
        async with self._exchange() as reply:
            async for delta in reply:
                yield cast("ChatChunk", delta.chunk)


SHORTEST_KEY = 3
"""Characters; what is shorter is a slip of the keyboard."""


class Chomp:
    """Every model behind your own router keys: `async with Chomp() as chomp: await chomp.ask("…", model="groq/auto")`.

    Making one reads settings and catalog, and raises `InvalidSetting`; files and sockets are opened on first use, and
    from then on it belongs to that event loop. Every method raises `InvalidRequest` for an argument of a wrong type.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        clock: Callable[[], float] = time.time,
        observers: Sequence[Observer] = (),
    ) -> None:
        settings = Settings.load() if settings is None else settings
        if not isinstance(settings, Settings):
            why = f"settings is of the type {type(settings).__name__}."
            raise InvalidRequest(why, hint="Give what Settings.load(environment) gives.", param="settings")
        self.settings = settings
        self._loop: asyncio.AbstractEventLoop | None = None
        for name, value in settings.network.items():
            os.environ.setdefault(name, value)  # where the HTTP library and OpenSSL look, ours and our processes' alike
        self.routers: Mapping[str, Router] = catalog.load(settings)
        self.clock = clock
        self.sealed, state = stores_of(settings, clock)
        self._stores, soft = (self.sealed, state), Lenient(state)
        self.proof = Proof(state, settings.environment, is_remote=bool(settings.store))
        self.pages, self.written = Pages(state, clock=clock), Written(state, clock=clock)
        kept = self.sealed if settings.keep_bodies else None
        self.threads, self.receipts = Threads(state, clock=clock), ReceiptLog(state, kept, clock=clock)
        self.observers = Observers([self.receipts, *observers])
        self.keyring = Keyring(self.sealed, catalog.environment_keys(settings, self.routers), clock=clock, state=state)
        self.client = client = Client(upstream_timeout=settings.upstream_timeout_seconds)
        self.models = models = ModelList(soft, client, self.routers, clock=clock)
        self.books = books = Books(settings, self.routers, self.keyring)
        self.prices, self.ledger = Prices(self.models), ledger_of(settings, state, clock)
        rules = BreakerRules(settings.circuit_failure_threshold, settings.circuit_reset_seconds)
        self.health = Health(soft, rules, clock=clock, observers=self.observers)
        self._model_pages = ModelPages(self.routers, self.books, self.models, self.health.inabilities)
        self.credit = CreditReader(soft, self.client, clock=clock)
        self.rates = Rates(state if isinstance(state, SharedBuckets) else None, clock=clock)
        limits = Limits.of(settings.daily_budget_usd, settings.monthly_budget_usd)
        rps, burst = settings.rate_rps, settings.rate_burst
        self.admission = Admission(self.ledger, self.prices, limits, self.rates, rps=rps, burst=burst)
        # Our own keys, in no prompt and no file that leaves: the routers' are in the books, these beside them.
        held = (settings.auth_token, settings.environment.get("CHOMP_MASTER_KEY", "").strip())
        self.gateway = Gateway(
            planner=Planner(self.books, self.models, self.health, self.credit, Orders(self.prices, self.health, clock)),
            admission=self.admission,
            prices=self.prices,
            health=self.health,
            settlement=Settlement(self.ledger, self.observers, self.receipts),
            conversations=Conversations(soft, clock=clock),
            guards=OutwardGuards(settings.secrets, settings.secrets_allow, held, self.books),
            client=self.client,
            tracing=Tracing(),
            clock=clock,
        )
        self.job_processes = JobProcesses.of(settings.home)
        self.jobs = jobs = _jobs(settings, self.gateway, state, self.job_processes, clock)
        self._status = Status(
            self.routers, books, self.health, models, self.credit, self.ledger, jobs, limits, clock, client, self.sealed
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self, grace_seconds: float = 0.0) -> None:
        """Let jobs finish for `grace_seconds`, mark what could not, then close sockets and stores."""
        self._begin()
        async with AsyncExitStack() as stack:
            for store in dict.fromkeys(self._stores):
                stack.push_async_callback(store.close)
            for part in (self.client, self.models, self.credit, self.ledger, self.receipts):
                stack.push_async_callback(part.close)
            await self.jobs.close(grace_seconds)

    async def ask(
        self,
        prompt: str,
        *,
        model: str = "",
        router: str = AUTO,
        system: str = "",
        options: Mapping[str, Any] | None = None,
        caller: Caller = OWNER,
    ) -> Answer:
        """Ask and wait to the end, however long it takes."""
        self._begin(caller, model=model, router=router)
        request = ChatRequest.from_prompt(prompt, model=model, router=router, system=system, options=options)
        async with self.gateway.exchange(caller, request, door="python") as reply:
            text = (await reply.completion()).text
            return Answer(text, reply.receipt().as_dict())

    async def dispatch(
        self,
        prompt: str,
        *,
        model: str = "",
        router: str = AUTO,
        system: str = "",
        options: Mapping[str, Any] | None = None,
        caller: Caller = OWNER,
    ) -> Job:
        """Start it in the background; collect it with `result`."""
        self._begin(caller, model=model, router=router)
        request = ChatRequest.from_prompt(prompt, model=model, router=router, system=system, options=options)
        as_json(request.body)  # what cannot be sent is no job
        return await self.jobs.dispatch(caller, request, prompt=prompt, system=system, door="python")

    async def result(self, job_id: str, *, wait_seconds: float = 0.0, caller: Caller = OWNER) -> Job:
        """The job as it stands, after waiting at most `wait_seconds` (45) for its end."""
        self._begin(caller, job_id=job_id, wait_seconds=wait_seconds)
        return await self.jobs.result(caller, job_id, wait_seconds)

    @overload
    def chat(
        self, messages: Messages, *, stream: Literal[False] = False, caller: Caller = OWNER, **options: Any
    ) -> Chat: ...

    @overload
    def chat(
        self, messages: Messages, *, stream: Literal[True], caller: Caller = OWNER, **options: Any
    ) -> ChatStream: ...

    @overload
    def chat(
        self, messages: Messages, *, stream: bool, caller: Caller = OWNER, **options: Any
    ) -> Chat | ChatStream: ...

    def chat(
        self, messages: Messages, *, stream: bool = False, caller: Caller = OWNER, **options: Any
    ) -> Chat | ChatStream:
        """OpenAI's chat completions: `await` gives a `chat.completion` object.

        With `stream=True`, `async for chunk in chomp.chat(messages, stream=True)` gives its chunks. `options` takes
        OpenAI's fields, `model` (any model ref) and `router` among them.

        Raises:
            InvalidRequest: no messages, or something else than a list of objects. What the exchange raises comes when
                the answer is awaited.
        """
        model, router = options.pop("model", None) or "", options.pop("router", None) or AUTO
        check(messages=messages, model=model, router=router)
        conversation = list(messages)  # once: it may be a generator
        if not conversation or not is_conversation(conversation):
            why = "messages is not a list with at least one message."
            hint = 'Give [{"role": "user", "content": "…"}]: of a pydantic model, what its model_dump() gives.'
            raise InvalidRequest(why, hint=hint, param="messages")
        refuse_dry_run(options)
        request = ChatRequest({"messages": conversation, **options}, model, router, bool(stream))

        def exchange() -> Exchange:
            self._begin(caller)
            return self.gateway.exchange(caller, request, door="python")

        return (ChatStream if stream else Chat)(exchange)

    async def list_models(
        self,
        router: str = AUTO,
        *,
        query: str = "",
        free_only: bool = False,
        needs: Iterable[str] = (),
        limit: int | None = 50,
        cursor: str = "",
        caller: Caller = OWNER,
    ) -> ModelPage:
        """The models that the caller can use: of one router, or of all that are keyed; `limit=None`: all on one page.

        `needs`: only those that are known to do it, see `chomp_mcp.messages.NEEDS`.

        Raises:
            InvalidRequest: no such router, no such need, or a cursor that is not ours.
            NoRouterKey: the named router tells its list to nobody without a key.
        """
        self._begin(caller, router=router, query=query, needs=needs, limit=limit, cursor=cursor)
        return await self._model_pages.of(
            caller, router or AUTO, query=query, free_only=free_only, needs=needs, limit=limit, cursor=cursor
        )

    async def priced(self, models: Iterable[Model], *, caller: Caller = OWNER) -> list[Model]:
        """The models with the prices that receipts reckon with, where the router's own list tells none."""
        return await self.prices.filled(models, await self.books.of(caller))

    async def register_keys(
        self, keys: Mapping[str, str], *, caller: Caller = OWNER, keep_others: bool = False
    ) -> dict[str, str]:
        """Store router keys ("" removes one) and return masked previews of all.

        A router's new keys take the place of the old ones, or come behind them where the others are kept.

        Raises:
            InvalidRequest: no such router, what can be no key, or a key that is another router's by how it begins.
        """
        self._begin(caller, keys=keys)
        for router_id, given in keys.items():
            check(router=router_id)
            router = routing.named_router(router_id or "", self.routers)
            if not router.needs_key:
                raise InvalidRequest(f"{router.name} needs no key.", hint="Just ask it.", param="keys")
            if not isinstance(given, str):
                why = f"The key for {router_id} is not text."
                raise InvalidRequest(
                    why, hint="Several keys stand in one text, with commas between them.", param="keys"
                )
            if any(len(key) < SHORTEST_KEY for key in key_shape.cleaned_keys(given)):
                why = f"The key for {router_id} is too short to be one."
                raise InvalidRequest(why, hint="Copy it again.", param="keys")
            owner = routing.owner_of_key(given, self.routers.values())
            if owner and owner is not router and router.keys_page:
                raise InvalidRequest(
                    f"This looks like a key of {owner.name} (it begins with {owner.key_prefix}), not of {router.name}.",
                    hint=f"Add it for {owner.id}. Nothing was stored.",
                    param="keys",
                )
        await self.keyring.register(caller, keys, keep_others=keep_others)
        self.gateway.planner.forget(caller.id)
        book = await self.books.of(caller)
        for router_id in keys:
            for _, name in book.keys.get(router_id, ()):
                await self.health.forget_key(router_id, name)
                await self.models.forget(router_id, name)
        return await self.keyring.previews(caller)

    async def refusal_of(self, router_id: str, *, caller: Caller = OWNER) -> str:
        """Why the router does not take the caller's keys, tried with a call that needs one; empty: it takes them."""
        known = (await self.models.of([router_id], (await self.books.of(caller)).keys))[router_id]
        return (known.error or known.trouble) if known.was_refused else ""

    async def status(self, caller: Caller = OWNER) -> StatusView:
        """What can be used now, until when, and what it cost."""
        self._begin(caller)
        return await self._status.of(caller)

    def _begin(self, caller: Caller = OWNER, **arguments: object) -> None:
        """Every call's first step. `InvalidRequest`: of a wrong type, or in another event loop than the first call."""
        check(**arguments)
        if not isinstance(caller, Caller):
            why = f"caller is of the type {type(caller).__name__}."
            raise InvalidRequest(why, hint="Leave it out: you are the owner.", param="caller")
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            hint = "Await it below asyncio.run(…); of AnyIO, use the asyncio backend."
            raise InvalidRequest("No event loop of asyncio runs here.", hint=hint) from None
        # Connections, tasks and locks work in their own loop alone. In another one a call would hang, or fail in a way
        # that looks like the router's, and open its breaker for every process on this machine.
        if self._loop not in {None, loop}:
            hint = "Do all with it below one asyncio.run(…), or make a Chomp for each event loop: they share a home."
            raise InvalidRequest("This Chomp was first used in another event loop.", hint=hint)
        self._loop = loop

    async def issue_token(self, told: Mapping[str, Any], keys: Mapping[str, str] | None = None) -> tuple[str, Caller]:
        """A new token of the owner: `name`, with its limits (`FIELDS` of policy/grants.py).

        Without `keys` of its own the owner's are lent to it.

        Raises:
            InvalidRequest: a field that cannot be meant, a name that another token has, or a key that cannot be one.
        """
        grant = grants.checked(told, self.clock(), lends=not keys)
        if any(token.grant.name == grant.name for token in await self.keyring.tokens()):
            raise InvalidRequest(f"There is a token {grant.name!r} already.", hint="Revoke it first.", param="name")
        token, caller = await self.keyring.create(grant)
        try:
            await self.register_keys(keys or {}, caller=caller)
        except ChompError:
            await self.keyring.revoke(caller)
            raise
        return token, caller

    async def forget(self, caller: Caller) -> None:
        """Cancel the caller's jobs and delete all that is theirs: jobs, keys, and the token with them."""
        await self.jobs.forget(caller)
        await self.threads.delete_all(caller.id)
        await self.receipts.forget(caller.id)
        await self.keyring.revoke(caller)
        self.books.forget(caller.id)
        self.gateway.planner.forget(caller.id)

    @cached_property
    def metrics(self) -> Metrics:
        """Prometheus' view; it counts from the first time that somebody asks for it."""
        from chomp_mcp.telemetry.metrics import Metrics

        replica = f"{socket.gethostname()}:{self.settings.port}"
        metrics = Metrics(self.routers, replica=replica)
        self.observers.add(metrics)
        return metrics

    async def metrics_snapshot(self) -> dict[str, Any]:
        """What `metrics.render` shows beside its counters: breakers, quotas, the owner's budgets, jobs."""
        in_flight = len(self.gateway.under_way)
        try:
            return await self._status.gauges(in_flight=in_flight)
        except StoreError:
            return {"in_flight": in_flight, "store_up": False}


def _jobs(
    settings: Settings, gateway: Gateway, state: KV, job_processes: JobProcesses, clock: Callable[[], float]
) -> JobRunner:
    """Jobs run in this process, or on any replica of one Redis."""
    jobs, still = Jobs(state, clock=clock), settings.job_takeover_seconds
    folder = None if settings.store else settings.home / "processes"
    processes = Processes(state, folder, clock=clock, still_seconds=still)
    runs = Runs(gateway, jobs, processes, clock=clock)
    room = Room(settings.max_requests, settings.most_of_caller, settings.max_request_bytes)
    engine: Engine
    if settings.store:
        from chomp_mcp.gateway.cluster import Cluster  # late: it needs the extra `redis`

        engine = Cluster(settings.store, runs, jobs, processes, settings.job_retries, settings.runs_jobs, clock)
    else:
        engine = Embedded(runs, jobs, processes, job_processes, clock)
    return JobRunner(gateway, jobs, processes, runs, engine, room, clock)
