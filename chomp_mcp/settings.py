"""Everything configurable, as one frozen object, read once at start.

A variable of the environment wins over the same name in `config.toml`, which wins over the default. A wrong value is an
`InvalidSetting` that names where it stands.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import MISSING, dataclass, field, fields
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import platformdirs

from chomp_mcp.errors import InvalidSetting

NETWORK = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")
"""What leads out of this network, and whom to trust there; the proxies are read in small letters too."""
URLS = ("OLLAMA_BASE_URL", "LMSTUDIO_BASE_URL", "LLAMACPP_BASE_URL", "VLLM_BASE_URL", "CURSOR_ADAPTER_URL")
"""The catalog's `url_variable`s."""
IN_URLS = ("CLOUDFLARE_ACCOUNT_ID",)
"""What URLs of the catalog leave a place for."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user chose; a field for each variable of docs/settings.md, with its default."""

    home: Path
    provider: str = "auto"
    default_model: str = "auto"
    fallbacks: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 1
    """Processes that serve the port."""
    auth_token: str = field(default="", repr=False)
    open_registration: bool = False
    allowed_hosts: tuple[str, ...] = ()
    """Host names beyond loopback that are served where no token is due; `*.example` for all below one."""
    max_requests: int = 1000
    """Requests under way at once, over HTTP and in one process; and jobs there, again as many."""
    max_caller_requests: int = 0
    """Of those, of one caller who is not the owner; 0: half."""
    max_request_bytes: int = 128 * 1024 * 1024
    """The sum of their bodies; of one caller, half."""
    rate_rps: float = 10.0
    rate_burst: int = 20
    daily_budget_usd: Decimal = Decimal(50)
    monthly_budget_usd: Decimal = Decimal(500)
    circuit_failure_threshold: int = 3
    circuit_reset_seconds: float = 60.0
    cors_origins: tuple[str, ...] = ("http://localhost:3000", "http://localhost:8080")
    store: str = field(default="", repr=False)
    """Empty: the local files. A redis:// URL may hold a password."""
    mcp_sessions: bool = False
    """MCP over HTTP has sessions although replicas share a store: the balancer sends each client to its replica."""
    away_budget_usd: Decimal = Decimal("0.10")
    """What a process may spend while that Redis is away, and nobody knows what is left of a budget."""
    deadline_seconds: float = 45.0
    job_retries: int = 1
    """How often a job may be asked again whose process ended after a router may have been called."""
    job_takeover_seconds: float = 10.0
    """How long nothing may be heard of a replica before another one takes over its jobs."""
    runs_jobs: bool = True
    """Whether this process runs jobs that wait in the shared store; it accepts them in any case."""
    upstream_timeout_seconds: float = 120.0
    log: str = ""
    """off, error, info or debug; empty: what suits the door."""
    keep_bodies: bool = False
    """The home page shows what was asked and answered."""
    secrets: Literal["off", "warn", "redact", "local", "block"] = "warn"
    """What becomes of a prompt that holds what looks like a secret, and would leave this machine."""
    secrets_allow: tuple[str, ...] = ()
    """Those that may leave, as `sha256:` and at least 12 hex digits; a list in config.toml."""
    files: tuple[Path, ...] = ()
    """Folders that questions may take files from, and answers may be written into."""
    agent_model: str = "auto"
    """What an agent's own model name stands for where no router lists it."""
    agents: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """`[agents.*]` of config.toml: a word of an agent's model names, such as opus -> a model ref."""
    router_rows: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """`[routers.*]` of config.toml, as written."""
    group_rows: Mapping[str, Any] = field(default_factory=dict)
    """`[groups.*]` of config.toml, as written."""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Where the catalog looks up the owner's keys and URL overrides."""
    network: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Proxies and certificates of config.toml that the environment lacks; a proxy's URL may hold a password."""

    def __post_init__(self) -> None:
        for each in fields(self):  # a program may make its own, and a wrong type would be met far from here
            kind: Any = Mapping if each.default is MISSING else type(each.default)
            kind = {"home": Path}.get(each.name, int | float if kind is float else kind)
            value = getattr(self, each.name)
            if not isinstance(value, kind):
                why = f"{each.name} is of the type {type(value).__name__}."
                raise InvalidSetting(why, hint=f"Give a {getattr(kind, '__name__', 'number')}, or use Settings.load().")

    @property
    def most_of_caller(self) -> int:
        """Requests under way of one caller who is not the owner."""
        half = max(1, self.max_requests // 2)
        return min(self.max_caller_requests, self.max_requests) if self.max_caller_requests else half

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the environment and `CHOMP_HOME/config.toml`; `InvalidSetting` names a wrong variable and its place."""
        environ = os.environ if environ is None else environ
        if not isinstance(environ, Mapping):
            raise InvalidSetting(f"environ is of the type {type(environ).__name__}.", hint="Give a mapping of texts.")
        environment = dict(environ)
        for name, value in environment.items():
            if not all(isinstance(each, str) for each in (name, value)):
                raise InvalidSetting(f"{name} is no text, or its value is none.", hint='Give text: "8080", not 8080.')
        home = _home(environment)
        config = _read_config(home / "config.toml")
        rows = config.pop("routers", {})
        if not isinstance(rows, dict):
            raise InvalidSetting("[routers] in config.toml is not a table.", hint="Write rows as [routers.<id>].")
        groups = config.pop("groups", {})
        agents = _agents(config.pop("agents", {}))
        allow = config.pop("secrets_allow", [])
        if not isinstance(allow, list) or not all(isinstance(t, str) and _DIGEST.fullmatch(t) for t in allow):
            raise InvalidSetting(
                "secrets_allow in config.toml is no list of hashes.",
                hint='Write them as the note about the secret does: secrets_allow = ["sha256:0a1b2c3d4e5f"].',
            )
        # Take out what names a router's URL; the catalog reads it beside the environment's.
        urls = {
            name: _parse(name, partial(checked_router_url, may_hold_password=True), config.pop(name), "config.toml")
            for name in list(config)
            if _URL_NAME.fullmatch(name)
        }
        urls |= {name: _parse(name, str, config.pop(name), "config.toml") for name in IN_URLS if name in config}
        # Take out proxies and certificates; the environment's own win, in capitals or not, as everywhere.
        named = {name: str(config.pop(name)) for name in NETWORK if isinstance(config.get(name), str)}
        network = {name: value for name, value in named.items() if not (environment.keys() & {name, name.lower()})}
        _refuse_unknown(config, home)
        environment |= {name: url for name, url in urls.items() if not environment.get(name, "").strip()}
        # The settings that are set; an empty variable counts as absent, as shells and compose files leave them.
        given = {
            **{name: (value, "config.toml") for name, value in config.items()},
            **{name: (environment[name], "the environment") for name in _SETTINGS if environment.get(name, "").strip()},
        }
        values: dict[str, Any] = {}
        if given:
            # pydantic costs 75 ms, and most starts set nothing but keys.
            from chomp_mcp.setting_fields import first_fault, parsed

            texts = {name: _parse(name, str, *given[name]) for name in _SETTINGS if name in given}
            try:
                values = {_SETTINGS[name]: value for name, value in parsed(texts).items()}
            except ValueError as error:
                name, reason = first_fault(error)
                raise _wrong(name, given[name][1], texts[name], reason) from None
        return cls(
            home=home,
            agents=agents,
            router_rows=rows,
            group_rows=groups,
            environment=environment,
            network=network,
            secrets_allow=tuple(allow),
            **values,
        )


def may_stand_in_config(name: str) -> bool:
    """Whether `config.toml` takes this variable of the environment, too."""
    return name in _SETTINGS or name in IN_URLS or _URL_NAME.fullmatch(name) is not None


def checked_router_url(text: str, *, may_hold_password: bool = False) -> str:
    """The base URL of a router, a bare `host:port` with http://; `ValueError` says what it must be, without a password.

    A row of config.toml holds none; a variable may (RFC 7617), as keys stand in variables too.
    """
    if text.startswith("mock://"):
        return text.rstrip("/")
    url = text.strip() if "://" in text else f"http://{text.strip()}"
    try:
        parts = urlsplit(url)
        is_sane = parts.hostname and not parts.netloc.endswith(":") and url.split() == [url] and url.isprintable()
        is_url = parts.scheme in {"http", "https"} and is_sane and (parts.port is None or parts.port > 0)
    except ValueError:  # a port that is none
        is_url = False
    if not is_url:
        raise ValueError("must be an http(s) URL")
    if "@" in url.split("/")[2] and not may_hold_password:
        raise ValueError("must not hold a password; name the variable that holds the key in `key`")
    return url.rstrip("/")


_SETTINGS: Mapping[str, str] = {
    "LLM_PROVIDER": "provider",
    "LLM_DEFAULT_MODEL": "default_model",
    "LLM_FALLBACKS": "fallbacks",
    "CHOMP_AGENT_MODEL": "agent_model",
    "GATEWAY_HOST": "host",
    "GATEWAY_PORT": "port",
    "GATEWAY_WORKERS": "workers",
    "GATEWAY_AUTH_TOKEN": "auth_token",
    "GATEWAY_RATE_RPS": "rate_rps",
    "GATEWAY_RATE_BURST": "rate_burst",
    "LLM_DAILY_BUDGET_USD": "daily_budget_usd",
    "LLM_MONTHLY_BUDGET_USD": "monthly_budget_usd",
    "CIRCUIT_FAILURE_THRESHOLD": "circuit_failure_threshold",
    "CIRCUIT_RESET_TIME_MS": "circuit_reset_seconds",
    "CORS_ALLOWED_ORIGINS": "cors_origins",
    "CHOMP_STORE": "store",
    "CHOMP_AWAY_BUDGET_USD": "away_budget_usd",
    "CHOMP_MCP_SESSIONS": "mcp_sessions",
    "CHOMP_FILES": "files",
    "CHOMP_DEADLINE_SECONDS": "deadline_seconds",
    "CHOMP_JOB_RETRIES": "job_retries",
    "CHOMP_JOB_TAKEOVER_SECONDS": "job_takeover_seconds",
    "CHOMP_UPSTREAM_TIMEOUT_SECONDS": "upstream_timeout_seconds",
    "CHOMP_LOG": "log",
    "CHOMP_KEEP_BODIES": "keep_bodies",
    "CHOMP_OPEN_REGISTRATION": "open_registration",
    "CHOMP_ALLOWED_HOSTS": "allowed_hosts",
    "CHOMP_MAX_REQUESTS": "max_requests",
    "CHOMP_MAX_CALLER_REQUESTS": "max_caller_requests",
    "CHOMP_MAX_REQUEST_BYTES": "max_request_bytes",
    "CHOMP_SECRETS": "secrets",
}
"""Variable -> field; what each must be stands in setting_fields.py."""

_PLACEHOLDER = re.compile(r"\$\{.*?\}|\$\w+|%\w+%|\{\{.*?\}\}")
"""Hosts differ in which of these they fill in, and hand on the others as they stand (claude-code #69123)."""
_WHOLE_PLACEHOLDER = re.compile(r"\$\{[^}]*\}|%\w+%|\{\{[^}]*\}\}")
_URL_NAME = re.compile(rf"{'|'.join(URLS)}|CHOMP_ROUTER_.+_URL")
_DIGEST = re.compile(r"sha256:[0-9a-fA-F]{12,64}")
_SECRET = frozenset({"GATEWAY_AUTH_TOKEN", "CHOMP_STORE"})
"""Their values are never repeated in a message."""
_AGENTS = ("claude", "codex", "gemini")
_AGENT_ROW = 'opus = "groq/openai/gpt-oss-120b"'
_SHOWN = 200
"""Characters of a wrong value that a message repeats."""


def _home(environment: Mapping[str, str]) -> Path:
    named = environment.get("CHOMP_HOME", "").strip()
    if not named:
        with suppress(RuntimeError):  # a user without HOME and without an entry in the system's list
            data = platformdirs.user_data_path("chomp-mcp", appauthor=False)
            if data.is_absolute():  # before 4.14 platformdirs gave ~ back as it is
                return data
        raise InvalidSetting("This user has no home folder.", hint="Set CHOMP_HOME to a folder that it may write to.")
    shown = repr(named if len(named) <= _SHOWN else f"{named[:_SHOWN]}…")
    if _PLACEHOLDER.search(named):
        why = f"CHOMP_HOME in the environment is wrong: {shown} holds a placeholder that nothing filled in."
        raise InvalidSetting(why, hint="Write the folder's whole path there.")
    try:
        home = Path(named).expanduser().absolute()
        # The folder, or the nearest one above it that exists, is one.
        is_usable = "\0" not in named and next(path for path in (home, *home.parents) if path.exists()).is_dir()
    except (RuntimeError, OSError, ValueError):  # ~ of a user that is not there; a name that no disk takes
        is_usable = False
    if not is_usable:
        why = f"CHOMP_HOME in the environment is wrong: {shown} is no folder."
        raise InvalidSetting(why, hint="Name a folder; it may be new.")
    return home


def _agents(table: Any) -> Mapping[str, Mapping[str, str]]:
    """`[agents.claude]` with rows such as opus = "groq/openai/gpt-oss-120b"."""
    if table == {}:
        return {}
    from chomp_mcp.setting_fields import checked_model_ref

    rows = table if isinstance(table, dict) else {"": table}
    for agent, tiers in rows.items():
        if agent not in _AGENTS or not isinstance(tiers, dict):
            raise InvalidSetting(
                f"[agents.{agent}] in config.toml is no table of a known agent.",
                hint=f"Write {' or '.join(f'[agents.{name}]' for name in _AGENTS)}, with rows such as {_AGENT_ROW}.",
            )
        for tier, ref in tiers.items():
            _parse(f"{tier} of [agents.{agent}]", checked_model_ref, ref, "config.toml")
    return rows


def _read_config(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        mend = "Give yourself read access to it." if isinstance(error, PermissionError) else "Move it away."
        raise InvalidSetting(f"{path} cannot be read: {error.strerror}.", hint=mend) from None
    except RecursionError:
        raise InvalidSetting(f"{path} is nested too deeply.", hint="Mend it, or move the file away.") from None
    except ValueError as error:
        raise InvalidSetting(f"{path} is not TOML: {error}.", hint="Mend that line, or move the file away.") from None


def _refuse_unknown(config: Mapping[str, Any], home: Path) -> None:
    unknown = sorted(set(config) - set(_SETTINGS))
    keys = [name for name in unknown if name.endswith(("_API_KEY", "_TOKEN", "_MASTER_KEY"))]
    if keys:
        why = f"{home / 'config.toml'} holds {keys[0]}: keys have no place there."
        do = "run `chomp-mcp keys add <router>`"
        if "MASTER" in keys[0]:
            do = "set it in the environment, or have `chomp-mcp keys encrypt` keep one"
        raise InvalidSetting(why, hint=f"Remove it, and {do}.")
    if unknown:
        import difflib

        known = (*_SETTINGS, *URLS, *IN_URLS, *NETWORK)
        close = difflib.get_close_matches(unknown[0].upper(), known, n=1, cutoff=0.8)
        hint = f"Known: {', '.join(known)}, and rows under [routers.<id>] and [groups.<name>]."
        hint = f"Did you mean {close[0]}?" if close else hint
        raise InvalidSetting(f"{home / 'config.toml'} has an unknown setting {unknown[0]!r}.", hint=hint)


def _parse(name: str, parse: Callable[[str], Any], value: Any, place: str) -> Any:
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value).strip()
    try:
        if isinstance(value, Mapping):
            raise ValueError("must be a text or a number")  # noqa: TRY301, TRY004 - as every other wrong value
        if _WHOLE_PLACEHOLDER.fullmatch(text):
            raise ValueError("must be a value: nothing filled in that placeholder")  # noqa: TRY301 - likewise
        return parse(text)
    except ValueError as error:
        raise _wrong(name, place, text, str(error)) from None


def _wrong(name: str, place: str, text: str, reason: str) -> InvalidSetting:
    shown = "its value" if name in _SECRET or "@" in text else repr(text)
    return InvalidSetting(f"{name} in {place} is wrong: {shown} {reason}.", hint=f"Correct or remove {name}.")
