"""Every error a caller can meet.

ChompError                      .status .type .code .message .hint
  RequestError                  the caller can mend it
    InvalidRequest 400          InvalidSetting 400        NotAuthenticated 401    NotAllowed 403
    UnknownModel 404            NoRouterKey 401           JobNotFound 404         TooLarge 413
    NotCapable 400              SecretFound 400
    TooSlow 408
  LimitError                    not now
    RateLimited 429             BudgetExceeded 429        Overloaded 503
  UpstreamError                 the plan ran out; carries every attempt
    UpstreamRefused             UpstreamFailed 502        UpstreamTimeout 504     NoRouteAvailable 503
  StoreError 500                our own disk
    StoreAway 503               a Redis, for now
    NewerRecord                 stored by a newer version, which can read it

The classes say what HTTP and the OpenAI error envelope say of them; the instances add the facts. A message says what
happened, the hint says what to do next; neither ever holds a key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

JsonObject = Mapping[str, Any]

_ENDS = (".", "!", "?", "…", ":", ";", "。", "！", "？")  # noqa: RUF001 - routers speak Chinese, too
_CLOSING = "\"'`”’)]}"  # noqa: RUF001
"""May stand behind the punctuation that ends a sentence."""


class ChompError(Exception):
    """The root; `status` is an HTTP status, `type` and `code` are the OpenAI error envelope's words.

    `retry_after` is in seconds; None: nobody knows, or waiting mends nothing.
    """

    status: int = 500
    type: str = "api_error"
    code: str | None = None

    def __init__(
        self, message: str, *, hint: str = "", param: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.param = param
        self.retry_after = retry_after

    def __str__(self) -> str:
        if not self.hint:
            return self.message
        message = self.message.rstrip()
        is_sentence = not message or message.rstrip(_CLOSING).endswith(_ENDS)
        return f"{message}{'' if is_sentence else '.'} {self.hint}".strip()

    def envelope(self) -> dict[str, Any]:
        """`{"error": {"message", "type", "code", "param"}}`, the shape every OpenAI SDK reads."""
        return {"error": {"message": str(self), "type": self.type, "code": self.code, "param": self.param}}


class RequestError(ChompError):
    """The caller can mend it."""

    status = 400
    type = "invalid_request_error"


class InvalidRequest(RequestError):
    """What was asked makes no sense as it stands."""

    code = "invalid_request"


class InvalidSetting(RequestError):
    """An environment variable or a row of config.toml holds a wrong value; the message names it."""

    code = "invalid_setting"


class NotAuthenticated(RequestError):
    """No token, or one that nobody gave out."""

    status = 401
    type = "authentication_error"
    code = "invalid_api_key"


class NotAllowed(RequestError):
    """The caller is known, but this is not theirs to do."""

    status = 403
    type = "permission_error"
    code = "not_allowed"


class UnknownModel(RequestError):
    """No keyed router lists the model; `did_you_mean` holds the closest refs."""

    status = 404
    type = "not_found_error"
    code = "model_not_found"

    def __init__(self, message: str, *, hint: str = "", did_you_mean: Sequence[str] = ()) -> None:
        super().__init__(message, hint=hint, param="model")
        self.did_you_mean = tuple(did_you_mean)


class NoRouterKey(RequestError):
    """The named router needs a key, and the caller has none for it."""

    status = 401
    type = "authentication_error"
    code = "no_router_key"

    def __init__(self, message: str, *, router: str, hint: str = "") -> None:
        super().__init__(message, hint=hint, param="router")
        self.router = router


class SecretFound(InvalidRequest):
    """What was asked holds a secret, and would have left this machine; nothing was sent."""

    code = "secret_found"


class NotCapable(RequestError):
    """No route of the plan can do what the request needs; the message says who was left out and why."""

    code = "not_capable"


class JobNotFound(RequestError):
    """No such job, or not this caller's, or its 24 hours are over."""

    status = 404
    type = "not_found_error"
    code = "job_not_found"


class TooLarge(RequestError):
    """The request is larger than the gateway takes."""

    status = 413
    code = "request_too_large"


class TooSlow(RequestError):
    """The request's body did not arrive in time."""

    status = 408
    code = "request_timeout"


