"""What each setting must be, checked by pydantic under the names of the variables."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

_YEAR_MS = 366 * 86_400_000
_MOST = 1_000_000_000
"""More requests a second, or dollars a day, is a slip of the keyboard."""


def parsed(texts: Mapping[str, str]) -> dict[str, Any]:
    """The values of these variables; `ValueError`, which `first_fault` reads, where one cannot be meant."""
    checked = _Settings.model_validate(texts)
    return {name: getattr(checked, name) for name in texts}


def first_fault(error: ValueError) -> tuple[str, str]:
    """The variable, and what it must be."""
    if not isinstance(error, ValidationError):
        raise error
    fault = error.errors(include_url=False, include_input=False)[0]
    name = str(fault["loc"][0])
    reason = str(fault.get("ctx", {}).get("error", ""))
    if not reason.startswith("must be"):
        reason = f"must be {_Settings.model_fields[name].description}"
    return name, reason


def _words(fits: Callable[[str], object], must: str, read: Callable[[str], str] = str.strip) -> BeforeValidator:
    """Words separated by commas, each as `read` makes it of what was written."""

    def checked(text: str) -> tuple[str, ...]:
        words = tuple(read(word.strip()) for word in text.split(",") if word.strip())
        if not all(map(fits, words)):
            raise ValueError(must)
        return words

    return BeforeValidator(checked)


def checked_model_ref(text: str) -> str:
    """A model ref; `ValueError` says what it must be."""
    if not all(text.split("/")) or text.split() != [text] or not text.isprintable():
        raise ValueError("must be a model ref, such as auto, groq/auto or groq/openai/gpt-oss-120b")
    return text


_ORIGIN = re.compile(r"\*|[A-Za-z][A-Za-z0-9+.-]*://[^/?#@\s]+/?")
_HOST = re.compile(r"\*|(\*\.)?[A-Za-z0-9._:-]+")


def _token(text: str) -> str:
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must be one word of ASCII characters, or no client could send it")
    return text


def checked_store(text: str) -> str:
    """The URL of a Redis, as store/kv/redis_url.py has them; nothing is looked up."""
    parts = urlsplit(text)
    hosts = [urlsplit(f"//{each}") for each in parts.netloc.rpartition("@")[2].split(",")]
    try:
        are_hosts = all(host.hostname and host.port != 0 for host in hosts)
    except ValueError:  # a port that is none
        are_hosts = False
    kind = parts.scheme.removeprefix("rediss").removeprefix("redis")
    is_store = bool(parts.path)
    if parts.scheme != "unix":
        is_redis = parts.scheme.startswith("redis") and kind in _STORES
        is_fit = is_redis and are_hosts and (kind == "+sentinel" or len(hosts) == 1)
        is_store = is_fit and re.fullmatch(_STORES[kind], parts.path) is not None
    if not is_store or text.split() != [text]:
        raise ValueError("must be a URL such as redis://host:6379/0, or absent for the local files")
    return text


_STORES: Mapping[str, str] = {"": r"(/\d*)?", "+sentinel": r"/[\w.-]+(/\d*)?", "+cluster": r"/?0?"}
"""What follows `redis` or `rediss` -> what the path may be."""


def _folders(text: str) -> tuple[Path, ...]:
    try:
        folders = tuple(Path(part.strip()).expanduser() for part in text.split(os.pathsep) if part.strip())
        are_folders = all(folder.is_absolute() and folder.is_dir() for folder in folders)
    except (RuntimeError, OSError, ValueError):
        are_folders = False
    if not are_folders:
        raise ValueError(f"must be folders that exist, as whole paths, separated by {os.pathsep!r}")
    return folders


def _between(least: float, most: float, what: str) -> Any:
    return Field(ge=least, le=most, allow_inf_nan=False, description=f"{what} from {least:,} to {most:,}")


def _whole(least: int, most: int) -> Any:
    return Field(ge=least, le=most, description=f"a whole number from {least:,} to {most:,}")


_Money = Annotated[Decimal, _between(0, _MOST, "an amount in US dollars, such as 2.50,")]
_Timeout = Annotated[float, _between(0.05, 86_400, "a number")]
# What functions of ours read, which say themselves what is wrong with a text.
_ModelRef = Annotated[Any, BeforeValidator(checked_model_ref)]
_Refs = Annotated[
    Any, _words(str.isprintable, "must be routers or model refs, such as groq, openrouter/auto, separated by commas")
]
_Token = Annotated[Any, BeforeValidator(_token)]
_Origins = Annotated[
    Any, _words(_ORIGIN.fullmatch, "must be origins such as http://localhost:3000, separated by commas, or *")
]
_Store = Annotated[Any, BeforeValidator(checked_store)]
_Folders = Annotated[Any, BeforeValidator(_folders), Field(description="folders that exist")]
_Hosts = Annotated[
    Any,
    _words(
        _HOST.fullmatch,
        "must be host names such as host.docker.internal, separated by commas",
        # Names alone: whoever writes a URL or a port means the name in it.
        lambda host: urlsplit(host if "://" in host else f"//{host}").hostname or "",
    ),
    Field(description="host names, separated by commas"),
]


_LogLevel = Annotated[Literal["off", "error", "info", "debug"], Field(description="off, error, info or debug")]
_Policies = Literal["off", "warn", "redact", "local", "block"]
_SecretsPolicy = Annotated[_Policies, Field(description="off, warn, redact, local or block")]
_Switch = Annotated[bool, Field(description="1 or 0")]


class _Settings(BaseModel):
    """One field for each variable, in the order in which faults are told; all may be absent.

    What stands below each is its sentence in docs/settings.md. The defaults here are never read: those of `Settings`
    count.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    LLM_PROVIDER: str = ""
    """The router that `auto` tries first."""
    LLM_DEFAULT_MODEL: _ModelRef = None
    """The model ref for requests that name none."""
    LLM_FALLBACKS: _Refs = None
    """Routers or model refs, in order, separated by commas."""
    CHOMP_AGENT_MODEL: _ModelRef = None
    """What an agent's own model name (`claude-opus-…`) stands for where no router lists it; by tier in
    `config.toml`: `[agents.claude]`."""
    GATEWAY_HOST: str = ""
    """The address that `serve` listens on; beyond loopback it needs `GATEWAY_AUTH_TOKEN`."""
    GATEWAY_PORT: Annotated[int, _whole(0, 65_535)] = 0
    """Its port; 0 takes a free one."""
    GATEWAY_WORKERS: Annotated[int, _whole(1, 64)] = 1
    """Processes that serve the port; not on Windows."""
    GATEWAY_AUTH_TOKEN: _Token = None
    """The owner's token; at least 16 characters beyond loopback."""
    GATEWAY_RATE_RPS: Annotated[float, _between(0, _MOST, "a number")] = 0
    """Requests per second and caller over HTTP; 0 turns it off."""
    GATEWAY_RATE_BURST: Annotated[int, _whole(0, _MOST)] = 0
    """As many may come at once."""
    LLM_DAILY_BUDGET_USD: _Money = Decimal(0)
    """Per caller and day, in your time zone; 0 turns it off; free models pass."""
    LLM_MONTHLY_BUDGET_USD: _Money = Decimal(0)
    """Per caller and month, likewise."""
    CHOMP_AWAY_BUDGET_USD: _Money = Decimal(0)
    """What each process may spend while Redis is away, where there is a budget; it is booked when it is back."""
    CIRCUIT_FAILURE_THRESHOLD: Annotated[int, _whole(1, _MOST)] = 1
    """Failures in a row that open a router's breaker."""
    CIRCUIT_RESET_TIME_MS: Annotated[int, _whole(1, _YEAR_MS), AfterValidator(lambda ms: ms / 1000)] = 1
    """How long it stays open, in milliseconds, until one probe may try."""
    CORS_ALLOWED_ORIGINS: _Origins = None
    """Pages whose scripts may call `serve`."""
    CHOMP_STORE: _Store = None
    """Redis for several machines, with `chomp-mcp[redis]`; needs a `CHOMP_MASTER_KEY`. Empty: the local files."""
    CHOMP_FILES: _Folders = None
    """Folders that `files` may read from and `save_to` may write into, separated by `:` (`;` on Windows); else the
    client's roots, else the folder that the server was started in."""
    CHOMP_DEADLINE_SECONDS: _Timeout = 1
    """When `ask` turns into a job."""
    CHOMP_JOB_RETRIES: Annotated[int, _whole(0, 100)] = 0
    """On a shared store: how often a job may be asked again whose replica ended when a router may have answered."""
    CHOMP_JOB_TAKEOVER_SECONDS: Annotated[float, _between(0.5, 3600, "a number")] = 1
    """On a shared store: how long nothing may be heard of a replica before another one takes over its jobs."""
    CHOMP_UPSTREAM_TIMEOUT_SECONDS: _Timeout = 1
    """How long a router may be silent."""
    CHOMP_LOG: _LogLevel = "off"
    """JSON log lines on stderr, of both servers; for people on a terminal."""
    CHOMP_KEEP_BODIES: _Switch = False
    """1: the owner's page shows what was asked and answered in the newest 200 exchanges of a process, for a day: at
    most 4,000 characters each, without what looks like a key; on disk only sealed with the master key."""
    CHOMP_SECRETS: _SecretsPolicy = "off"
    """What becomes of a prompt that holds what looks like a secret and would leave this machine."""
    CHOMP_OPEN_REGISTRATION: _Switch = False
    """1: strangers may get a token by `POST /api/keys` beyond loopback too."""
    CHOMP_MCP_SESSIONS: _Switch = False
    """1: MCP over HTTP has sessions on a shared store too; the balancer keeps each client on its replica."""
    CHOMP_ALLOWED_HOSTS: _Hosts = None
    """Host names beyond loopback that are served where no token is due (`host.docker.internal`, `*.ts.net`)."""
    CHOMP_MAX_REQUESTS: Annotated[int, _whole(1, _MOST)] = 1
    """Requests under way over HTTP in one process, and jobs there, again as many; more is 503 with `Retry-After`."""
    CHOMP_MAX_CALLER_REQUESTS: Annotated[int, _whole(0, _MOST)] = 0
    """Of these, those of one token's caller; 0: half."""
    CHOMP_MAX_REQUEST_BYTES: Annotated[int, _whole(1, 1 << 50)] = 1
    """The sum of their bodies; of one token's caller, half."""
