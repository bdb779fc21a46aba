"""What a caller is told when no route answered: the router's own refusal, or what rests and until when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chomp_mcp.errors import (
    ChompError,
    NoRouteAvailable,
    NotCapable,
    PromptTooLong,
    UpstreamError,
    UpstreamFailed,
    UpstreamRefused,
    UpstreamTimeout,
)
from chomp_mcp.gateway.health import Rest
from chomp_mcp.messages import Failed, FailureKind, Route, Router
from chomp_mcp.policy import failover
from chomp_mcp.policy.secrets import without_password

FIRST_ERROR_STATUS = 400


def exhausted(failures: Sequence[tuple[Route, Failed]], rests: Sequence[tuple[Route, Rest]], now: float) -> ChompError:
    """The error for a plan that ran out: of what failed, or, where nothing could be tried, of what rests."""
    tried = [(route, failed) for route, failed in failures if failed.kind is not FailureKind.NOT_TAKEN]
    if not tried:
        unable = {route.router.id for route, _ in failures}
        resting = [(route, rest) for route, rest in rests if route.router.id not in unable]
        if resting or not failures:
            return _all_resting(resting, now)
        # No router of the plan could be sent this request: each says why, the last one what to do.
        last = failures[-1][1]
        message = " ".join(dict.fromkeys(failed.message for _, failed in failures))
        return NotCapable(message, hint=last.body.get("hint", ""), param=last.body.get("param"))
    route, last = tried[-1]
    kinds = {failed.kind for _, failed in tried}
    # Until it is worth another try: what the router said, else how long we leave it alone.
    waits = [
        failover.rest_seconds(failed) if failed.retry_after is None and failed.kind in _RESTING else failed.retry_after
        for _, failed in failures
    ]
    retry_after = min((wait for wait in waits if wait is not None), default=None)
    message = "; ".join(f"{r.ref}: {f.message}" for r, f in failures)
    if kinds <= _REFUSALS.keys() and (len(kinds) == 1 or last.kind in _FINAL):
        refused = PromptTooLong if last.kind is FailureKind.TOO_LONG else UpstreamRefused
        return refused(
            message,
            status=last.status if last.status and last.status >= FIRST_ERROR_STATUS else _REFUSALS[last.kind][0],
            body=last.body,
            hint=_hint(route.router, last, retry_after),
            retry_after=retry_after,
        )
    are_programs = all(route.router.joins_auto == "reachable" for route, _ in tried)  # which join `auto` while they run
    if last.status is None and kinds == {FailureKind.TRANSIENT} and are_programs:
        return not_running(route.router)
    if kinds == {FailureKind.LOCAL}:
        return NoRouteAvailable(message, hint=_LOCAL_HINT, retry_after=1.0)
    if kinds == {FailureKind.TIMEOUT}:
        return UpstreamTimeout(message, hint="Try again, or name another router.", retry_after=retry_after)
    return UpstreamFailed(message, hint="Try again later, or name another router or model.", retry_after=retry_after)


def not_running(router: Router) -> NoRouteAvailable:
    """A program on the caller's own machine, or where they moved it, answers nobody."""
    where = f"; get it at {router.keys_page}" if router.keys_page else ""
    message = f"{router.name} is not running at {without_password(router.url)}."
    return NoRouteAvailable(message, hint=f"Start it, then ask again{where}.")


def _all_resting(rests: Sequence[tuple[Route, Rest]], now: float) -> UpstreamError:
    """Nothing could be tried: with the router's own words for it where there is but one reason."""
    soonest = min((rest.until for _, rest in rests), default=now)
    wait = max(0.0, soonest - now)
    resting = "; ".join(dict.fromkeys(f"{route.ref} rests ({rest.words})" for route, rest in rests))
    reasons = {rest.reason for _, rest in rests}
    route, rest = rests[-1]
    again = f"{route.model} a moment ago; it is asked again in {failover.duration(wait)}"
    refused = ((FailureKind.BAD_KEY, "the key a while ago", None), (FailureKind.REFUSED_HERE, again, wait))
    for kind, what, retry_after in refused:
        if reasons == {kind}:
            message = f"{route.router.name} refused {what}."
            hint = _hint(route.router, Failed(kind, "", why=rest.why))
            return UpstreamRefused(message, status=_REFUSALS[kind][0], hint=hint, retry_after=retry_after)
    hint = f"Try again in {failover.duration(wait)}, name another router, or call status."
    error = NoRouteAvailable(f"No route is free now: {resting}.", hint=hint, retry_after=wait)
    if reasons <= {FailureKind.RATE_LIMITED, FailureKind.QUOTA, "quota_used_up"}:
        error.status, error.type = TOO_MANY, "rate_limit_error"
    return error


TOO_MANY = 429
_LOCAL_HINT = "Try again in a moment; if it happens often, raise the number of open files (ulimit -n)."
_RESTING = frozenset({FailureKind.RATE_LIMITED, FailureKind.QUOTA, FailureKind.REFUSED_HERE})
_FINAL = frozenset({FailureKind.CALLER_FAULT, FailureKind.NOT_CAPABLE, FailureKind.TOO_LONG})

_REFUSALS: Mapping[FailureKind, tuple[int, str]] = {
    FailureKind.RATE_LIMITED: (429, "Wait, or name another router or model."),
    FailureKind.QUOTA: (402, "Name another router, or top up {router}."),
    FailureKind.BAD_KEY: (401, "Replace the key: `chomp-mcp keys add {router}`, or call register_keys."),
    FailureKind.REFUSED_HERE: (403, "Name another router or model."),
    FailureKind.NO_SUCH_MODEL: (404, "Call list_models with router={router} to see what it serves."),
    FailureKind.TOO_LONG: (400, "Shorten the input, or name a model with a larger context."),
    FailureKind.NOT_CAPABLE: (400, "Name a model that can: list_models with needs tells which."),
    FailureKind.CALLER_FAULT: (400, "Change the request: the router does not take it as it is."),
}
"""Kinds that are the router's own 4xx: the status where it sent none of its own, and the next step."""

_REFUSED_HERE: Mapping[str, str] = {
    "region": "{router} does not serve this model where you are: name another router or model.",
    "terms": "Agree to its terms on the pages of {router}, or name another model.",
    "byok": "Add the key that it asks for in the settings of {router}, or name another model.",
    "network": "{router} takes no requests from this network: try another one, or name another router.",
    "provider": "The router behind {router} refused it, not {router}: try again later, or name another model.",
    "plan": "Your account with {router} may not use it: name another model, or change your plan there.",
    "": "{router} gave no reason. It is asked again in a minute; if that goes on, check your key there.",
}
"""By what the refusal is about, see `Failed.why`: what it is, and the next step."""


def _hint(router: Router, failed: Failed, retry_after: float | None = None) -> str:
    """The next step, and when, where somebody knows."""
    if failed.kind is FailureKind.REFUSED_HERE:
        return _REFUSED_HERE[failed.why].format(router=router.name)
    hint = _REFUSALS[failed.kind][1].format(router=router.id)
    if retry_after is None or failed.kind not in {FailureKind.RATE_LIMITED, FailureKind.QUOTA}:
        return hint
    return f"{hint} It takes requests again in {failover.duration(retry_after)}."
