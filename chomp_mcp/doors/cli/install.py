"""`install`: one entry merged into a client's configuration; everything else in that file stays as it is."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from chomp_mcp.doors.cli import launch
from chomp_mcp.doors.cli.clients import CLIENTS, Client
from chomp_mcp.doors.cli.output import remark
from chomp_mcp.errors import InvalidRequest, StoreError
from chomp_mcp.routers import catalog
from chomp_mcp.settings import Settings

__all__ = ["install", "snippet"]

NAME = "chomp"
SETTINGS = ("LLM_", "CHOMP_", "CIRCUIT_", "OLLAMA_BASE_URL", "CURSOR_ADAPTER_URL")
"""What the names of the settings begin with that matter to a server on stdio."""


def install(args: argparse.Namespace) -> int:
    """Write the entry, keep a backup of the file as it was, and say what the client does not hand on."""
    settings = Settings.load()
    client = CLIENTS[args.client]
    path = client.path()
    if args.only_print:
        remark(f"{path}:")
        print(snippet(client, settings))
    else:
        _write(client, path, settings)
    for line in _not_handed_on(settings):
        remark(line)
    return 0


def snippet(client: Client, settings: Settings) -> str:
    """What belongs in the client's file, as JSON text."""
    return json.dumps({client.section: {NAME: _entry(client, settings)}}, indent=2)


def _entry(client: Client, settings: Settings) -> dict[str, Any]:
    """Clients hand on neither CHOMP_HOME nor XDG_DATA_HOME: where one of them moved the store, the entry says so."""
    moved = any(settings.environment.get(name) for name in ("CHOMP_HOME", "XDG_DATA_HOME"))
    return client.entry(launch.command(), {"CHOMP_HOME": str(settings.home)} if moved else {})


def _merged(old: Any, entry: dict[str, Any]) -> dict[str, Any]:
    """The entry with all that its owner added to the one before: variables above all."""
    if not isinstance(old, dict):
        return entry
    env = old.get("env")
    return {**old, **entry, "env": {**(env if isinstance(env, dict) else {}), **entry["env"]}}


def _write(client: Client, path: Path, settings: Settings) -> None:
    path = path.resolve()  # a linked configuration stays a link
    old = _read(path)
    config = _parsed(old, path, client, settings)
    servers = config.setdefault(client.section, {})
    if not isinstance(servers, dict):
        raise InvalidRequest(
            f'"{client.section}" in {path} is not an object.', hint="Mend it there, then install again."
        )
    entry = _merged(servers.get(NAME), _entry(client, settings))
    if servers.get(NAME) == entry:
        print(f"{client.name} has it already: {path}")
        return
    servers[NAME] = entry
    backup = _replace(path, json.dumps(config, indent=2, ensure_ascii=False) + "\n", is_new=old is None)
    print(f"{client.name} has it now: {path}" + (f" (as it was: {backup})" if backup else ""))
    remark(client.after)


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"{path} cannot be read: {error}.", hint="Mend that, or use --print.") from None


def _parsed(old: str | None, path: Path, client: Client, settings: Settings) -> dict[str, Any]:
    """The file as an object. Comments and trailing commas would be lost, so such a file is left to its owner."""
    if old is None or not old.strip():
        return {}
    try:
        config = json.loads(old)
    except ValueError:
        raise InvalidRequest(
            f"{path} is not plain JSON (comments?), so it was left as it is.",
            hint=f"Paste this into it yourself:\n{snippet(client, settings)}",
        ) from None
    if not isinstance(config, dict):
        raise InvalidRequest(f"{path} does not hold a JSON object.", hint="Move it away, then install again.")
    return config


def _replace(path: Path, text: str, *, is_new: bool) -> Path | None:
    """Write beside the file and rename over it; returns where the file as it was now is."""
    backup = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not is_new:
            backup = path.with_name(f"{path.name}.{datetime.now().astimezone():%Y%m%d-%H%M%S}.bak")
            shutil.copy2(path, backup)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if not is_new:
            shutil.copymode(path, name)
        Path(name).replace(path)
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written: {error.strerror}.", hint="Use --print and paste the text yourself."
        ) from None
    return backup


def _not_handed_on(settings: Settings) -> Iterable[str]:
    """Clients start servers with a bare environment; what is set only in this shell would silently be missing."""
    given = {name for name, value in settings.environment.items() if value.strip()}
    for router in catalog.load(settings).values():
        if router.key_variable in given:
            yield f"{router.key_variable} is set in this shell only: store it with chomp-mcp keys add {router.id}"
    shell_only = sorted(name for name in given if name.startswith(SETTINGS) and name != "CHOMP_HOME")
    if shell_only:
        yield f"Set in this shell only: {', '.join(shell_only)}. Put them into {settings.home / 'config.toml'}."
