"""What we believe about routers' errors, one row for each that is known, in the router's own words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chomp_mcp import wire
from chomp_mcp.messages import FailureKind
from chomp_mcp.routers.failures import judge, judge_error

NOW = 1_795_000_000.0
TRANSIENT, TIMEOUT, LIMITED, QUOTA, BAD_KEY, HERE, GONE, LONG, FAULT = (
    FailureKind.TRANSIENT,
    FailureKind.TIMEOUT,
    FailureKind.RATE_LIMITED,
    FailureKind.QUOTA,
    FailureKind.BAD_KEY,
    FailureKind.REFUSED_HERE,
    FailureKind.NO_SUCH_MODEL,
    FailureKind.TOO_LONG,
    FailureKind.CALLER_FAULT,
)


def openai(message="", type_="invalid_request_error", code=None, param=None):
    return {"error": {"message": message, "type": type_, "param": param, "code": code}}


def zen(type_, message=""):
    """Anthropic's envelope too."""
    return {"type": "error", "error": {"type": type_, "message": message}}


def openrouter(code, message="", **metadata):
    return {"error": {"code": code, "message": message, "metadata": metadata}, "user_id": "user_1"}


def cerebras(type_, code, message=""):
    return {"message": message, "type": type_, "param": "x", "code": code}


