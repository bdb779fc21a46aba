"""How other programs start chomp-mcp, and in which environment MCP clients do."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from chomp_mcp.settings import NETWORK

NAME = "chomp-mcp"

INHERITED = (
    ("HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER")
    if os.name != "nt"
    else (
        "APPDATA", "HOMEDRIVE", "HOMEPATH", "LOCALAPPDATA", "PATH", "PATHEXT", "PROCESSOR_ARCHITECTURE",
        "SYSTEMDRIVE", "SYSTEMROOT", "TEMP", "USERNAME", "USERPROFILE",
    )
)  # fmt: skip
"""All that the official SDKs hand on to a stdio server (mcp.client.stdio and its TypeScript twin)."""
SYSTEM_STORES = frozenset({
    "/etc/ssl/certs", "/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/cert.pem", "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/certs", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
})  # fmt: skip
"""Certificates that are trusted anyway: containers and CI set SSL_CERT_FILE to the system's own."""


def command() -> list[str]:
    """The absolute command that starts this installation: the script beside the interpreter, else the module."""
    name = "chomp-mcp.exe" if os.name == "nt" else "chomp-mcp"
    for folder in (Path(sys.executable).parent, Path(sysconfig.get_path("scripts"))):
        if (folder / name).is_file():
            return [str(folder / name)]
    return [sys.executable, "-m", "chomp_mcp"]


def lasting_command() -> list[str]:
    """The command for a client's configuration: what `uvx` and `pipx run` unpack into a cache is gone one day."""
    found = command()
    runner = next(filter(None, map(_cache_owner, (Path(found[0]), Path(sys.prefix)))), "")
    if not runner:
        return found
    # Where the runner took the package from, if not from an index: a path, or a URL (PEP 610).
    from importlib.metadata import PackageNotFoundError, distribution
    from urllib.request import url2pathname

    try:
        told = json.loads(distribution(NAME).read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        told = {}
    source = str(told.get("url", ""))
    if source.startswith("file://"):
        source = url2pathname(urlsplit(source).path)
    elif revision := told.get("vcs_info"):
        source = f"{revision['vcs']}+{source}@{revision['commit_id']}"
    if runner == "pipx":
        return [shutil.which("pipx") or "pipx", "run", *(("--spec", source) if source else ()), NAME]
    return [shutil.which("uvx") or "uvx", *(("--from", source) if source else ()), NAME]


@cache
def typed_command() -> str:
    """What a person types here to start it again: the name where the PATH finds this very installation, else a path."""
    lasting = lasting_command()
    if lasting != (found := command()):
        return _quoted([Path(lasting[0]).name, *lasting[1:]])
    on_path = shutil.which(NAME)
    if on_path and Path(on_path).resolve() == Path(found[0]).resolve():
        return NAME
    path = Path(found[0])
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return _quoted([str(shown), *found[1:]])


def _quoted(words: Sequence[str]) -> str:
    import subprocess

    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def _cache_owner(path: Path) -> str:
    """Whose cache the path is in: "uvx" (its buckets are called archive-v0, environments-v2 …), "pipx", or nobody's."""
    if any(re.fullmatch(r"(archive|environments|builds)-v\d+", part) for part in path.parts):
        return "uvx"
    if _PIPX_CACHES.intersection(zip(path.parts, path.parts[1:], strict=False)):
        return "pipx"
    pipx = os.environ.get("PIPX_HOME")
    folders = {"uvx": os.environ.get("UV_CACHE_DIR"), "pipx": pipx and Path(pipx) / ".cache"}
    return next((name for name, folder in folders.items() if folder and path.is_relative_to(folder)), "")


_PIPX_CACHES = frozenset({("pipx", ".cache"), (".cache", "pipx"), ("Caches", "pipx"), ("pipx", "Cache")})
"""Where `pipx run` unpacks: in its home until 1.7, since then in the user's cache folder of each system."""


def client_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What an MCP client leaves of the environment when it starts the server; CHOMP_HOME as its entry sets it."""
    return {name: environ[name] for name in (*INHERITED, "CHOMP_HOME") if name in environ}


def network(environ: Mapping[str, str]) -> dict[str, str]:
    """What of this shell leads out of its network, by names as they are set; an entry of `install` carries it along."""
    names = (name for each in NETWORK for name in (each, each.lower()))
    return {name: value for name in names if (value := environ.get(name, "")).strip() and value not in SYSTEM_STORES}
