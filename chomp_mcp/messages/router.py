"""Where a request can go: a router, its models, one route, the plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Literal, get_args

from chomp_mcp.messages.group import Group

AUTO = "auto"
LOOKING_FOR = "x-chomp-looking-for"
"""Header of a request for the list of a program that may run on this machine, with its `owned_by`: a gateway of ours
whose port is the program's usual one (llama.cpp's is 8080 as well) must not look for it at itself."""

Need = Literal["tools", "parallel_tools", "vision", "documents", "json_schema", "reasoning"]
"""What a request must have, and a model may lack."""
NEEDS: tuple[Need, ...] = get_args(Need)

PriceUnit = Literal["token", "million", "unclear"]
Endpoint = Literal["embeddings", "completions"]
QuotaKind = Literal["requests", "tokens"]
QuotaWindow = Literal["", "minute", "hour", "day"]


@dataclass(frozen=True, slots=True)
class Router:
    """A named place that serves models: one row of catalog.toml or of the user's config.toml.

    A field here is a field of a row, checked by its type (routers/rows.py says where it must be more than that).
    """

    id: str
    name: str
    url: str
    """Base URL without a trailing slash; the dialect adds its paths."""
    url_lacks: str = ""
    """A variable that its URL holds (`{NAME}`) and nobody has set. Set by the catalog, no field of a row."""
    url_from: str = ""
    """What moved it from the catalog's URL: a variable, or config.toml. Set by the catalog, no field of a row."""
    url_variable: str = ""
    """A variable that moves it to another URL, beside `CHOMP_ROUTER_<ID>_URL`."""
    dialect: str = "openai"
    speaks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Of which of its models that is not true: dialect -> glob patterns of ids. What a row says of the wire (`drop`,
    `flatten`, `roles` and the like) is about its own dialect, and does not hold for these."""
    spoken: Mapping[str, Router] = field(default_factory=dict)
    """Dialect -> this router as its models of that dialect see it. Set by the catalog, no field of a row."""
    key_variable: str = ""
    """The environment variable that holds the owner's key; empty: the router needs none."""
    keys_page: str = ""
    """Where a person gets a key."""
    key_prefix: str = ""
    """What its keys begin with, and no other router's."""
    headers: Mapping[str, str] = field(default_factory=dict)
    models: tuple[str, ...] = ()
    """Preference list for `auto`, best first; intersected with the live list."""
    models_path: str = "/models"
    """Where the live list is: a path below `url`, or a whole URL."""
    embedders: tuple[str, ...] = ()
    """Ids of models that make vectors, where its list leaves them out."""
    list_id: str = "id"
    """The field of the list's entries that names a model."""
    owned_by: str = ""
    """What its list says of every model; a list that does not is another program's, at the same address."""
    hide: tuple[str, ...] = ()
    """Glob patterns of listed ids that cannot chat, or not for us."""
    show: tuple[str, ...] = ()
    """Glob patterns of ids that chat all the same."""
    max_tokens: Literal["max_tokens", "max_completion_tokens", ""] = "max_completion_tokens"
    """The field this router reads the output limit from; the other spelling is renamed to it. Empty: as it came."""
    drop: tuple[str, ...] = ()
    """Request fields this router refuses, as paths: `seed`, `messages[].name`, `tools[].function.strict`, `a.b`."""
    message_fields: tuple[str, ...] = ()
    """Fields of a message that this router knows, beside those that all know; empty: it minds no others."""
    reasoning_field: Literal["", "reasoning", "reasoning_content"] = ""
    """The name under which it takes back what a model thought; empty: as it came."""
    roles: Mapping[str, str] = field(default_factory=lambda: {"developer": "system"})
    """Roles that it does not know -> what it takes in their place."""
    flatten: tuple[str, ...] = ()
    """Roles whose messages must be a text here, not a list of text parts."""
    null_content: Literal["keep", "empty"] = "keep"
    """What stands beside tool calls where the model said nothing: null, or an empty text."""
    tool_ids: Literal["any", "plain", "short"] = "any"
    """Ids of tool calls it takes. plain: up to 64 of a-z, A-Z, 0-9, _ and -. short: 9 letters or digits (Mistral)."""
    knows_allowed_tools: bool = False
    """It takes a `tool_choice` of the type `allowed_tools`; elsewhere only the allowed tools are sent."""
    media: tuple[str, ...] = ("image", "file", "audio", "video")
    """What it takes beside text. image_data: pictures as data URLs alone, for it fetches none."""
    cannot: tuple[Need, ...] = ()
    """What none of its models can do here: nobody who needs it is sent there."""
    no_stream_with: tuple[str, ...] = ()
    """Request fields with which it refuses to stream; `a+b`: with both. It is asked for a whole answer instead."""
    replace: Mapping[str, Mapping[str, Mapping[str, str]]] = field(default_factory=dict)
    """Values that some models refuse: glob pattern of ids -> request field -> value -> what is sent instead."""
    joins_auto: Literal["keyed", "reachable", "last", "never"] = "keyed"
    """keyed: with a key; reachable: when named in the settings or answering; last: when nothing else; never."""
    deprecated: bool = False
    note: str = ""
    """A sentence for the receipt whenever this router answers."""
    free: bool = False
    """Costs nothing by nature (the user's own machine)."""
    free_models: tuple[str, ...] = ("*:free",)
    """Glob patterns of listed ids that cost nothing, whatever the list says of prices; `:free` is OpenRouter's word."""
    local: bool = False
    """What it is sent stays on this machine, as long as its address is one of this machine; no proxy, no adapter."""
    local_except: tuple[str, ...] = ()
    """Glob patterns of its models of which that is not true."""
    shared: bool = False
    """Other callers than the owner may use it, although it needs no key."""
    quota_scope: Literal["key", "model"] = "key"
    """What a 429 rests: `key`, or `model` where the router counts per model."""
    quota_windows: Mapping[QuotaKind, QuotaWindow] = field(default_factory=dict)
    """The windows of its rate-limit headers that their names leave out: minute, hour or day."""
    endpoints: tuple[Endpoint, ...] = ("embeddings", "completions")
    """What it serves beside chat completions; of the user's own rows both are believed until a 404."""
    key_info: str = ""
    """Path below `url` that tells what a key has left, in OpenRouter's shape."""
    key_check: str = ""
    """Path below `url` that a bad key is refused at, where the list needs none."""
    own_prefix: tuple[str, ...] = ()
    """Glob patterns of what stands behind the router's own id in its models' ids: `compound*` where they are named
    `groq/compound`. Of one segment each; such a ref is not stripped of its prefix, whatever list is known."""
    session_header: str = ""
    """Header that must carry one stable id per conversation."""
    limits: str = ""
    """The documented free limits in words, shown as `documented` where nothing better is known."""
    genai_prices: str = ""
    """Its provider id at genai-prices; empty: it is not there."""
    price_unit: PriceUnit = "unclear"
    """What the prices on its list are for, where the list does not say. unclear: from $0.001 up they are per million
    tokens, since no token costs that."""
    price_names: Mapping[str, str] = field(default_factory=dict)
    """Its list's names of prices -> `prompt`, `completion`, `input_cache_read`."""
    prices: Mapping[str, Mapping[Literal["input", "output", "cached"], Decimal]] = field(default_factory=dict)
    """Model -> USD per million tokens, where neither its list nor genai-prices tells them."""
    price_source: str = ""
    """Where `prices` were read, and when."""
    models_dev: str = ""
    """Its provider id at models.dev; empty: it is not there."""
    subscription: bool = False
    """It is paid by the month: nobody is billed the prices that models.dev writes there."""
    known: Mapping[str, Model] = field(default_factory=dict, repr=False, compare=False)
    """What public data says of its models, by id (routers/model_facts.py). Set by the catalog, no field of a row."""

    @property
    def needs_key(self) -> bool:
        return bool(self.key_variable)

    def serving(self, model: str) -> Router:
        """This router as it is called for that model: in the dialect that the model speaks here."""
        for dialect, patterns in self.speaks.items():
            if any(fnmatchcase(model, pattern) for pattern in patterns):
                return self.spoken[dialect]
        return self


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
    price_cache_write: Decimal | None = None
    price_request: Decimal | None = None
    """USD for each call, beside the tokens."""
    free: bool = False
    can: frozenset[str] = frozenset()
    """Of `NEEDS`, what the router's list says that it can do."""
    cannot: frozenset[str] = frozenset()
    """What the list says that it cannot; what is in neither is unknown."""
    embeds: bool = False
    """It makes vectors, and does not chat."""

    @property
    def ref(self) -> str:
        """A group stands in no router's list: its name is its ref."""
        return f"{self.router}/{self.id}" if self.router else self.id


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
    needs: frozenset[str] = frozenset()
    """What every route of it must be able to do, see `NEEDS`."""
    group: Group | None = None
    """The group that the ref named."""
    free_choice: bool = False
    """The ref left a choice of model or router, so another route may answer."""
    kept: Route | None = None
    """The first of the routes, where it stands there because the conversation has used it before."""
    kept_at: float = 0.0
    """When that was last noted, in epoch seconds."""