SESSION = (
    "Error from provider (Console Go): Request is missing x-opencode-session and cannot be routed efficiently. "
    "Please see https://opencode.ai/docs/go/#where-can-i-use-it"
)
FREE_TIER = "Error from provider (Console): OpenCode's free tier can only be used from within OpenCode"
GROQ_TPM = (
    "Rate limit reached for model `openai/gpt-oss-120b` in organization `org_1` service tier `on_demand` on tokens per "
    "minute (TPM): Limit 8000, Used 7900, Requested 500. Please try again in 5.289s. Need more tokens? Upgrade to Dev "
    "Tier today at https://console.groq.com/settings/billing"
)
GROQ_TPD = GROQ_TPM.replace("minute (TPM)", "day (TPD)").replace("5.289s", "2m59.56s")
GROQ_413 = (
    "Request too large for model `openai/gpt-oss-120b` in organization `org_1` on tokens per minute (TPM): "
    "Limit 8000, Requested 9000, please reduce your message size and try again."
)
OPENAI_QUOTA = "You exceeded your current quota, please check your plan and billing details."
OPENAI_RPM = (
    "Rate limit reached for gpt-5 in organization org-1 on requests per min (RPM): Limit 3. You can increase your rate "
    "limit by adding a payment method to your account at https://platform.openai.com/account/billing."
)
SAMBANOVA_GONE = "The requested model (Meta-Llama-3.1-405B-Instruct) is not available on SambaNova Cloud."
FIREWORKS_GONE = {
    "error": {
        "message": "Model not found, inaccessible, and/or not deployed",
        "param": "model",
        "code": "NOT_FOUND",
        "type": "error",
    },
    "request_id": "r",
}
ERRORS = [
    # OpenCode Zen
    ("zen: bad key", 401, zen("AuthError", "Invalid API key."), BAD_KEY, ""),
    ("zen: no credit", 401, zen("CreditsError", "No payment method. Add one."), QUOTA, ""),
    ("zen: balance", 401, zen("CreditsError", "Insufficient balance."), QUOTA, ""),
    ("zen: month", 401, zen("MonthlyLimitError", "Your workspace has reached its monthly limit."), QUOTA, ""),
    ("zen: user", 401, zen("UserLimitError", "You have reached your monthly limit."), QUOTA, ""),
    ("zen: unknown model", 401, zen("ModelError", "Model minimax-m2.5-free not supported"), GONE, ""),
    ("zen: wrong format", 401, zen("ModelError", "Model gpt-5 not supported for format oa-compat"), GONE, ""),
    ("zen: a class that is new", 401, zen("WorkspaceError", "Something about the workspace"), HERE, ""),
    ("zen: no session", 400, zen("MissingSessionID", SESSION), GONE, ""),
    ("zen: free tier", 403, zen("FreeTierError", FREE_TIER), GONE, ""),
    ("zen: region", 403, zen("RegionError", "Not available in your region"), HERE, ""),
    ("zen: free usage", 429, zen("FreeUsageLimitError", "Rate limit exceeded. Please try again later."), QUOTA, "free"),
    ("zen: too fast", 429, zen("RateLimitError", "Rate limit exceeded."), LIMITED, ""),
    ("zen: upstream's 404", 400, zen("error", "Error from provider: The model `x` does not exist"), GONE, ""),
    ("zen: passed-through purse", 402, openai("Insufficient Balance", "unknown_error"), QUOTA, ""),
    ("zen: abort", 499, zen("error", "aborted"), TRANSIENT, ""),
    ("zen: other", 500, zen("error", "Internal server error"), TRANSIENT, ""),
    # Groq
    ("groq: bad key", 401, openai("Invalid API Key", code="invalid_api_key"), BAD_KEY, ""),
    (
        "groq: no model",
        404,
        openai("The model `x` does not exist or you do not have access to it.", code="model_not_found"),
        GONE,
        "",
    ),
    (
        "groq: decommissioned",
        400,
        openai(
            "The model `llama3-70b` has been decommissioned and is no longer supported.", code="model_decommissioned"
        ),
        GONE,
        "",
    ),
    (
        "groq: blocked",
        403,
        openai("The model is blocked", "permissions_error", "model_permission_blocked_org"),
        GONE,
        "",
    ),
    ("groq: too large for a minute", 413, openai(GROQ_413, "tokens", "rate_limit_exceeded"), LONG, ""),
    ("groq: unprocessable", 422, openai("Failed to generate JSON", code="json_validate_failed"), FAULT, ""),
    ("groq: dependency", 424, openai("Error from a remote tool"), FAULT, ""),
    ("groq: tokens per minute", 429, openai(GROQ_TPM, "tokens", "rate_limit_exceeded"), LIMITED, ""),
    ("groq: tokens per day", 429, openai(GROQ_TPD, "tokens", "rate_limit_exceeded"), QUOTA, "model"),
    ("groq: flex capacity", 498, openai("Flex tier capacity exceeded", "capacity_exceeded"), TRANSIENT, ""),
    ("groq: cancelled", 499, openai("Request cancelled"), TRANSIENT, ""),
    ("groq: 500", 500, openai("Internal Server Error", "internal_server_error"), TRANSIENT, ""),
    ("groq: 502", 502, b"<html><body>Bad Gateway</body></html>", TRANSIENT, ""),
    ("groq: 503", 503, openai("Service Unavailable", "internal_server_error"), TRANSIENT, ""),
    ("groq: unsupported field", 400, openai("'logprobs' is not supported with this model"), FAULT, ""),
    ("groq: wrong path", 404, openai("Unknown request URL: POST /v1/x", code="unknown_url"), TRANSIENT, ""),
    ("groq: context", 400, openai("Please reduce the length of the messages or completion."), LONG, ""),
    # Cerebras
    ("cerebras: bad key", 401, cerebras("invalid_request_error", "wrong_api_key", "Wrong API Key"), BAD_KEY, ""),
    ("cerebras: bad key, nested", 401, {"error": cerebras("", "wrong_api_key")}, BAD_KEY, ""),
    ("cerebras: no card", 402, cerebras("payment_required_error", "payment_required"), QUOTA, ""),
    ("cerebras: forbidden", 403, cerebras("permission_error", None), HERE, ""),
    ("cerebras: no model", 404, cerebras("not_found_error", "model_not_found", "Model llama x not found"), GONE, ""),
    ("cerebras: 413", 413, cerebras("invalid_request_error", None), LONG, ""),
    ("cerebras: context", 400, cerebras("invalid_request_error", "context_length_exceeded", "Too long"), LONG, ""),
    ("cerebras: tools with a schema", 400, cerebras("invalid_request_error", "wrong_api_format"), FAULT, ""),
    (
        "cerebras: day",
        429,
        cerebras(
            "too_many_requests_error", "request_quota_exceeded", "Requests per day limit exceeded - high traffic."
        ),
        QUOTA,
        "",
    ),
    (
        "cerebras: minute",
        429,
        cerebras("too_many_requests_error", "token_quota_exceeded", "Tokens per minute limit exceeded"),
        LIMITED,
        "",
    ),
    (
        "cerebras: everybody",
        429,
        cerebras("too_many_requests_error", "queue_exceeded", "We're experiencing high traffic right now!"),
        LIMITED,
        "model",
    ),
    ("cerebras: 500", 500, cerebras("server_error", None), TRANSIENT, ""),
    ("cerebras: queue", 503, cerebras("server_error", "queue_timeout"), TRANSIENT, ""),
    # SambaNova
    ("sambanova: context", 400, openai("Requested tokens exceed", code="context_length_exceeded"), LONG, ""),
    ("sambanova: no model", 400, openai("Model not found", code="model_not_found"), GONE, ""),
    ("sambanova: type", 400, openai("Invalid type for messages", code="invalid_type"), FAULT, ""),
    ("sambanova: bad key", 401, openai("Unauthorized", code="invalid_api_key"), BAD_KEY, ""),
    ("sambanova: bad key, documented", 401, openai("Unauthorized", code="invalid_authentication"), BAD_KEY, ""),
    ("sambanova: no card", 402, openai("balance_units 0", code="PAYMENT_METHOD_REQUIRED"), QUOTA, ""),
    ("sambanova: slow", 408, openai("Request timed out", code="request_timeout"), TRANSIENT, ""),
    ("sambanova: gone", 410, openai(SAMBANOVA_GONE, code="model_deprecated"), GONE, ""),
    ("sambanova: rate", 429, openai("Rate limit exceeded", "insufficient_quota", "insufficient_quota"), LIMITED, ""),
    ("sambanova: queue", 429, openai("The queue is full", code="queue_full"), LIMITED, "model"),
    (
        "sambanova: demand",
        429,
        openai("The model is currently experiencing high demand", "rate_limit_exceeded"),
        LIMITED,
        "model",
    ),
    ("sambanova: 500", 500, openai("Unexpected", "server_error"), TRANSIENT, ""),
    ("sambanova: maintenance", 503, openai("Under maintenance"), TRANSIENT, ""),
    ("sambanova: 504", 504, b"", TRANSIENT, ""),
    # Fireworks
    ("fireworks: no model", 404, FIREWORKS_GONE, GONE, ""),
    ("fireworks: bad key", 401, {"error": {"message": "The API key you provided is invalid."}}, BAD_KEY, ""),
    ("fireworks: 402", 402, openai("Payment required"), QUOTA, ""),
    ("fireworks: 403", 403, openai("Forbidden"), HERE, ""),
    ("fireworks: 405", 405, openai("Method not allowed"), FAULT, ""),
    ("fireworks: 408", 408, openai("Timeout"), TRANSIENT, ""),
    ("fireworks: suspended", 412, openai("Account x is suspended, possibly due to a spending limit"), QUOTA, ""),
    ("fireworks: 413", 413, openai("Payload too large"), LONG, ""),
    ("fireworks: bare text", 429, {"error": "Too Many Requests", "message": "slow down"}, LIMITED, ""),
    ("fireworks: overloaded", 503, openai("Service Overloaded"), TRANSIENT, ""),
    ("fireworks: 520", 520, b"", TRANSIENT, ""),
    (
        "fireworks: prompt",
        400,
        openai("The prompt is too long: 200000, model maximum context length: 131072"),
        LONG,
        "",
    ),
    # OpenRouter
    ("openrouter: no such id", 400, openrouter(400, "thudm/glm-4-9b-chat is not a valid model ID"), GONE, ""),
    ("openrouter: user not found", 401, openrouter(401, "User not found."), HERE, ""),
    ("openrouter: bad key, by type", 401, openrouter(401, "No auth", error_type="authentication"), BAD_KEY, ""),
    ("openrouter: no credit", 402, openrouter(402, "Credits", limit_source="openrouter_credits"), QUOTA, "model"),
    (
        "openrouter: no credit, in words",
        402,
        openrouter(402, "Insufficient credits. Add more using https://openrouter.ai/settings/credits"),
        QUOTA,
        "model",
    ),
    ("openrouter: key's limit", 402, openrouter(402, "Limit", limit_source="openrouter_key_limit"), QUOTA, ""),
    ("openrouter: key's limit, 403", 403, openrouter(403, "Key limit exceeded (total limit)."), QUOTA, ""),
    ("openrouter: in flight", 402, openrouter(402, "x", limit_source="openrouter_in_flight_budget"), LIMITED, ""),
    ("openrouter: in flight, why", 402, openrouter(402, "x", reason="weight_exceeds_budget"), LIMITED, ""),
    ("openrouter: moderation", 403, openrouter(403, "No", reasons=["x"], flagged_input="y"), FAULT, ""),
    ("openrouter: guardrail", 403, openrouter(403, "Blocked by a guardrail"), FAULT, ""),
    ("openrouter: guardrail's budget", 403, openrouter(403, "Guardrail budget exhausted"), QUOTA, ""),
    ("openrouter: forbidden", 403, openrouter(403, "No", error_type="permission_denied"), HERE, ""),
    ("openrouter: refusal", 403, openrouter(403, "No", error_type="refusal"), FAULT, ""),
    ("openrouter: policy", 400, openrouter(400, "No", error_type="content_policy_violation"), FAULT, ""),
    ("openrouter: no endpoints", 404, openrouter(404, "No endpoints found for x/y."), GONE, ""),
    ("openrouter: no endpoints, by reason", 404, openrouter(404, "x", reason="no_endpoints"), GONE, ""),
    ("openrouter: gone", 404, openrouter(404, "x", reason="model_deprecated"), GONE, ""),
    ("openrouter: no longer free", 404, openrouter(404, "x", reason="free_variant_ended"), GONE, ""),
    ("openrouter: privacy", 404, openrouter(404, "No endpoints found", reason="privacy_restricted"), GONE, ""),
    ("openrouter: no tools", 404, openrouter(404, "No endpoints found that support tool use."), FAULT, ""),
    ("openrouter: filtered", 404, openrouter(404, "No endpoints found", reason="constraint_filtered"), FAULT, ""),
    ("openrouter: 408", 408, openrouter(408, "Timeout", error_type="timeout"), TRANSIENT, ""),
    ("openrouter: 413", 413, openrouter(413, "x", error_type="payload_too_large"), LONG, ""),
    ("openrouter: context", 400, openrouter(400, "x", error_type="context_length_exceeded"), LONG, ""),
    ("openrouter: output", 400, openrouter(400, "x", error_type="max_tokens_exceeded"), LONG, ""),
    ("openrouter: tokens", 400, openrouter(400, "x", error_type="token_limit_exceeded"), LONG, ""),
    ("openrouter: text", 400, openrouter(400, "x", error_type="string_too_long"), LONG, ""),
    (
        "openrouter: context, told by the provider",
        400,
        openrouter(400, "Provider returned error", raw="This model's maximum context length is 8192 tokens."),
        LONG,
        "",
    ),
    ("openrouter: prompt", 400, openrouter(400, "x", error_type="invalid_prompt"), FAULT, ""),
    ("openrouter: request", 400, openrouter(400, "x", error_type="invalid_request"), FAULT, ""),
    ("openrouter: 422", 422, openrouter(422, "x", error_type="unprocessable"), FAULT, ""),
    (
        "openrouter: free day",
        429,
        openrouter(429, "Rate limit exceeded: free-models-per-day-high-balance"),
        QUOTA,
        "free",
    ),
    (
        "openrouter: free day, by source",
        429,
        openrouter(429, "x", limit_source="openrouter_free_tier_daily"),
        QUOTA,
        "free",
    ),
    ("openrouter: free minute", 429, openrouter(429, "Rate limit exceeded: free-models-per-min"), LIMITED, "free"),
    (
        "openrouter: provider's limit",
        429,
        openrouter(429, "Provider returned error", raw="x/y:free is temporarily rate-limited upstream. Please retry"),
        LIMITED,
        "model",
    ),
    ("openrouter: too fast", 429, openrouter(429, "x", error_type="rate_limit_exceeded"), LIMITED, ""),
    ("openrouter: 500", 500, openrouter(500, "x", error_type="server"), TRANSIENT, ""),
    ("openrouter: 502", 502, openrouter(502, "x", error_type="provider_unavailable"), TRANSIENT, ""),
    ("openrouter: 503", 503, openrouter(503, "x", error_type="provider_overloaded"), TRANSIENT, ""),
    ("openrouter: 504", 504, openrouter(504, "x", error_type="timeout"), TRANSIENT, ""),
    ("openrouter: 524", 524, openrouter(524, "x", error_type="unmapped"), TRANSIENT, ""),
    ("openrouter: 529", 529, openrouter(529, "x", error_type="provider_overloaded"), TRANSIENT, ""),
    ("openrouter: 429 inside a 200", 200, openrouter(429, "Slow down"), LIMITED, ""),
    ("openrouter: 502 inside a 200, as a text", 200, openrouter("502", "Bad gateway"), TRANSIENT, ""),
    # Ollama
    ("ollama: not pulled", 404, openai('model "x" not found, try pulling it first', "not_found_error"), GONE, ""),
    ("ollama: not pulled, native", 404, {"error": "model 'x' not found"}, GONE, ""),
    ("ollama: wrong request", 400, openai("invalid message content type"), FAULT, ""),
    ("ollama: failed", 500, openai("llama runner process has terminated", "api_error"), TRANSIENT, ""),
    ("ollama: wrong path", 404, b"404 page not found", TRANSIENT, ""),
    # OpenAI
    ("openai: bad key", 401, openai("Incorrect API key provided: sk-abc***xyz.", code="invalid_api_key"), BAD_KEY, ""),
    ("openai: quota", 429, openai(OPENAI_QUOTA, "insufficient_quota", "insufficient_quota"), QUOTA, "key"),
    ("openai: per minute", 429, openai(OPENAI_RPM, "requests", "rate_limit_exceeded"), LIMITED, ""),
    ("openai: no model", 404, openai("The model `x` does not exist", code="model_not_found"), GONE, ""),
    (
        "openai: context",
        400,
        openai("This model's maximum context length is 8", code="context_length_exceeded"),
        LONG,
        "",
    ),
    (
        "openai: wrong field",
        400,
        openai("Use 'max_completion_tokens' instead.", code="unsupported_parameter"),
        FAULT,
        "",
    ),
    ("openai: conflict", 409, openai("Conflict"), TRANSIENT, ""),
    ("openai: too early", 425, openai("Too early"), TRANSIENT, ""),
    ("openai: overloaded", 503, openai("Overloaded", "server_error"), TRANSIENT, ""),
    # Anthropic
    ("anthropic: wrong", 400, zen("invalid_request_error", "max_tokens: Field required"), FAULT, ""),
    ("anthropic: thinking", 400, zen("invalid_request_error", "thinking.budget_tokens: too small"), FAULT, ""),
    ("anthropic: purse", 400, zen("invalid_request_error", "Your credit balance is too low"), QUOTA, ""),
    ("anthropic: long", 400, zen("invalid_request_error", "prompt is too long: 210000 tokens > 200000"), LONG, ""),
    ("anthropic: bad key", 401, zen("authentication_error", "invalid x-api-key"), BAD_KEY, ""),
    ("anthropic: billing", 402, zen("billing_error", "x"), QUOTA, "key"),
    ("anthropic: permission", 403, zen("permission_error", "x"), HERE, ""),
    ("anthropic: no model", 404, zen("not_found_error", "model: claude-9"), GONE, ""),
    ("anthropic: large", 413, zen("request_too_large", "x"), LONG, ""),
    ("anthropic: rate", 429, zen("rate_limit_error", "This request would exceed your rate limit"), LIMITED, ""),
    ("anthropic: 500", 500, zen("api_error", "x"), TRANSIENT, ""),
    ("anthropic: 504", 504, zen("timeout_error", "x"), TRANSIENT, ""),
    ("anthropic: overloaded", 529, zen("overloaded_error", "Overloaded"), TRANSIENT, ""),
    # Anybody
    ("nothing, 500", 500, b"", TRANSIENT, ""),
    ("nothing, 401", 401, b"", HERE, ""),
    ("nothing, 404", 404, b"", TRANSIENT, ""),
    ("a firewall's page", 403, b"<!doctype html><title>Attention</title>", TRANSIENT, ""),
    ("a tunnel's page", 404, b"<!doctype html><title>Tunnel not found</title>", TRANSIENT, ""),
    ("garbage", 400, b"\xff\xfe\x00", FAULT, ""),
    ("a redirect", 302, b"", TRANSIENT, ""),
    ("FastAPI: wrong path", 404, {"detail": "Not Found"}, TRANSIENT, ""),
    ("FastAPI: validation", 422, {"detail": [{"loc": ["body"], "msg": "field required"}]}, FAULT, ""),
    ("Gemini: bad key", 400, [{"error": {"code": 400, "message": "API key not valid.", "status": "X"}}], BAD_KEY, ""),
    ("a JSON text", 500, b'"broken"', TRANSIENT, ""),
    ("a JSON list", 500, b"[]", TRANSIENT, ""),
    ("an error that is null", 500, {"error": None}, TRANSIENT, ""),
]
GROQ_NETWORK = "Access denied. Please check your network settings."
COUNTRY = "Country, region, or territory not supported"
PROVIDER = {"provider_name": "DeepInfra", "raw": '{"error": "Invalid API key"}'}
OWN_KEY = "OpenAI is requiring a key to access this model, which you can set in your integrations."
GOOGLE_403 = "Your project has been denied access. Please contact support."
GOOGLE_LEAKED = "Your API key was reported as leaked. Please use another API key."
GOOGLE_INVALID = {"message": "x", "status": "INVALID_ARGUMENT", "details": [{"reason": "API_KEY_INVALID"}]}
PLAN = "The model `big` is not available on your current plan."
REFUSALS = [
    ("another company's refusal", 403, openrouter(403, "Provider returned error", **PROVIDER), HERE, "provider"),
    ("another company's 401", 401, openrouter(401, "Provider returned error", **PROVIDER), HERE, "provider"),
    ("a region of the router behind", 403, openrouter(403, "Provider returned error", raw=COUNTRY), HERE, "region"),
    (
        "OpenAI: a country",
        403,
        openai(COUNTRY, "request_forbidden", "unsupported_country_region_territory"),
        HERE,
        "region",
    ),
    (
        "Google: a place",
        400,
        [{"error": {"code": 400, "message": "User location is not supported for the API use."}}],
        HERE,
        "region",
    ),
    ("for legal reasons", 451, openai("Unavailable"), HERE, "region"),
    (
        "terms of a provider",
        403,
        openrouter(403, "The request is prohibited due to a violation of provider Terms Of Service."),
        HERE,
        "terms",
    ),
    (
        "Groq: terms",
        400,
        openai("The model `x` requires terms acceptance.", code="model_terms_required"),
        HERE,
        "terms",
    ),
    ("Groq: the network", 403, openai(GROQ_NETWORK), HERE, "network"),
    ("an address", 403, openai("Your IP address is not on the allowlist of this API key"), HERE, "network"),
    ("a missing key of one's own", 403, openrouter(403, OWN_KEY), HERE, "byok"),
    ("a plan that has it not", 403, openai(PLAN), HERE, "plan"),
    (
        "a scope that is missing",
        401,
        openai("You have insufficient permissions. Missing scopes: model.request"),
        HERE,
        "plan",
    ),
    ("Google: denied", 403, {"error": {"code": 403, "message": GOOGLE_403, "status": "PERMISSION_DENIED"}}, HERE, ""),
    ("no reason", 401, openai("Unauthorized"), HERE, ""),
    ("no reason, as a text", 403, b"Forbidden", HERE, ""),
    ("an account that is not found for a while", 401, openrouter(401, "User not found."), HERE, ""),
    ("Google: a leaked key", 403, {"error": {"message": GOOGLE_LEAKED, "status": "PERMISSION_DENIED"}}, BAD_KEY, ""),
    ("Google: an invalid key", 400, {"error": GOOGLE_INVALID}, BAD_KEY, ""),
    ("DeepSeek", 401, openai("Authentication Fails, Your api key: ****ae24 is invalid"), BAD_KEY, ""),
    ("Z.AI", 401, openai("token expired or incorrect"), BAD_KEY, ""),
    ("OpenRouter without a key", 401, openrouter(401, "No auth credentials found"), BAD_KEY, ""),
    ("Moonshot", 401, openai("Invalid Authentication", "invalid_authentication_error"), BAD_KEY, ""),
    ("a key that was revoked", 401, openai("This API key has been revoked."), BAD_KEY, ""),
]


