"""What the tools answer: plain short text for the model, structured content for programs, the schemas of the latter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mcp.types import CallToolResult, TextContent

from chomp_mcp import wire
from chomp_mcp.doors.mcp.hosts import Host
from chomp_mcp.doors.views import job_head, job_result, model_view
from chomp_mcp.messages import Job, JobStatus, receipt_line
from chomp_mcp.policy.shown import one_line, shown

if TYPE_CHECKING:
    from chomp_mcp.gateway.model_pages import ModelPage
    from chomp_mcp.gateway.status import StatusView


MOST_TRAILER = 58
"""A short answer costs at most 60 bytes more than itself, blank line included, unless something must be told."""
MOST_NOTE = 300


def tool_result(text: str, /, **structured: Any) -> CallToolResult:
    """One text block, which hosts that read text show, and the structured content for all others."""
    # One, because hosts glue several together, show the first alone, or print a list of them. What could drive their
    # terminal is made visible in the text; the structure, which is for programs, has every character as it came.
    said = TextContent(type="text", text=shown(utf8(text)))
    return CallToolResult(content=[said], structured_content=utf8(structured))


def utf8(value: Any) -> Any:
    """The same JSON without lone surrogates (half an emoji, as some models send it), which UTF-8 cannot carry."""
    return value if wire.is_utf8(value) else _mended(value)


def _mended(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case Mapping():
            return {_mended(name): _mended(inner) for name, inner in value.items()}
        case list() | tuple():
            return [_mended(inner) for inner in value]
        case _:
            return value


def asked(job: Job, host: Host) -> CallToolResult:
    """`ask`: the answer; or, past the deadline, where the rest will be and the text so far."""
    status = "done" if job.status.is_final else "running"
    job_id = job.id if job.process or status == "running" else ""
    words = _in_words(job, host)
    images = {"images": list(job.images)} if job.images else {}
    return _of_job(job, host, words, status=status, text=job.text, job_id=job_id, receipt=job.receipt, **images)


def dispatched(job: Job, host: Host) -> CallToolResult:
    """`dispatch`: the job's id, and how to collect it."""
    words = f"Job {job.id} is {job.status} for {job.model or 'the first model that answers'}. {_collect(job)}"
    return _of_job(job, host, words, **job_head(job))


def collected(job: Job, host: Host) -> CallToolResult:
    """`result`: a finished job's answer; or where it stands, and the text so far."""
    return _of_job(job, host, _in_words(job, host), **job_result(job))


def settled(job: Job, host: Host) -> CallToolResult:
    """What a task ends with: it fits the schemas of `ask`, `dispatch` and `result`, whichever began it."""
    result = _of_job(job, host, _in_words(job, host), **{**job_head(job), **job_result(job)})
    return result.model_copy(update={"is_error": True}) if job.status is JobStatus.ERROR else result


def unfinished(result: CallToolResult) -> str:
    """The id of the job that a result tells as not finished; empty for any other result."""
    job = (result.meta or {}).get("chomp/job") or result.structured_content or {}
    return str(job["job_id"]) if job.get("status") in {JobStatus.QUEUED, JobStatus.RUNNING} else ""


def _of_job(job: Job, host: Host, words: str, **structured: Any) -> CallToolResult:
    """For a host that would show JSON in its place, the text stands alone; programs find the rest in `_meta`."""
    result = tool_result(words, **structured)
    if not host.takes_text_alone:
        return result
    job_id, status = structured["job_id"], structured["status"]
    meta = {"chomp/job": {"job_id": job_id, "status": status, "model": job.model, "router": job.router}}
    if job.receipt:
        meta["chomp/receipt"] = dict(job.receipt)
    return CallToolResult(content=result.content, _meta=utf8(meta))


def _in_words(job: Job, host: Host) -> str:
    """The answer and who gave it. Of any other job the first words say that this is no answer."""
    # The last line is always ours, whatever a model wrote above it: a receipt that it forged, or a state.
    if job.status is JobStatus.DONE:
        return f"{job.text}\n\n{one_line(_receipt(job, host))}"
    if job.status is JobStatus.ERROR:
        state = f"Job {job.id} failed: {job.error}"
    elif job.status is JobStatus.CANCELLED:
        state = f"Job {job.id} was cancelled."
    else:
        state = f"Still {job.status} as job {job.id}. {_collect(job)}"
    return f"{state}\n\nIts text so far, unfinished:\n{job.text}\n\n(job {job.id}: {job.status})" if job.text else state


def _collect(job: Job) -> str:
    return f'Call result(job_id="{job.id}", wait_seconds=30) to collect it.'


