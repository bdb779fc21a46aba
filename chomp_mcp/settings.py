"""Everything configurable, as one frozen object, read once at start.

A variable of the environment wins over the same name in `config.toml`, which wins over the default. A wrong value is an
`InvalidSetting` that names where it stands.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import platformdirs

from chomp_mcp.errors import InvalidSetting

__all__ = ["NETWORK", "Settings", "checked_router_url", "checked_url"]

NETWORK = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")
"""What leads out of this network, and whom to trust there; the proxies are read in small letters too."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user chose; the field names follow the variables in the README."""

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
    """Requests under way at once, over HTTP and in one process."""
    max_request_bytes: int = 128 * 1024 * 1024
    """The sum of their bodies."""
    rate_rps: float = 10.0
    rate_burst: int = 20
    daily_budget_usd: Decimal = Decimal(50)
    monthly_budget_usd: Decimal = Decimal(500)
    circuit_failure_threshold: int = 3
    circuit_reset_seconds: float = 60.0
    cors_origins: tuple[str, ...] = ("http://localhost:3000", "http://localhost:8080")
    store: str = field(default="", repr=False)
    """Empty: the local files. A redis:// URL may hold a password."""
    deadline_seconds: float = 45.0
    upstream_timeout_seconds: float = 120.0
    log: str = ""
    """off, error, info or debug; empty: what suits the door."""
    files: tuple[Path, ...] = ()
    """Folders that questions may take files from, and answers may be written into."""
    agent_model: str = "auto"
    """What an agent's own model name stands for where no router lists it."""
    agents: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """`[agents.*]` of config.toml: a word of an agent's model names, such as opus -> a model ref."""
    router_rows: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """`[routers.*]` of config.toml, as written."""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Where the catalog looks up the owner's keys and URL overrides."""
    network: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Proxies and certificates of config.toml that the environment lacks; a proxy's URL may hold a password."""

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the environment and `CHOMP_HOME/config.toml`.

        Raises:
            InvalidSetting: a value that cannot be meant; the message names the variable and the place.
        """
        environment = dict(os.environ if environ is None else environ)
        home = _home(environment)
        config = _read_config(home / "config.toml")
        rows = config.pop("routers", {})
        if not isinstance(rows, dict):
            raise InvalidSetting("[routers] in config.toml is not a table.", hint="Write rows as [routers.<id>].")
        agents = _agents(config.pop("agents", {}))
        urls = _urls_in(config)
        network = _network_in(config, environment)
        _refuse_unknown(config, home)
        environment |= {name: url for name, url in urls.items() if not environment.get(name, "").strip()}
        given = {**{name: (value, "config.toml") for name, value in config.items()}, **_from_environment(environment)}
        values = {
            setting.field: _parse(name, setting.parse, *given[name])
            for name, setting in _SETTINGS.items()
            if name in given
        }
        return cls(home=home, agents=agents, router_rows=rows, environment=environment, network=network, **values)


def checked_url(text: str) -> str:
    """An http(s) URL without its trailing slash; a bare `host:port` gets http://. `ValueError` for anything else."""
    url = text.strip()
    if "://" not in url:
        url = f"http://{url}"
    parts = urlsplit(url)
    is_sane = parts.hostname and not parts.netloc.endswith(":") and url.split() == [url] and url.isprintable()
    if parts.scheme not in {"http", "https"} or not is_sane or (parts.port is not None and parts.port < 1):
        raise ValueError(f"not an http(s) URL: {text!r}")
    return url.rstrip("/")


def checked_router_url(text: str, *, may_hold_password: bool = False) -> str:
    """The base URL of a router; `ValueError` says what it must be, and repeats no password.

    A row of config.toml holds none; a variable may (RFC 7617), as keys stand in variables too.
    """
    if text.startswith("mock://"):
        return text.rstrip("/")
    try:
        url = checked_url(text)
    except ValueError:
        raise ValueError("must be an http(s) URL") from None
    if "@" in url.split("/")[2] and not may_hold_password:
        raise ValueError("must not hold a password; name the variable that holds the key in `key`")
    return url


@dataclass(frozen=True, slots=True)
class _Setting:
    field: str
    parse: Callable[[str], Any]


_YEAR = 366 * 86_400
_MOST = 1_000_000_000
"""More requests a second, or dollars a day, is a slip of the keyboard."""