@pytest.mark.parametrize(("status", "body", "kind", "why"), [e[1:] for e in REFUSALS], ids=[e[0] for e in REFUSALS])
def test_a_refusal_is_the_keys_fault_only_where_the_router_says_so(status, body, kind, why):
    failed = judge(status, {}, body if isinstance(body, bytes) else wire.dumps(body), NOW)
    assert (failed.kind, failed.why) == (kind, why)


@pytest.mark.parametrize(("status", "body", "kind", "scope"), [e[1:] for e in ERRORS], ids=[e[0] for e in ERRORS])
def test_an_error_is_known_for_what_it_is(status, body, kind, scope):
    failed = judge(status, {}, body if isinstance(body, bytes) else wire.dumps(body), NOW)
    assert (failed.kind, failed.scope) == (kind, scope)
    assert failed.message


IN_STREAM = [
    ("openrouter", {"code": 502, "message": "Bad", "metadata": {"error_type": "provider_unavailable"}}, TRANSIENT, 502),
    ("openrouter, as a text", {"code": "429", "message": "Slow down"}, LIMITED, 429),
    ("openrouter, by name", {"code": "server_error", "message": "Provider disconnected"}, TRANSIENT, None),
    ("openai", {"message": "The server had an error", "type": "server_error", "code": None}, TRANSIENT, None),
    (
        "openai, context",
        {"message": "x", "type": "invalid_request_error", "code": "context_length_exceeded"},
        LONG,
        None,
    ),
    ("openai, fault", {"message": "x", "type": "invalid_request_error", "code": None}, FAULT, None),
    ("groq, a text", "Over capacity, please try again", TRANSIENT, None),
    ("groq, a rate limit", GROQ_TPM, LIMITED, None),
    ("ollama, a text", "model 'x' not found", GONE, None),
    ("anthropic", {"type": "overloaded_error", "message": "Overloaded"}, TRANSIENT, None),
    ("anthropic, key", {"type": "authentication_error", "message": "x"}, BAD_KEY, None),
    ("nobody", {}, TRANSIENT, None),
    ("null", None, TRANSIENT, None),
]


