"""Status, headers, body -> FailureKind: all we believe about routers' errors.

The first row of `_TABLE` that fits decides. What the body names and says comes before the status: Zen answers 401 for
an empty purse, OpenRouter 402 for too many requests at once, SambaNova 400 for an unknown model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from chomp_mcp.dialects.values import as_mapping
from chomp_mcp.messages import Failed, FailureKind
from chomp_mcp.routers import quota_headers
from chomp_mcp.routers.envelopes import ErrorFacts, parsed, read
from chomp_mcp.routers.waits import seconds_in_body, seconds_in_words


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
    why: str = ""

    def fits(self, facts: ErrorFacts) -> bool:
        return (
            (not self.statuses or facts.status in self.statuses)
            and (not self.names or not self.names.isdisjoint(facts.names))
            and (self.says is None or self.says.search(facts.message) is not None)
        )


def _row(
    kind: FailureKind, *statuses: int | None, names: str = "", says: str = "", scope: str = "", why: str = ""
) -> _Row:
    pattern = re.compile(says, re.IGNORECASE | re.DOTALL) if says else None
    return _Row(kind, frozenset(statuses), frozenset(names.split()), pattern, scope, why)


_K = FailureKind

_KEY = r"(?:\b|_)(?:api[ _-]?key|key|token|credential|authentication|authorization)s?(?:\b|_)"
_IS_WRONG = (
    r"(?:invalid|not valid|incorrect|wrong|expired|revoked|disabled|deactivated|deleted|leaked|malformed|missing|"
    r"not (?:recogni[sz]ed|found|exist|active)|no longer (?:active|valid)|fail(?:s|ed)|unknown)"
)
_KEY_IS_WRONG = rf"{_KEY}.{{0,60}}\b{_IS_WRONG}\b|\b{_IS_WRONG}\b.{{0,30}}{_KEY}|\bno (?:auth|api key|credentials)\b"
"""The body says that the key itself is at fault, in either order: `Incorrect API key`, `Your key has expired`."""

_NOT_THERE = (400, 401, 403, 404, 422, None)
"""What routers answer for a model that they do not have. Zen makes a 400 of its routers' 404."""
_ENDED = r"(decommissioned|deprecated|retired|disabled|shut down)"