def _number(minimum: float, maximum: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = float(text)
        if not minimum <= value <= maximum:
            raise ValueError(f"must be a number from {minimum:,} to {maximum:,}")
        return value

    return parse


def _whole(minimum: int, maximum: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = minimum - 1
        if not minimum <= value <= maximum:
            raise ValueError(f"must be a whole number from {minimum:,} to {maximum:,}")
        return value

    return parse


def _money(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ValueError("must be an amount in US dollars, such as 2.50") from None
    if not value.is_finite() or not 0 <= value <= _MOST:
        raise ValueError(f"must be an amount from 0 to {_MOST:,}")
    return value


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _refs(text: str) -> tuple[str, ...]:
    refs = _words(text)
    if not all(map(str.isprintable, refs)):
        raise ValueError("must be routers or model refs, such as groq, openrouter/auto, separated by commas")
    return refs


def _model_ref(text: str) -> str:
    if not all(text.split("/")) or text.split() != [text] or not text.isprintable():
        raise ValueError("must be a model ref, such as auto, groq/auto or groq/openai/gpt-oss-120b")
    return text


def _origins(text: str) -> tuple[str, ...]:
    for origin in (origins := _words(text)):
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            raise ValueError("must be origins such as http://localhost:3000, separated by commas, or *")
    return origins


_ORIGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#@\s]+/?")


def _hosts(text: str) -> tuple[str, ...]:
    """Names alone: whoever writes a URL or a port means the name in it."""
    hosts = tuple(urlsplit(host if "://" in host else f"//{host}").hostname or "" for host in _words(text))
    if not all(_HOST.fullmatch(host) for host in hosts):
        raise ValueError("must be host names such as host.docker.internal, separated by commas")
    return hosts


_HOST = re.compile(r"\*|(\*\.)?[A-Za-z0-9._:-]+")


def _token(text: str) -> str:
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must be one word of ASCII characters, or no client could send it")
    return text


def _flag(text: str) -> bool:
    known = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if text.lower() not in known:
        raise ValueError("must be 1 or 0")
    return known[text.lower()]


def _milliseconds(text: str) -> float:
    return _whole(1, _YEAR * 1000)(text) / 1000


def _store(text: str) -> str:
    if not _is_redis_url(text):
        raise ValueError("must be a URL such as redis://host:6379/0, or absent for the local files")
    return text


def _is_redis_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        has_sane_port = parts.port is None or parts.port > 0
    except ValueError:
        return False
    if parts.scheme == "unix":
        return bool(parts.path)
    return parts.scheme in {"redis", "rediss"} and has_sane_port and re.fullmatch(r"(/\d*)?", parts.path) is not None


def _folders(text: str) -> tuple[Path, ...]:
    try:
        folders = tuple(Path(part.strip()).expanduser() for part in text.split(os.pathsep) if part.strip())
        are_folders = all(folder.is_absolute() and folder.is_dir() for folder in folders)
    except (RuntimeError, OSError, ValueError):
        are_folders = False
    if not are_folders:
        raise ValueError(f"must be folders that exist, as whole paths, separated by {os.pathsep!r}")
    return folders


def _log_level(text: str) -> str:
    if text not in {"off", "error", "info", "debug"}:
        raise ValueError("must be off, error, info or debug")
    return text


def _text(text: str) -> str:
    return text


_SETTINGS: Mapping[str, _Setting] = {
    "LLM_PROVIDER": _Setting("provider", _text),
    "LLM_DEFAULT_MODEL": _Setting("default_model", _model_ref),
    "LLM_FALLBACKS": _Setting("fallbacks", _refs),
    "CHOMP_AGENT_MODEL": _Setting("agent_model", _model_ref),
    "GATEWAY_HOST": _Setting("host", _text),
    "GATEWAY_PORT": _Setting("port", _whole(0, 65535)),
    "GATEWAY_WORKERS": _Setting("workers", _whole(1, 64)),
    "GATEWAY_AUTH_TOKEN": _Setting("auth_token", _token),
    "GATEWAY_RATE_RPS": _Setting("rate_rps", _number(0, _MOST)),
    "GATEWAY_RATE_BURST": _Setting("rate_burst", _whole(0, _MOST)),
    "LLM_DAILY_BUDGET_USD": _Setting("daily_budget_usd", _money),
    "LLM_MONTHLY_BUDGET_USD": _Setting("monthly_budget_usd", _money),
    "CIRCUIT_FAILURE_THRESHOLD": _Setting("circuit_failure_threshold", _whole(1, _MOST)),
    "CIRCUIT_RESET_TIME_MS": _Setting("circuit_reset_seconds", _milliseconds),
    "CORS_ALLOWED_ORIGINS": _Setting("cors_origins", _origins),
    "CHOMP_STORE": _Setting("store", _store),
    "CHOMP_FILES": _Setting("files", _folders),
    "CHOMP_DEADLINE_SECONDS": _Setting("deadline_seconds", _number(0.05, 86_400)),
    "CHOMP_UPSTREAM_TIMEOUT_SECONDS": _Setting("upstream_timeout_seconds", _number(0.05, 86_400)),
    "CHOMP_LOG": _Setting("log", _log_level),
    "CHOMP_OPEN_REGISTRATION": _Setting("open_registration", _flag),
    "CHOMP_ALLOWED_HOSTS": _Setting("allowed_hosts", _hosts),
    "CHOMP_MAX_REQUESTS": _Setting("max_requests", _whole(1, _MOST)),
    "CHOMP_MAX_REQUEST_BYTES": _Setting("max_request_bytes", _whole(1, 1 << 50)),
}

_WHOLE_PLACEHOLDER = re.compile(r"\$\{[^}]*\}|%\w+%|\{\{[^}]*\}\}")

_SECRET = frozenset({"GATEWAY_AUTH_TOKEN", "CHOMP_STORE"})


def _home(environment: Mapping[str, str]) -> Path:
    named = environment.get("CHOMP_HOME", "").strip()
    if not named:
        return _default_home()
    if _PLACEHOLDER.search(named):
        raise InvalidSetting(
            f"CHOMP_HOME in the environment is wrong: {_short(named)} holds a placeholder that nothing filled in.",
            hint="Write the folder's whole path there.",
        )
    try:
        home = Path(named).expanduser().absolute()
        is_usable = "\0" not in named and _is_folder(home)
    except (RuntimeError, OSError, ValueError):  # ~ of a user that is not there; a name that no disk takes
        is_usable = False
    if not is_usable:
        raise InvalidSetting(
            f"CHOMP_HOME in the environment is wrong: {_short(named)} is no folder.",
            hint="Name a folder; it may be new.",
        )
    return home


_PLACEHOLDER = re.compile(r"\$\{.*?\}|\$\w+|%\w+%|\{\{.*?\}\}")
"""Hosts differ in which of these they fill in, and hand on the others as they stand (claude-code #69123)."""


def _default_home() -> Path:
    """The user's data folder; a user without HOME and without an entry in the system's list has none."""
    try:
        return platformdirs.user_data_path("chomp-mcp", appauthor=False)
    except RuntimeError:
        hint = "Set CHOMP_HOME to a folder that it may write to."
        raise InvalidSetting("This user has no home folder.", hint=hint) from None


def _is_folder(home: Path) -> bool:
    """The folder, or the nearest one above it that exists, is one."""
    return next(path for path in (home, *home.parents) if path.exists()).is_dir()


def _short(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")


_SHOWN = 200


_URL_NAME = re.compile(r"OLLAMA_BASE_URL|CURSOR_ADAPTER_URL|CHOMP_ROUTER_.+_URL")


def _urls_in(config: dict[str, Any]) -> dict[str, str]:
    """Take out what names a router's URL; the catalog reads it beside the environment's."""
    return {
        name: _parse(name, _router_url, config.pop(name), "config.toml")
        for name in list(config)
        if _URL_NAME.fullmatch(name)
    }


def _network_in(config: dict[str, Any], environment: Mapping[str, str]) -> dict[str, str]:
    """Take out proxies and certificates; the environment's own win, in capitals or not, as everywhere."""
    named = {name: str(config.pop(name)) for name in NETWORK if isinstance(config.get(name), str)}
    return {name: value for name, value in named.items() if not (environment.keys() & {name, name.lower()})}


def _router_url(text: str) -> str:
    try:
        return checked_url(text)
    except ValueError:
        raise ValueError("must be an http(s) URL") from None


def _agents(table: Any) -> Mapping[str, Mapping[str, str]]:
    """`[agents.claude]` with rows such as opus = "groq/openai/gpt-oss-120b"."""
    rows = table if isinstance(table, dict) else {"": table}
    for agent, tiers in rows.items():
        if agent not in _AGENTS or not isinstance(tiers, dict):
            raise InvalidSetting(
                f"[agents.{agent}] in config.toml is no table of a known agent.",
                hint=f"Write {' or '.join(f'[agents.{name}]' for name in _AGENTS)}, with rows such as {_AGENT_ROW}.",
            )
        for tier, ref in tiers.items():
            _parse(f"{tier} of [agents.{agent}]", _model_ref, ref, "config.toml")
    return rows


_AGENTS = ("claude", "codex")
_AGENT_ROW = 'opus = "groq/openai/gpt-oss-120b"'


def _from_environment(environment: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """The settings that are set; an empty variable counts as absent, as shells and compose files leave them."""
    return {name: (environment[name], "the environment") for name in _SETTINGS if environment.get(name, "").strip()}


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
    keys = [name for name in unknown if name.endswith("_API_KEY")]
    if keys:
        raise InvalidSetting(
            f"{home / 'config.toml'} holds {keys[0]}: keys have no place there.",
            hint="Remove it, and run `chomp-mcp keys add <router>`.",
        )
    if unknown:
        raise InvalidSetting(
            f"{home / 'config.toml'} has an unknown setting {unknown[0]!r}.",
            hint=f"Known: {', '.join((*_SETTINGS, *NETWORK))}, and rows under [routers.<id>].",
        )


def _parse(name: str, parse: Callable[[str], Any], value: Any, place: str) -> Any:
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value).strip()
    try:
        if isinstance(value, Mapping):
            raise ValueError("must be a text or a number")  # noqa: TRY301, TRY004 - as every other wrong value
        if _WHOLE_PLACEHOLDER.fullmatch(text):
            raise ValueError("must be a value: nothing filled in that placeholder")  # noqa: TRY301 - likewise
        return parse(text)
    except ValueError as error:
        reason = str(error) if str(error).startswith("must be") else "must be a number"
        shown = "its value" if name in _SECRET or "@" in text else repr(text)
        raise InvalidSetting(
            f"{name} in {place} is wrong: {shown} {reason}.", hint=f"Correct or remove {name}."
        ) from None
