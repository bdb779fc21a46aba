"""A job, a model and a receipt as JSON, once for every door: each function gives one shape, and its type says which.

What `status` gives is shaped where it is made, in `gateway/status.py`; a receipt in `messages/receipt.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NotRequired, TypedDict

from chomp_mcp.doors.words import CLI, HTTP, spoken
from chomp_mcp.gateway.status import QuotaView
from chomp_mcp.messages import AttemptView, Job, Model, Receipt, ReceiptView
from chomp_mcp.store.keyring import Token


class JobHead(TypedDict):
    """What `dispatch` gives: the job's id, where it stands, and the route that answers or is tried first."""

    job_id: str
    status: str
    """queued, running, done, error or cancelled."""
    model: str
    """`router/model`."""
    router: str


class JobView(JobHead):
    """A row in a list of jobs: without its texts."""

    error: str | None
    created: str
    """ISO 8601, UTC."""
    finished: str | None


class WholeJob(JobView):
    """All that is told of a job; `text` is partial while it runs."""

    prompt: str
    system: str
    text: str
    receipt: ReceiptView | None


class CommandJob(JobHead):
    """What the command line prints with `--json`: times are epoch seconds, `error` is empty where there is none."""

    prompt: str
    text: str
    error: str
    receipt: ReceiptView | None
    created_at: float
    finished_at: float | None


class JobResult(TypedDict):
    """What the `result` tool gives."""

    job_id: str
    status: str
    text: str
    error: str | None
    receipt: ReceiptView | None
    images: NotRequired[list[str]]
    """URLs of the answer's pictures, mostly `data:` ones."""


class ApiJob(TypedDict):
    """A job in the words of `/api/*`; `result` is partial while it runs."""

    id: str
    prompt: str
    system: str
    model: str
    router: str
    status: str
    result: str | None
    error: str | None
    tokens_in: int | None
    tokens_out: int | None
    latency_ms: int | None
    created: str
    finished: str | None


class _ListedModel(TypedDict):
    id: str
    """`router/model`."""
    context_length: int | None
    max_output: int | None
    free: bool
    can: NotRequired[list[str]]
    """Of the needs, what it is known to do; absent where nothing is known."""
    cannot: NotRequired[list[str]]


class ModelView(_ListedModel):
    """A row of `list_models`; prices are USD per million tokens, null where unknown."""

    price_in: float | None
    price_out: float | None


class CommandModel(_ListedModel):
    """A row of `models --json`: like `ModelView`, but prices are decimal numbers as text, as money is in receipts."""

    price_in: str | None
    price_out: str | None


class OpenAIModel(TypedDict):
    """OpenAI's model object, and what more is known; `created` is not, and so 0."""

    id: str
    object: str
    created: int
    owned_by: str
    name: NotRequired[str]
    context_length: NotRequired[int]
    max_output: NotRequired[int]
    free: bool
    capabilities: NotRequired[dict[str, bool]]
    """Need -> whether it can; what is not there is unknown."""
    capabilities_known_by: NotRequired[dict[str, str]]
    """Need -> list, catalog or refusal."""


class ApiModel(TypedDict):
    """A model in the words of `/api/*`."""

    id: str
    name: str
    context_length: int | None
    max_output: int | None


class ReceiptExtension(TypedDict):
    """The field `chomp` of an answer in OpenAI's shape."""

    router: str
    model: str
    latency_ms: int
    attempts: list[AttemptView]
    cost_usd: str | None
    notes: NotRequired[list[str]]