def _receipt(job: Job, host: Host) -> str:
    """A line; for a host where each answer's bytes were counted, the model alone and what must be told."""
    if not job.receipt:
        return job.model or "no receipt"
    if not host.takes_text_alone:
        return receipt_line(job.receipt)
    notes = [_cut(note, MOST_NOTE) for note in job.receipt.get("notes", [])]
    for parts in ([job.receipt["served"], *notes], notes):
        line = " · ".join(parts)
        if parts and len(line.encode()) <= MOST_TRAILER:
            return line
    return " · ".join([_cut(job.receipt["served"], MOST_TRAILER - 3), *notes])


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def models_listed(page: ModelPage) -> CallToolResult:
    """`list_models`: a line for each model, then the routers that failed, then how to read on."""
    lines = [f"{group.ref} · group of {group.name}" for group in page.groups]
    for model in page.models:
        parts = [model.ref]
        if model.context_length:
            parts.append(f"{model.context_length // 1000}k context")
        if model.free:
            parts.append("free")
        elif model.price_in is not None and model.price_out is not None:
            # `normalize` takes off zeros, and `f` keeps it from writing 1E+1.
            parts.append(f"${model.price_in.normalize():f} in, ${model.price_out.normalize():f} out per million")
        if model.can:
            parts.append(", ".join(sorted(model.can)))
        lines.append(" · ".join(parts))
    lines = lines or ["No model fits."]
    lines += [f"{router}: {why}" for router, why in page.errors.items()]
    if page.unknown:
        lines.append(f"{page.unknown} more do not say whether they can.")
    if page.next_cursor:
        lines.append(f'More: list_models(cursor="{page.next_cursor}") with the same filters.')
    return tool_result(
        "\n".join(map(one_line, lines)),
        models=[model_view(model) for model in page.models],
        next_cursor=page.next_cursor,
        errors=dict(page.errors),
        **({"groups": [group.ref for group in page.groups]} if page.groups else {}),
    )


def status_shown(status: StatusView) -> CallToolResult:
    """`status`: the routers that can be used or are resting, those without a key, spend, jobs."""
    routers = status["routers"]
    lines = []
    for router, its in routers.items():
        if its["key"] or its["ready"]:
            ready = "ready" if its["key"] else "needs no key"
            parts = [ready if its["ready"] else f"resting until {its['cooldown_until']} ({its['reason']})"]
            for row in its["quota"]:
                if row["remaining"] is not None:
                    whose = f"{row['model']}: " if row["model"] else ""
                    window = f" a {row['window']}" if row["window"] else ""
                    parts.append(f"{whose}{row['remaining']} {row['kind']} left{window} ({row['known']})")
            lines.append(f"{router}: {', '.join(parts)}")
    keyless = [router for router, its in routers.items() if its["key"] is False]  # None: it needs none
    if keyless:
        lines.append(f"No key: {', '.join(keyless)}. register_keys adds one.")
    spend = status["spend"]
    day, month = spend["daily_budget_usd"], spend["monthly_budget_usd"]
    lines.append(
        f"Spent today ${spend['today_usd']}{f' of ${day}' if day else ''}, "
        f"this month ${spend['month_usd']}{f' of ${month}' if month else ''}."
    )
    if "trouble" in status:
        lines.append(status["trouble"])
    lines += [f"{job['job_id']}: {job['status']}, {job['model']}" for job in status["jobs"]]
    return tool_result("\n".join(map(one_line, lines)), **status)


def _schema(required: Sequence[str] = (), **properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required or properties)}


def _maybe(kind: str) -> dict[str, Any]:
    """Branches with one type each: some clients know no lists of types."""
    return {"anyOf": [{"type": kind}, {"type": "null"}]}


_TEXT = {"type": "string"}
_MAYBE_TEXT = _maybe("string")
_MAYBE_WHOLE = _maybe("integer")
_MAYBE_NUMBER = _maybe("number")
_STATUS = {"enum": [str(status) for status in JobStatus], "type": "string"}
_RECEIPT = {**_maybe("object"), "description": "asked, served, attempts, usage, cost_usd, latency_ms"}
_TEXT_OF_ROUTER = {"type": "object", "additionalProperties": _TEXT}
_MODEL = _schema(
    ["id", "context_length", "max_output", "free", "price_in", "price_out"],
    id=_TEXT,
    context_length=_MAYBE_WHOLE,
    max_output=_MAYBE_WHOLE,
    free={"type": "boolean"},
    price_in=_MAYBE_NUMBER,
    price_out=_MAYBE_NUMBER,
    can={"type": "array", "items": _TEXT},
    cannot={"type": "array", "items": _TEXT},
)

OUTPUTS: Mapping[str, dict[str, Any]] = {
    "ask": _schema(status={"enum": ["done", "running"], "type": "string"}, text=_TEXT, job_id=_TEXT, receipt=_RECEIPT),
    "dispatch": _schema(job_id=_TEXT, status=_STATUS, model=_TEXT, router=_TEXT),
    "result": _schema(job_id=_TEXT, status=_STATUS, text=_TEXT, error=_MAYBE_TEXT, receipt=_RECEIPT),
    "list_models": _schema(models={"type": "array", "items": _MODEL}, next_cursor=_TEXT, errors=_TEXT_OF_ROUTER),
    "register_keys": _schema(["routers"], routers=_TEXT_OF_ROUTER, page_url=_TEXT, message=_TEXT),
    "status": {"type": "object"},
}
"""JSON schemas of the structured results, by tool."""
