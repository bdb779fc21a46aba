"""Status, headers, body -> FailureKind: all we believe about routers' errors.

The first row of `_TABLE` that fits decides. What the body names and says comes before the status: Zen answers 401 for
an empty purse, OpenRouter 402 for too many requests at once, SambaNova 400 for an unknown model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from chomp_mcp.messages import Failed, FailureKind
from chomp_mcp.routers import quota_headers
from chomp_mcp.routers.envelopes import Told, parsed, read

__all__ = ["judge", "judge_error"]

LONGEST_WAIT_SECONDS = 31 * 86_400.0
"""More is no wait but a moment, read without a clock."""


def judge(status: int, headers: Mapping[str, str], body: bytes, now: float) -> Failed:
    """An answer that is an error, by its status or by its body; `headers` have lower-case names, `now` is epoch s."""
    return _verdict(read(parsed(body), status), headers, now)


def judge_error(error: Any, status: int | None, now: float) -> Failed:
    """An error object (or text) inside a stream or a 200; `status` is what the router wrote beside it, if it did."""
    return _verdict(read({"error": error}, status), {}, now)


@dataclass(frozen=True, slots=True)
class _Row:
    """One belief. Whatever is given must fit: one of the statuses, one of the names, the words of the message."""

    kind: FailureKind
    statuses: frozenset[int | None] = frozenset()
    names: frozenset[str] = frozenset()
    says: re.Pattern[str] | None = None
    scope: str = ""

    def fits(self, told: Told) -> bool:
        return (
            (not self.statuses or told.status in self.statuses)
            and (not self.names or not self.names.isdisjoint(told.names))
            and (self.says is None or self.says.search(told.message) is not None)
        )


def _row(kind: FailureKind, *statuses: int | None, names: str = "", says: str = "", scope: str = "") -> _Row:
    pattern = re.compile(says, re.IGNORECASE | re.DOTALL) if says else None
    return _Row(kind, frozenset(statuses), frozenset(names.split()), pattern, scope)


_K = FailureKind

_TABLE: tuple[_Row, ...] = (
    # Limits of all free models together (OpenRouter: 50 or 1,000 a day per account, 20 a minute; Zen: by IP, daily).
    _row(_K.QUOTA, names="openrouter_free_tier_daily freeusagelimiterror", scope="free"),
    _row(_K.QUOTA, says=r"free-models-per-day", scope="free"),
    _row(_K.RATE_LIMITED, says=r"free-models-per-min", scope="free"),
    # OpenRouter's 402 for more money in flight than the credit covers: over as soon as the others have ended.
    _row(_K.RATE_LIMITED, names="openrouter_in_flight_budget in_flight_budget_exhausted weight_exceeds_budget"),
    # An OpenRouter account without credit still has the free models, so that the model rests, not the key.
    _row(_K.QUOTA, names="openrouter_credits", scope="model"),
    _row(_K.QUOTA, 402, says=r"openrouter\.ai/\S*credits", scope="model"),
    # Zen says 401 or 403 to all of these, none of them about the key (opencode, routes/zen/util/handler.ts).
    _row(_K.NO_SUCH_MODEL, names="modelerror freetiererror regionerror"),
    _row(_K.NO_SUCH_MODEL, names="missingsessionid"),  # Zen alone asks for it: another router may answer
    _row(_K.QUOTA, names="creditserror monthlylimiterror userlimiterror"),
    # Moderation: the same words offend everywhere. Before the 403 of bad keys.
    _row(_K.CALLER_FAULT, names="moderation content_policy_violation content_filter refusal invalid_prompt"),
    # Too long. Groq's 413 bears the code of a rate limit (the request alone exceeds the tokens of a minute).
    _row(_K.TOO_LONG, 413),
    _row(_K.TOO_LONG, names="context_length_exceeded token_limit_exceeded max_tokens_exceeded string_too_long"),
    _row(_K.TOO_LONG, names="payload_too_large request_too_large exceed_context_size_error"),
    _row(_K.TOO_LONG, 400, 422, None, says=r"context (length|window|size)|maximum context|(prompt|input) is too long"),
    _row(_K.TOO_LONG, 400, 422, None, says=r"too many (input |prompt )?tokens|reduce (the|your) (length|message)"),
    # OpenRouter's 404 for what this request asks of a model that is well: tools, parameters, modalities.
    _row(_K.CALLER_FAULT, names="constraint_filtered"),
    _row(_K.CALLER_FAULT, 404, None, says=r"no endpoints found that (can|support)"),
    # A 404 of no model: a wrong base URL, or a proxy's or tunnel's own page. A 403 page is a firewall's.
    _row(_K.TRANSIENT, names="unknown_url"),
    _row(_K.TRANSIENT, 404, names="html text nothing"),
    _row(_K.TRANSIENT, 404, says=r"^not found$"),
    _row(_K.TRANSIENT, 403, names="html"),
    # Models that are not there, or not for this account. Zen makes a 400 of its routers' 404.
    _row(_K.NO_SUCH_MODEL, 410),
    _row(_K.NO_SUCH_MODEL, names="model_not_found model_decommissioned model_deprecated model_not_active not_found"),
    _row(_K.NO_SUCH_MODEL, names="not_found_error no_endpoints free_variant_ended privacy_restricted"),
    _row(_K.NO_SUCH_MODEL, names="model_permission_blocked_org model_permission_blocked_project"),
    _row(
        _K.NO_SUCH_MODEL,
        *(400, 401, 403, 404, 422, None),
        says=r"is not a valid model|no endpoints found|(no such|unknown) model|"
        r"\bmodel\b.{0,160}\b(does not exist|not found|(is not|no longer) available|not deployed|not loaded|"
        r"(has been|is|was) (decommissioned|deprecated|retired|disabled|shut down))",
    ),
    # Used up until a reset. Groq names the model, since it counts by model.
    _row(_K.QUOTA, 429, None, says=r"for model\b.*\bper day\b|for model\b.*\([rt]pd\)", scope="model"),
    _row(_K.QUOTA, 429, None, says=r"\bper[ -](day|month)\b|\b(daily|monthly)\b|\([rt]pd\)"),
    # SambaNova's word for a rate limit; OpenAI means the purse, and its text speaks of no rate.
    _row(_K.RATE_LIMITED, 429, names="insufficient_quota", says=r"rate.?limit|per[ -](minute|second|hour)"),
    _row(_K.QUOTA, names="insufficient_quota billing_error billing_not_active billing_hard_limit_reached"),
    _row(_K.QUOTA, names="payment_required payment_method_required openrouter_key_limit"),
    # Anthropic says 400 to an empty purse, OpenRouter 403 to a key's or a guardrail's spending limit.
    _row(_K.QUOTA, 400, 401, 403, None, says=r"credit balance|insufficient (balance|credit|fund)|payment method"),
    _row(_K.QUOTA, 403, says=r"budget|spending|limit exceeded"),
    _row(_K.CALLER_FAULT, 403, says=r"moderation|flagged|guardrail|content policy"),
    # Too many, for the moment: of this model for everybody (SambaNova, Cerebras, OpenRouter's providers), or of us.
    _row(_K.RATE_LIMITED, 429, None, names="queue_full queue_exceeded", scope="model"),
    _row(_K.RATE_LIMITED, 429, None, says=r"rate-limited upstream|high (demand|traffic)", scope="model"),
    _row(_K.RATE_LIMITED, names="rate_limit_exceeded rate_limit_error ratelimiterror"),
    _row(_K.RATE_LIMITED, names="too_many_requests too_many_requests_error resource_exhausted"),
    _row(_K.RATE_LIMITED, None, says=r"too many requests|rate.?limit"),
    # The key.
    _row(_K.BAD_KEY, names="invalid_api_key wrong_api_key authentication_error authentication autherror"),
    _row(_K.BAD_KEY, names="invalid_authentication unauthorized permission_error permission_denied"),
    _row(
        _K.BAD_KEY, 400, 401, 403, None, says=r"(invalid|incorrect|expired|wrong) api[ _-]?key|api[ _-]?key not valid"
    ),
    _row(_K.QUOTA, 401, names="zen"),  # a class of Zen's that is new: rest, but do not ask for another key
    # Inside a stream or a 200 there is often no status to go by.
    _row(_K.CALLER_FAULT, None, names="invalid_request_error invalid_request unprocessable wrong_api_format"),
    _row(_K.TRANSIENT, None),
    # The status alone.
    _row(_K.BAD_KEY, 401, 403),
    _row(_K.QUOTA, 402, 412),  # 412: Fireworks suspends the account
    _row(_K.NO_SUCH_MODEL, 404),
    _row(_K.TRANSIENT, 408, 409, 425, 498, 499),  # 498: Groq's flex tier is full; 499: it believes that we left
    _row(_K.RATE_LIMITED, 429),
    _row(_K.CALLER_FAULT, *range(400, 500)),
    _row(_K.TRANSIENT),  # 5xx, the 520s and 529 among them; a redirect; a 200 with an error and no more said
)


def _verdict(told: Told, headers: Mapping[str, str], now: float) -> Failed:
    row = next(row for row in _TABLE if row.fits(told))
    wait = _wait(told, headers, now) if row.kind in _WAITS else None
    return Failed(row.kind, told.message, told.status, wait, told.error, row.scope)


_WAITS = frozenset({FailureKind.TRANSIENT, FailureKind.RATE_LIMITED, FailureKind.QUOTA})


def _wait(told: Told, headers: Mapping[str, str], now: float) -> float | None:
    """Seconds until it is worth another try: by the headers, by the copy of them in the body, by the words."""
    hints: Iterable[float | None] = (
        quota_headers.retry_after(headers, now),
        quota_headers.retry_after(_copied_headers(told.details), now),
        _number(told.details.get("retry_after_seconds")),
        _told_wait(told.message, now),
    )
    return next((hint for hint in hints if hint is not None and 0 <= hint <= LONGEST_WAIT_SECONDS), None)


def _copied_headers(details: Mapping[str, Any]) -> dict[str, str]:
    """OpenRouter copies the limits of its providers, and its own, to `metadata.headers`."""
    headers = details.get("headers")
    return {str(n).lower(): str(v) for n, v in headers.items()} if isinstance(headers, Mapping) else {}


_DURATION = re.compile(r"(?:again|retry) (?:in|after) ((?:\d+(?:\.\d+)?(?:ms|[dhms]))+)\b", re.IGNORECASE)
_SECONDS = re.compile(r"(?:again|retry) (?:in|after) (\d+(?:\.\d+)?) ?sec", re.IGNORECASE)


def _told_wait(message: str, now: float) -> float | None:
    """Groq: "Please try again in 5.289s"; others: "in 20 seconds"."""
    if found := _DURATION.search(message):
        until = quota_headers.parse_reset(found[1].lower(), now)
        return None if until is None else until - now
    found = _SECONDS.search(message)
    return float(found[1]) if found else None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LONGEST_WAIT_SECONDS:
        return None
    return float(value)
