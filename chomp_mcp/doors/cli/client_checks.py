"""One row per MCP client on this machine: is our entry there, does its command exist, does the server answer."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial

from chomp_mcp.doors.cli import edits, launch
from chomp_mcp.doors.cli.clients import CLIENTS, NAME, Launch, launch_of
from chomp_mcp.doors.cli.config_file import ConfigFile
from chomp_mcp.doors.cli.key_checks import Check, check
from chomp_mcp.doors.cli.probe import NoAnswer, answers_http, start
from chomp_mcp.errors import ChompError


def entries() -> dict[str, Launch | str | None]:
    """Client -> what its entry starts; None where it has no entry; a text where its file cannot be read, and why."""
    found: dict[str, Launch | str | None] = {}
    for name, client in CLIENTS.items():
        try:
            if not client.is_installed():
                continue
        except ChompError:  # a user without a home folder has none
            continue
        try:
            text = ConfigFile.read(client.file()).text or ""
            found[name] = launch_of(edits.found(edits.of(client.form).read(text), (client.section, NAME)))
        except ChompError as error:
            found[name] = str(error)
        except ValueError as error:
            found[name] = f"{client.file()} cannot be read: {error}. Mend it there"
    return found


def environment_of(entry: Launch) -> dict[str, str]:
    """What a client's server has: little of the client's own environment, and what the entry says."""
    env = launch.client_environment(os.environ)
    env.pop("CHOMP_HOME", None)
    return {**env, **entry.env}


def client_rows(found: Mapping[str, Launch | str | None]) -> Iterator[Check]:
    """A row per client as it is known; entries that are alike are started once."""
    alike: dict[object, list[str]] = {}
    for name, entry in found.items():
        key = (entry.command, *sorted(entry.env.items()), entry.url) if isinstance(entry, Launch) else name
        alike.setdefault(key, []).append(name)
    with ThreadPoolExecutor(max_workers=4) as pool:
        tasks = {pool.submit(partial(_tried, found[names[0]], names[0])): names for names in alike.values()}
        for task in as_completed(tasks):
            ok, detail = task.result()
            for name in tasks[task]:
                told = detail if ok else detail.replace(tasks[task][0], name)
                yield check(f"client {name}", f"{CLIENTS[name].name}: {told}", failed=0 if ok else 2)


def _tried(entry: Launch | str | None, name: str) -> tuple[bool, str]:
    if isinstance(entry, str):
        return False, entry
    if entry is None:
        return True, f"is here, without an entry. Add one with: chomp-mcp install {name}"
    if entry.url:
        why = answers_http(entry.url)
        return not why, f"{entry.url} {why or 'answers'}"
    env = environment_of(entry)
    if shutil.which(entry.command[0], path=env.get("PATH")) is None:
        return False, f"{entry.command[0]} does not exist. Write the entry anew with: chomp-mcp install {name}"
    try:
        seconds = start(entry.command, env)
    except NoAnswer as error:
        return False, f"{error}. Then write the entry anew with: chomp-mcp install {name}"
    # The proxies are read in small letters too: one spelling in the entry is enough.
    spelled = {name.upper() for name in entry.env}
    missing = dict.fromkeys(name.upper() for name in launch.network(os.environ) if name.upper() not in spelled)
    detail = f"its entry starts, and answered initialize in {seconds:.2f} s"
    if missing:
        detail += f"; {', '.join(missing)} of this shell is not in it: chomp-mcp install {name} takes it along"
    return True, detail