@pytest.mark.parametrize(("error", "kind", "status"), [e[1:] for e in IN_STREAM], ids=[e[0] for e in IN_STREAM])
def test_an_error_inside_a_stream_is_known_without_a_status(error, kind, status):
    failed = judge_error(error, None, NOW)
    assert (failed.kind, failed.status) == (kind, status)
    assert failed.message


def test_the_status_beside_an_error_counts():
    error = {"message": "x", "type": "too_many_requests_error", "param": "quota", "code": "request_quota_exceeded"}
    assert judge_error(error, 429, NOW).kind is LIMITED


def test_a_200_around_an_error_object_is_no_status():
    assert judge_error({"message": "x"}, 200, NOW).status is None


def test_the_routers_error_object_is_kept_for_passing_on():
    failed = judge(400, {}, wire.dumps(openai("Wrong", code="invalid_type", param="messages")), NOW)
    assert failed.body == {
        "message": "Wrong",
        "type": "invalid_request_error",
        "param": "messages",
        "code": "invalid_type",
    }


def test_what_came_instead_of_an_error_object_is_told():
    assert judge(502, {}, b"<html>", NOW).message == "It answered 502 with an HTML page."
    assert judge(500, {}, b"", NOW).message == "It answered 500 with nothing."
    assert judge(301, {}, b"", NOW).message == "It answered 301, a redirect: correct its base URL."
    assert judge(500, {}, b"{}", NOW).message == "It answered 500 without a reason."
    assert judge(500, {}, b"upstream  down", NOW).message == "upstream down"