def iso(at: float) -> str:
    """Epoch seconds as ISO 8601 with milliseconds, in UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def job_head(job: Job) -> JobHead:
    """What can be told of a job at once."""
    return {"job_id": job.id, "status": job.status.value, "model": job.model, "router": job.router}


def job_view(job: Job) -> JobView:
    """A job in a list."""
    return {
        **job_head(job),
        "error": job.error or None,
        "created": iso(job.created_at),
        "finished": None if job.finished_at is None else iso(job.finished_at),
    }


def whole_job(job: Job) -> WholeJob:
    """A job by itself."""
    return {**job_view(job), "prompt": job.prompt, "system": job.system, "text": job.text, "receipt": job.receipt}


def command_job(job: Job) -> CommandJob:
    """A job for `--json`."""
    return {
        **job_head(job),
        "prompt": job.prompt,
        "text": job.text,
        "error": spoken(job.error, CLI),
        "receipt": job.receipt,
        "created_at": job.created_at,
        "finished_at": job.finished_at,
    }


def job_result(job: Job) -> JobResult:
    """A job for the `result` tool."""
    view: JobResult = {
        "job_id": job.id,
        "status": job.status.value,
        "text": job.text,
        "error": job.error or None,
        "receipt": job.receipt,
    }
    if job.images:
        view["images"] = list(job.images)
    return view


def api_job(job: Job) -> ApiJob:
    """A job for `/api/*`."""
    receipt = job.receipt
    return {
        "id": job.id,
        "prompt": job.prompt,
        "system": job.system,
        "model": job.model,
        "router": job.router,
        "status": job.status.value,
        "result": job.text or None,
        "error": spoken(job.error, HTTP) or None,
        "tokens_in": receipt["usage"]["input_tokens"] if receipt else None,
        "tokens_out": receipt["usage"]["output_tokens"] if receipt else None,
        "latency_ms": receipt["latency_ms"] if receipt else None,
        "created": iso(job.created_at),
        "finished": None if job.finished_at is None else iso(job.finished_at),
    }


def model_view(model: Model) -> ModelView:
    """A model for MCP."""
    view: ModelView = _listed_model(model, float)
    return view


def command_model(model: Model) -> CommandModel:
    """A model for `--json`."""
    view: CommandModel = _listed_model(model, plain_price)
    return view


def _listed_model(model: Model, priced: Callable[[Decimal], object]) -> Any:
    prices = {"price_in": model.price_in, "price_out": model.price_out}
    return {
        "id": model.ref,
        "context_length": model.context_length,
        "max_output": model.max_output,
        "free": model.free,
        **{name: None if price is None else priced(price) for name, price in prices.items()},
        **{name: sorted(needs) for name, needs in (("can", model.can), ("cannot", model.cannot)) if needs},
    }


def plain_price(price: Decimal | None) -> str | None:
    """USD per million tokens, exactly, without exponents or trailing zeros."""
    return None if price is None else format(price.normalize() + 0, "f")


def quota_line(quota: QuotaView, then: str = "") -> str:
    """What is left of one allowance, in words; `then` says when it is new."""
    of = f" of {quota['limit']}" if quota["limit"] is not None else ""
    per = f" a {quota['window']}" if quota["window"] else ""
    model = f"{quota['model']}: " if quota["model"] else ""
    return f"{model}{quota['remaining']}{of} {quota['kind']}{per}{then} ({quota['known']})"


def openai_model(model: Model, known_by: Mapping[str, str] | None = None) -> OpenAIModel:
    """A model for `/v1/models`; `known_by`: how it is known what it can."""
    view: OpenAIModel = {
        "id": model.ref,
        "object": "model",
        "created": 0,
        "owned_by": model.router or "chomp",
        "free": model.free,
    }
    if model.name:
        view["name"] = model.name
    if model.context_length:
        view["context_length"] = model.context_length
    if model.max_output:
        view["max_output"] = model.max_output
    if model.can or model.cannot:
        view["capabilities"] = {need: need in model.can for need in sorted(model.can | model.cannot)}
        view["capabilities_known_by"] = dict(known_by or {})
    return view


def api_model(model: Model, shown_id: str) -> ApiModel:
    """`shown_id`: the ref, or within one router's list the id that the router itself uses."""
    return {
        "id": shown_id,
        "name": model.name or model.id,
        "context_length": model.context_length,
        "max_output": model.max_output,
    }


def receipt_extension(receipt: Receipt) -> ReceiptExtension:
    """The receipt beside an answer in OpenAI's shape."""
    router, _, model = receipt.served.partition("/")
    view: ReceiptExtension = {
        "router": router,
        "model": model,
        "latency_ms": receipt.latency_ms,
        "attempts": [attempt.as_dict() for attempt in receipt.attempts],
        "cost_usd": receipt.cost,
    }
    if receipt.notes:
        view["notes"] = list(receipt.notes)
    return view


class TokenView(TypedDict):
    """A caller's token as its owner sees it: whose it is and what it may, never what it is."""

    id: str
    """How its SHA-256 begins."""
    name: str
    models: list[str]
    """Patterns; empty: all."""
    doors: list[str]
    """Empty: all."""
    daily: str | None
    """USD."""
    monthly: str | None
    rps: float | None
    expires: str | None
    """ISO 8601, UTC."""
    created: str
    used: str | None
    """When it was last seen, within minutes."""


def token_view(token: Token) -> TokenView:
    """What `tokens list` and GET /api/tokens tell."""
    grant = token.grant
    return {
        "id": token.caller_id[:SHOWN_ID],
        "name": grant.name,
        "models": list(grant.models),
        "doors": list(grant.doors),
        "daily": None if grant.daily is None else str(grant.daily),
        "monthly": None if grant.monthly is None else str(grant.monthly),
        "rps": grant.rps,
        "expires": None if grant.expires_at is None else iso(grant.expires_at),
        "created": token.created,
        "used": token.used or None,
    }


SHOWN_ID = 12
"""Characters of a caller's id that lists show; whoever means that token types no more of it."""