class LimitError(ChompError):
    """Not now."""

    status = 429
    type = "rate_limit_error"


class RateLimited(LimitError):
    """The caller asked faster than GATEWAY_RATE_RPS allows."""

    code = "rate_limit_exceeded"


class BudgetExceeded(LimitError):
    """The caller's budget for the day or the month is spent; `resets_at` is epoch seconds."""

    type = "insufficient_quota"
    code = "insufficient_quota"

    def __init__(self, message: str, *, resets_at: float, retry_after: float | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint, retry_after=retry_after)
        self.resets_at = resets_at


class Overloaded(LimitError):
    """The gateway itself has too much in hand, or is shutting down."""

    status = 503
    type = "api_error"
    code = "overloaded"


class Tried(Protocol):
    """What an `UpstreamError` knows of its attempts: a `messages.Receipt`, by its shape; errors import no layer."""

    @property
    def asked(self) -> str:
        """The model ref, as the caller wrote it."""

    @property
    def attempts(self) -> Sequence[Any]:
        """Each with its `router`, `model`, `outcome`, `status` and `ms`."""


class UpstreamError(ChompError):
    """The plan ran out. `receipt` tells every attempt; `retry_after` is what a router told."""

    status = 502
    code = "upstream_error"

    def __init__(
        self, message: str, *, hint: str = "", receipt: Tried | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message, hint=hint, retry_after=retry_after)
        self.receipt = receipt


class UpstreamRefused(UpstreamError):
    """The router's own 4xx, passed on with its status and its error object."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        body: JsonObject | None = None,
        hint: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint, retry_after=retry_after)
        self.status = status
        self.body = dict(body or {})

    def envelope(self) -> dict[str, Any]:
        """The router's own error object with our message, so that clients find the codes they know."""
        inner = {"type": _TYPES.get(self.status, "invalid_request_error"), "code": None, "param": None, **self.body}
        # OpenAI's envelope has text or null where OpenRouter has a status code, and others whatever they like.
        words = {name: inner[name] for name in ("type", "code", "param")}
        texts = {name: word if isinstance(word, str | None) else str(word) for name, word in words.items()}
        return {"error": {**inner, **texts, "message": str(self)}}


class PromptTooLong(UpstreamRefused):
    """The prompt and the room for its answer exceed the model's context window."""


_TYPES: Mapping[int, str] = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
"""Where the router told no type of its own: OpenRouter tells none, and clients go by it."""


class UpstreamFailed(UpstreamError):
    """Every route failed on the routers' side."""


class UpstreamTimeout(UpstreamError):
    """No route answered in time."""

    status = 504
    type = "timeout_error"
    code = "upstream_timeout"


class NoRouteAvailable(UpstreamError):
    """Every route is resting: breakers open, keys cooling down, quotas used up."""

    status = 503
    code = "no_route_available"


class StoreError(ChompError):
    """Our own disk or Redis; nothing that was stored is overwritten."""

    code = "store_error"
    needed = ""
    """A sentence: what this call needed of it, where that is known."""

    def hide_place(self) -> None:
        """Say no more where the store lies and what is wrong with it: that is the owner's affair, and in the log."""
        self.message = f"The gateway's store cannot be used now. {self.needed}".strip()
        self.hint = "Ask again in a moment; whoever runs the gateway finds more in its log."


class StoreAway(StoreError):
    """The Redis does not answer, or takes no writes; `missing` is what this call needed of it.

    `is_lasting`: waiting will not mend it.
    """

    status = 503

    def __init__(self, message: str, *, hint: str = "", missing: str = "", is_lasting: bool = False) -> None:
        self.needed = f"This call needs it for {missing}." if missing else ""
        super().__init__(f"{message} {self.needed}".strip(), hint=hint, retry_after=2.0)
        self.reason = message
        self.missing = missing
        self.is_lasting = is_lasting

    def again(self, missing: str = "") -> StoreAway:
        """The same for another call."""
        return StoreAway(self.reason, hint=self.hint, missing=missing or self.missing, is_lasting=self.is_lasting)


class NewerRecord(StoreError):
    """Stored by a newer version on the same store; it is left as it is."""