def test_the_provider_behind_the_router_has_a_say_in_the_message():
    failed = judge(400, {}, wire.dumps(openrouter(400, "Provider returned error", raw="temperature too high")), NOW)
    assert failed.message == "Provider returned error: temperature too high"


KEYS = [
    "sk-proj-abcDEF0123456789",
    "sk-or-v1-0123456789abcdef0123456789abcdef",
    "sk-ant-api03-abc_DEF-0123456789",
    "gsk_abcDEF0123456789",
    "csk-abcdef0123456789",
    "fw_abcdef0123456789",
    "0f8fad5b-d9cb-469f-a165-70867728950e",
    "AIzaSyA0123456789abcdefghijk",
    "abcdef0123456789abcdef0123456789abcdef",
]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("words", ["Incorrect API key provided: {}. You can", "Bearer {}", "unknown key '{}'", "{}"])
def test_a_key_that_the_router_quotes_goes_no_further(key, words):
    said = words.format(key)
    nested = openrouter(401, said, raw=said, headers={"authorization": f"Bearer {key}"})
    for body in (nested, openai(said), {"error": said}, {"detail": said}, said):
        failed = judge(401, {}, wire.dumps(body), NOW)
        assert key not in failed.message + repr(failed)


def test_model_names_survive_the_masking():
    said = "No luck with qwen3-coder-480b-a35b-instruct-2507, Meta-Llama-3.3-70B-Instruct, openai/gpt-oss-120b."
    assert judge(400, {}, wire.dumps(openai(said)), NOW).message == said


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "message", "type", "code", "status", "metadata", "headers", "raw", "detail"]),
            inner,
        )
    ),
    max_leaves=10,
)


@given(status=st.integers(100, 599), body=json_values)
def test_any_body_is_judged(status, body):
    try:
        raw = wire.dumps(body)
    except (TypeError, ValueError):
        raw = repr(body).encode("utf-8", "replace")
    failed = judge(status, {}, raw, NOW)
    assert failed.message
    assert failed.retry_after is None or failed.retry_after >= 0
    assert judge_error(body, None, NOW).kind in FailureKind


@given(status=st.integers(100, 599), body=st.binary(max_size=300))
def test_any_bytes_are_judged(status, body):
    assert judge(status, {}, body, NOW).message