_TABLE: tuple[_Row, ...] = (
    # Limits of all free models together (OpenRouter: 50 or 1,000 a day per account, 20 a minute; Zen: by IP, daily).
    _row(_K.QUOTA, names="openrouter_free_tier_daily freeusagelimiterror", scope="free"),
    _row(_K.QUOTA, says=r"free-models-per-day", scope="free"),
    _row(_K.RATE_LIMITED, says=r"free-models-per-min", scope="free"),
    # OpenRouter's 402 for more money in flight than the credit covers: over as soon as the others have ended.
    _row(_K.RATE_LIMITED, names="openrouter_in_flight_budget in_flight_budget_exhausted weight_exceeds_budget"),
    # A purse of somebody behind the router: its other models are not touched.
    _row(_K.QUOTA, 402, names="upstream_provider", scope="model"),
    # An OpenRouter account without credit still has the free models, so that the model rests, not the key.
    _row(_K.QUOTA, names="openrouter_credits", scope="model"),
    _row(_K.QUOTA, 402, says=r"openrouter\.ai/\S*credits", scope="model"),
    # Zen says 401 or 403 to all of these, none of them about the key (opencode, routes/zen/util/handler.ts).
    _row(_K.NO_SUCH_MODEL, names="modelerror freetiererror"),
    _row(_K.NO_SUCH_MODEL, names="missingsessionid"),  # Zen alone asks for it: another router may answer
    _row(_K.QUOTA, names="creditserror monthlylimiterror userlimiterror"),
    # Moderation: the same words offend everywhere. Before the 403 of refusals.
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
    # Models that are not there, or not for this account.
    _row(_K.NO_SUCH_MODEL, 410),
    _row(_K.NO_SUCH_MODEL, names="model_not_found model_decommissioned model_deprecated model_not_active not_found"),
    _row(_K.NO_SUCH_MODEL, names="not_found_error no_endpoints free_variant_ended privacy_restricted"),
    _row(_K.NO_SUCH_MODEL, names="model_permission_blocked_org model_permission_blocked_project"),
    # An empty purse or a spending limit: Anthropic says 400 to it, Zen 401, OpenRouter 403.
    _row(_K.QUOTA, *(400, 401, 403, None), says=r"credit balance|insufficient (balance|credit|fund)|payment method"),
    _row(_K.QUOTA, 403, says=r"budget|spending|limit exceeded"),
    # What is refused here and may be well elsewhere, on the same key too (hermes PR 76637, Roo #6459, opencode #14252):
    # where we are, what nobody agreed to, a key of another company, who stands behind the router, the account's plan.
    _row(_K.REFUSED_HERE, names="unsupported_country_region_territory regionerror user_location_invalid", why="region"),
    _row(_K.REFUSED_HERE, 401, 403, 451, None, says=r"\b(regions?|countr(y|ies)|territor(y|ies))\b", why="region"),
    _row(_K.REFUSED_HERE, 401, 403, 451, None, says=r"\b(locations?|jurisdiction|geo\w*)\b", why="region"),
    _row(_K.REFUSED_HERE, 400, 404, says=r"(location|country|region) is not supported", why="region"),
    _row(_K.REFUSED_HERE, 400, 404, says=r"in your (country|region)\b", why="region"),
    _row(_K.REFUSED_HERE, 451, why="region"),
    _row(_K.REFUSED_HERE, names="model_terms_required terms_not_accepted", why="terms"),
    _row(_K.REFUSED_HERE, 400, 401, 403, says=r"\bterms\b.{0,60}\b(accept\w*|agree\w*|service|use)\b", why="terms"),
    _row(
        _K.REFUSED_HERE, 400, 401, 403, says=r"\b(accept|agree)\w*.{0,60}\b(terms|agreement|licen[cs]e)\b", why="terms"
    ),
    _row(_K.REFUSED_HERE, *range(400, 405), says=r"\bbyok\b|bring your own|\bown (\w+ ){0,2}key\b", why="byok"),
    _row(_K.REFUSED_HERE, *range(400, 405), says=r"\brequir\w+ an? (\w+ ){0,2}key\b", why="byok"),
    _row(_K.CALLER_FAULT, 403, says=r"moderation|flagged|guardrail|content policy"),
    _row(_K.REFUSED_HERE, 401, 403, says=r"\b(network|firewall|vpn|proxy|ip( address\w*)?)\b", why="network"),
    _row(_K.REFUSED_HERE, 401, 403, says=r"\b(allow-?list\w*|whitelist\w*)\b", why="network"),
    _row(_K.REFUSED_HERE, 401, 403, names="upstream_provider", why="provider"),
    _row(_K.REFUSED_HERE, 401, 403, says=r"provider returned|\bupstream\b|error from provider", why="provider"),
    _row(_K.BAD_KEY, 401, 403, says=r"\bkey\b.{0,60}\b(leaked|revoked|expired)\b"),  # Google, 403 PERMISSION_DENIED
    _row(_K.REFUSED_HERE, 401, 403, says=r"\b(plan|subscription|tier|upgrade|permissions?|scopes?)\b", why="plan"),
    _row(_K.REFUSED_HERE, 401, 403, says=r"\b(entitle\w+|waitlist|(early|preview) access)\b", why="plan"),
    _row(_K.REFUSED_HERE, 401, says=r"\buser not found\b"),  # OpenRouter, for minutes, of keys that are well
    _row(_K.NO_SUCH_MODEL, *_NOT_THERE, says=r"is not a valid model|no endpoints found|(no such|unknown) model"),
    _row(_K.NO_SUCH_MODEL, *_NOT_THERE, says=r"\bmodel\b.{0,160}\b(does not exist|not found|not deployed|not loaded)"),
    _row(_K.NO_SUCH_MODEL, *_NOT_THERE, says=r"\bmodel\b.{0,160}\b(is not|no longer) available"),
    _row(_K.NO_SUCH_MODEL, *_NOT_THERE, says=rf"\bmodel\b.{{0,160}}\b(has been|is|was) {_ENDED}"),
    # Used up until a reset. Groq names the model, since it counts by model; others rest by what the router counts by.
    _row(_K.QUOTA, 429, None, says=r"for model\b.*\bper day\b|for model\b.*\([rt]pd\)", scope="model"),
    _row(_K.QUOTA, 429, None, says=r"\bper[ -](day|month)\b|\b(daily|monthly)\b|\([rt]pd\)"),
    # SambaNova's word for a rate limit; OpenAI means the purse, and its text speaks of no rate.
    _row(_K.RATE_LIMITED, 429, names="insufficient_quota", says=r"rate.?limit|per[ -](minute|second|hour)"),
    _row(_K.QUOTA, names="insufficient_quota billing_error billing_not_active billing_hard_limit_reached", scope="key"),
    _row(_K.QUOTA, names="payment_required payment_method_required openrouter_key_limit"),
    # Too many, for the moment: of this model for everybody (SambaNova, Cerebras, OpenRouter's providers), or of us.
    _row(_K.RATE_LIMITED, 429, None, names="queue_full queue_exceeded", scope="model"),
    _row(_K.RATE_LIMITED, 429, None, says=r"rate-limited upstream|high (demand|traffic)", scope="model"),
    _row(_K.RATE_LIMITED, names="rate_limit_exceeded rate_limit_error ratelimiterror"),
    _row(_K.RATE_LIMITED, names="too_many_requests too_many_requests_error resource_exhausted"),
    _row(_K.RATE_LIMITED, None, says=r"too many requests|rate.?limit"),
    # The key, only where the body says so.
    _row(_K.BAD_KEY, names="invalid_api_key wrong_api_key incorrect_api_key api_key_invalid api_key_expired autherror"),
    _row(_K.BAD_KEY, names="authentication_error authentication invalid_authentication invalid_authentication_error"),
    _row(_K.BAD_KEY, names="missing_api_key expired_api_key token_expired"),
    _row(_K.BAD_KEY, 400, says=r"(invalid|incorrect|expired|wrong) api[ _-]?key|api[ _-]?key (not valid|expired)"),
    _row(_K.BAD_KEY, 401, 403, None, says=_KEY_IS_WRONG),
    _row(_K.REFUSED_HERE, None, names="permission_error permission_denied forbidden unauthorized", why="plan"),
    # Inside a stream or a 200 there is often no status to go by.
    _row(_K.CALLER_FAULT, None, names="invalid_request_error invalid_request unprocessable wrong_api_format"),
    _row(_K.TRANSIENT, None),
    # The status alone.
    _row(_K.REFUSED_HERE, 401, 403),
    _row(_K.QUOTA, 402, 412),  # 412: Fireworks suspends the account
    _row(_K.NO_SUCH_MODEL, 404),
    _row(_K.TRANSIENT, 408, 409, 425, 498, 499),  # 498: Groq's flex tier is full; 499: it believes that we left
    _row(_K.RATE_LIMITED, 429),
    _row(_K.CALLER_FAULT, *range(400, 500)),
    _row(_K.TRANSIENT),  # 5xx, the 520s and 529 among them; a redirect; a 200 with an error and no more said
)


def _verdict(facts: ErrorFacts, headers: Mapping[str, str], now: float) -> Failed:
    row = next(row for row in _TABLE if row.fits(facts))
    wait: float | None = None
    if row.kind in _WAITS:
        # By the headers, by their copy in the body (OpenRouter copies its providers' limits, and its own, to
        # `metadata.headers`), by its fields, by its words.
        copied = {str(name).lower(): str(value) for name, value in as_mapping(facts.details.get("headers")).items()}
        waits: Iterable[float | None] = (
            quota_headers.retry_after(headers, now),
            quota_headers.retry_after(copied, now),
            seconds_in_body((facts.error, facts.beside), now),
            seconds_in_words(facts.message, now),
        )
        wait = next((each for each in waits if each is not None), None)
    return Failed(row.kind, facts.message, facts.status, wait, facts.error, row.scope, row.why)


_WAITS = frozenset({FailureKind.TRANSIENT, FailureKind.RATE_LIMITED, FailureKind.QUOTA})
