"""Everything configurable, as one frozen object, read once at start.

A variable of the environment wins over the same name in `config.toml`, which wins over the default. A wrong value is an
`InvalidSetting` that names where it stands.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import platformdirs

from chomp_mcp.errors import InvalidSetting

__all__ = ["Settings", "checked_url"]


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user chose; the field names follow the variables in the README."""

    home: Path
    provider: str = "auto"
    default_model: str = "auto"
    fallbacks: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    port: int = 8080
    auth_token: str = field(default="", repr=False)
    open_registration: bool = False
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
    router_rows: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """`[routers.*]` of config.toml, as written."""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Where the catalog looks up the owner's keys and URL overrides."""

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
        _refuse_unknown(config, home)
        given = {**{name: (value, "config.toml") for name, value in config.items()}, **_from_environment(environment)}
        values = {
            setting.field: _parse(name, setting.parse, *given[name])
            for name, setting in _SETTINGS.items()
            if name in given
        }
        return cls(home=home, router_rows=rows, environment=environment, **values)


def checked_url(text: str) -> str:
    """An http(s) URL without its trailing slash; a bare `host:port` gets http://. `ValueError` for anything else."""
    url = text.strip().rstrip("/")
    if "://" not in url:
        url = f"http://{url}"
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or (parts.port is not None and parts.port < 1):
        raise ValueError(f"not an http(s) URL: {text!r}")
    return url


@dataclass(frozen=True, slots=True)
class _Setting:
    field: str
    parse: Callable[[str], Any]


def _number(minimum: float, maximum: float = float("inf")) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = float(text)
        if not minimum <= value <= maximum:
            raise ValueError(f"must be {_range(minimum, maximum)}")
        return value

    return parse


def _whole(minimum: int, maximum: float = float("inf")) -> Callable[[str], int]:
    def parse(text: str) -> int:
        value = int(text)
        if not minimum <= value <= maximum:
            raise ValueError(f"must be a whole number {_range(minimum, maximum)}")
        return value

    return parse


def _range(minimum: float, maximum: float) -> str:
    return f"of at least {minimum:g}" if maximum == float("inf") else f"from {minimum:g} to {maximum:g}"


def _money(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ValueError("must be an amount in US dollars, such as 2.50") from None
    if not value.is_finite() or value < 0:
        raise ValueError("must be an amount of at least 0")
    return value


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _flag(text: str) -> bool:
    known = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if text.lower() not in known:
        raise ValueError("must be 1 or 0")
    return known[text.lower()]


def _milliseconds(text: str) -> float:
    return _whole(1)(text) / 1000


def _store(text: str) -> str:
    if not text.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("must be a redis:// URL, or absent for the local files")
    return text


def _log_level(text: str) -> str:
    if text not in {"off", "error", "info", "debug"}:
        raise ValueError("must be off, error, info or debug")
    return text


def _text(text: str) -> str:
    return text


_SETTINGS: Mapping[str, _Setting] = {
    "LLM_PROVIDER": _Setting("provider", _text),
    "LLM_DEFAULT_MODEL": _Setting("default_model", _text),
    "LLM_FALLBACKS": _Setting("fallbacks", _words),
    "GATEWAY_HOST": _Setting("host", _text),
    "GATEWAY_PORT": _Setting("port", _whole(0, 65535)),
    "GATEWAY_AUTH_TOKEN": _Setting("auth_token", _text),
    "GATEWAY_RATE_RPS": _Setting("rate_rps", _number(0)),
    "GATEWAY_RATE_BURST": _Setting("rate_burst", _whole(0)),
    "LLM_DAILY_BUDGET_USD": _Setting("daily_budget_usd", _money),
    "LLM_MONTHLY_BUDGET_USD": _Setting("monthly_budget_usd", _money),
    "CIRCUIT_FAILURE_THRESHOLD": _Setting("circuit_failure_threshold", _whole(1)),
    "CIRCUIT_RESET_TIME_MS": _Setting("circuit_reset_seconds", _milliseconds),
    "CORS_ALLOWED_ORIGINS": _Setting("cors_origins", _words),
    "CHOMP_STORE": _Setting("store", _store),
    "CHOMP_DEADLINE_SECONDS": _Setting("deadline_seconds", _number(0.05, 86_400)),
    "CHOMP_UPSTREAM_TIMEOUT_SECONDS": _Setting("upstream_timeout_seconds", _number(0.05, 86_400)),
    "CHOMP_LOG": _Setting("log", _log_level),
    "CHOMP_OPEN_REGISTRATION": _Setting("open_registration", _flag),
}

_SECRET = frozenset({"GATEWAY_AUTH_TOKEN", "CHOMP_STORE"})


def _home(environment: Mapping[str, str]) -> Path:
    named = environment.get("CHOMP_HOME", "").strip()
    return Path(named).expanduser().absolute() if named else platformdirs.user_data_path("chomp-mcp", appauthor=False)


def _from_environment(environment: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """The settings that are set; an empty variable counts as absent, as shells and compose files leave them."""
    return {name: (environment[name], "the environment") for name in _SETTINGS if environment.get(name, "").strip()}


def _read_config(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except PermissionError as error:
        raise InvalidSetting(
            f"{path} cannot be read: {error.strerror}.", hint="Give yourself read access to it."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidSetting(f"{path} is not TOML: {error}.", hint="Mend that line, or move the file away.") from None


def _refuse_unknown(config: Mapping[str, Any], home: Path) -> None:
    unknown = sorted(set(config) - set(_SETTINGS))
    if unknown:
        raise InvalidSetting(
            f"{home / 'config.toml'} has an unknown setting {unknown[0]!r}.",
            hint=f"Known: {', '.join(_SETTINGS)}, and rows under [routers.<id>].",
        )


def _parse(name: str, parse: Callable[[str], Any], value: Any, place: str) -> Any:
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value).strip()
    try:
        return parse(text)
    except ValueError as error:
        reason = str(error) if str(error).startswith("must be") else "must be a number"
        shown = "its value" if name in _SECRET else repr(text)
        raise InvalidSetting(
            f"{name} in {place} is wrong: {shown} {reason}.", hint=f"Correct or remove {name}."
        ) from None
