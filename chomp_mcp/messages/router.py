"""Where a request can go: a router, its models, one route, the plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

__all__ = ["AUTO", "Model", "Plan", "Route", "Router"]

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Router:
    """A named place that serves models: one row of catalog.toml or of the user's config.toml."""

    id: str
    name: str
    url: str
    """Base URL without a trailing slash; the dialect adds its paths."""
    dialect: str = "openai"
    key_variable: str = ""
    """The environment variable that holds the owner's key; empty: the router needs none."""
    keys_page: str = ""
    """Where a person gets a key."""
    headers: Mapping[str, str] = field(default_factory=dict)
    models: tuple[str, ...] = ()
    """Preference list for `auto`, best first; intersected with the live list."""
    models_path: str = "/models"
    """Where the live list is: a path below `url`, or a whole URL."""
    hide: tuple[str, ...] = ()
    """Glob patterns of listed ids that cannot chat, or not for us."""
    max_tokens: str = "max_completion_tokens"
    """The field this router reads the output limit from; the other spelling is renamed to it."""
    drop: tuple[str, ...] = ()
    """Request fields this router refuses; `messages[].name` drops the field inside messages."""
    joins_auto: str = "keyed"
    """keyed: with a key; reachable: when named in the settings or answering; last: when nothing else; never."""
    deprecated: bool = False
    note: str = ""
    """A sentence for the receipt whenever this router answers."""
    free: bool = False
    """Costs nothing by nature (the user's own machine)."""
    quota_scope: str = "key"
    """What a 429 rests: `key`, or `model` where the router counts per model."""
    key_info: str = ""
    """Path below `url` that tells what a key has left, in OpenRouter's shape."""
    session_header: str = ""
    """Header that must carry one stable id per conversation."""
    limits: str = ""
    """The documented free limits in words, shown as `documented` where nothing better is known."""

    @property
    def needs_key(self) -> bool:
        return bool(self.key_variable)


@dataclass(frozen=True, slots=True)
class Model:
    """One entry of a router's list. Prices are USD per million tokens; None is unknown, never free."""

    router: str
    id: str
    name: str = ""
    context_length: int | None = None
    max_output: int | None = None
    price_in: Decimal | None = None
    price_out: Decimal | None = None
    price_cached: Decimal | None = None
    free: bool = False

    @property
    def ref(self) -> str:
        return f"{self.router}/{self.id}"


@dataclass(frozen=True, slots=True)
class Route:
    """One concrete try: this router, this model, this key."""

    router: Router
    model: str
    key: str = field(default="", repr=False)
    key_id: str = ""
    """A short hash that names the key in the store, where its cooldown and its quota live."""
    listed: Model | None = None
    """What the router's list says of the model, where it was looked at."""

    @property
    def ref(self) -> str:
        return f"{self.router.id}/{self.model}"


@dataclass(frozen=True, slots=True)
class Plan:
    """The ordered tries. `notes` are the sentences the receipt must tell (mock answered, a model is gone …)."""

    asked: str
    routes: tuple[Route, ...]
    notes: tuple[str, ...] = ()
    free_choice: bool = False
    """The ref left a choice of model or router, so another route may answer."""
