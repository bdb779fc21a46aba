"""A job, a model and a receipt as JSON, once for every door: each function gives one shape.

What `status` gives is shaped where it is made, in `gateway/status.py`; a receipt in `messages/receipt.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from chomp_mcp.doors.words import CLI, HTTP, spoken
from chomp_mcp.gateway.status import QuotaView
from chomp_mcp.messages import Job, Model, Receipt
from chomp_mcp.store.keyring import Token

__all__ = [
    "View",
    "command_job",
    "command_model",
    "iso",
    "job_head",
    "job_result",
    "job_view",
    "model_view",
    "openai_model",
    "plain_price",
    "quota_line",
    "receipt_extension",
    "seed_job",
    "seed_model",
    "token_view",
    "whole_job",
]


View = dict[str, Any]
"""A JSON object."""


def iso(at: float) -> str:
    """Epoch seconds as ISO 8601 with milliseconds, in UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def job_head(job: Job) -> View:
    """What can be told of a job at once: where it stands, and the `router/model` that answers or is tried first."""
    return {"job_id": job.id, "status": job.status.value, "model": job.model, "router": job.router}


def job_view(job: Job) -> View:
    """A job in a list: without its texts."""
    return {
        **job_head(job),
        "error": job.error or None,
        "created": iso(job.created_at),
        "finished": None if job.finished_at is None else iso(job.finished_at),
    }


def whole_job(job: Job) -> View:
    """A job by itself; `text` is partial while it runs."""
    return {**job_view(job), "prompt": job.prompt, "system": job.system, "text": job.text, "receipt": job.receipt}


def command_job(job: Job) -> View:
    """A job for `--json`: times are epoch seconds, `error` is empty where there is none."""
    return {
        **job_head(job),
        "prompt": job.prompt,
        "text": job.text,
        "error": spoken(job.error, CLI),
        "receipt": job.receipt,
        "created_at": job.created_at,
        "finished_at": job.finished_at,
    }


def job_result(job: Job) -> View:
    """A job for the `result` tool; `images` are URLs of the answer's pictures, mostly `data:` ones."""
    return {
        "job_id": job.id,
        "status": job.status.value,
        "text": job.text,
        "error": job.error or None,
        "receipt": job.receipt,
        **({"images": list(job.images)} if job.images else {}),
    }


def seed_job(job: Job) -> View:
    """A job in the words of the seed "chomp", which `/api/*` speaks; `result` is partial while it runs."""
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


def model_view(model: Model, priced: Callable[[Decimal], object] = float) -> View:
    """A row of `list_models`; prices are USD per million tokens, null where unknown."""
    prices = {"price_in": model.price_in, "price_out": model.price_out}
    return {
        "id": model.ref,
        "context_length": model.context_length,
        "max_output": model.max_output,
        "free": model.free,
        **{name: None if price is None else priced(price) for name, price in prices.items()},
        # Of the needs; what is in neither is unknown.
        **{name: sorted(needs) for name, needs in (("can", model.can), ("cannot", model.cannot)) if needs},
    }


def command_model(model: Model) -> View:
    """A row of `models --json`: prices are decimal numbers as text, as money is in receipts."""
    return model_view(model, plain_price)


def plain_price(price: Decimal | None) -> str | None:
    """USD per million tokens, exactly, without exponents or trailing zeros."""
    return None if price is None else format(price.normalize() + 0, "f")


def quota_line(quota: QuotaView, then: str = "") -> str:
    """What is left of one allowance, in words; `then` says when it is new."""
    of = f" of {quota['limit']}" if quota["limit"] is not None else ""
    per = f" a {quota['window']}" if quota["window"] else ""
    model = f"{quota['model']}: " if quota["model"] else ""
    return f"{model}{quota['remaining']}{of} {quota['kind']}{per}{then} ({quota['known']})"


def openai_model(model: Model, known_by: Mapping[str, str] | None = None) -> View:
    """OpenAI's model object, and what more is known; `known_by`: need -> list, catalog or refusal."""
    view: View = {
        "id": model.ref,
        "object": "model",
        "created": 0,  # nobody knows
        "owned_by": model.router or "chomp",
        "free": model.free,
    }
    more = {"name": model.name, "context_length": model.context_length, "max_output": model.max_output}
    view |= {name: value for name, value in more.items() if value}
    if model.can or model.cannot:
        view["capabilities"] = {need: need in model.can for need in sorted(model.can | model.cannot)}
        view["capabilities_known_by"] = dict(known_by or {})
    return view


def seed_model(model: Model, shown_id: str) -> View:
    """A model in the seed's words; `shown_id`: the ref, or in one router's list the id that the router itself uses."""
    return {
        "id": shown_id,
        "name": model.name or model.id,
        "context_length": model.context_length,
        "max_output": model.max_output,
    }


def receipt_extension(receipt: Receipt) -> View:
    """The receipt beside an answer in OpenAI's shape, in the field `chomp`."""
    router, _, model = receipt.served.partition("/")
    return {
        "router": router,
        "model": model,
        "latency_ms": receipt.latency_ms,
        "attempts": [attempt.as_dict() for attempt in receipt.attempts],
        "cost_usd": receipt.cost,
        **({"notes": list(receipt.notes)} if receipt.notes else {}),
    }


def token_view(token: Token) -> View:
    """What `tokens list` and GET /api/tokens tell: whose a token is and what it may, never what it is."""
    grant = token.grant
    return {
        "id": token.caller_id[:SHOWN_ID],  # how its SHA-256 begins
        "name": grant.name,
        "models": list(grant.models),  # patterns; empty, here and below: all
        "doors": list(grant.doors),
        "daily": None if grant.daily is None else str(grant.daily),
        "monthly": None if grant.monthly is None else str(grant.monthly),
        "rps": grant.rps,
        "expires": None if grant.expires_at is None else iso(grant.expires_at),
        "created": token.created,
        "used": token.used or None,  # within minutes
    }


SHOWN_ID = 12
