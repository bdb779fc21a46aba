"""`install` and `uninstall`: one entry in a client's configuration; everything else in that file stays as it is."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from chomp_mcp.doors.cli import desktop, edits, launch
from chomp_mcp.doors.cli.changes import agreed, masked_line, refused, show
from chomp_mcp.doors.cli.clients import CLIENTS, NAME, Client
from chomp_mcp.doors.cli.config_file import ConfigFile
from chomp_mcp.doors.cli.output import remark, show_json
from chomp_mcp.doors.cli.parser import client_named
from chomp_mcp.doors.cli.providers import DESKTOP, provider_of
from chomp_mcp.errors import InvalidRequest
from chomp_mcp.messages import AUTO
from chomp_mcp.routers import catalog
from chomp_mcp.settings import IN_URLS, URLS, Settings, may_stand_in_config
from chomp_mcp.store.master_key import VARIABLE as MASTER_KEY

SETTINGS = ("LLM_", "CHOMP_", "CIRCUIT_", *URLS, *IN_URLS)
"""What the names of the settings begin with that matter to a server on stdio."""
REMOTE = frozenset({
    "url", "httpUrl", "serverUrl", "uri", "headers", "http_headers", "env_http_headers", "bearer_token_env_var",
    "bearerTokenEnvVar", "oauth", "auth", "requestOptions", "transport", "type",
})  # fmt: skip
"""What makes an entry one for a server elsewhere; beside a command some clients prefer it (Gemini: httpUrl)."""
HOST_SECONDS = 60.0
"""What a client's own command may take: the slowest of them needs eight."""


def install(args: argparse.Namespace) -> None:
    """Write the entry, keep a backup of the file as it was, and say what the client does not hand on."""
    _as_json(args, _install_entry) if args.json else _install_entry(args)


def uninstall(args: argparse.Namespace) -> None:
    """Take the entry out; a file that nobody else changed since is, byte for byte, what it was before `install`."""
    _as_json(args, _uninstall_entry) if args.json else _uninstall_entry(args)


def _as_json(args: argparse.Namespace, command: Callable[[argparse.Namespace], None]) -> None:
    """{client, file, changed, said}: whether the file is another one now, and what a person would have read."""
    client = _client(args)
    path = client.file(project=args.project)
    before = path.read_bytes() if path.is_file() else None
    args.yes = True  # nobody could see the question
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.redirect_stderr(said):
        command(args)
    after = path.read_bytes() if path.is_file() else None
    lines = said.getvalue().splitlines()
    show_json({"client": client_named(args.client), "file": str(path), "changed": before != after, "said": lines})


def _install_entry(args: argparse.Namespace) -> None:
    settings = Settings.load()
    client = _client(args)
    if args.model and not args.provider:
        hint = "Leave it out: each question names its model. For another default: LLM_DEFAULT_MODEL in config.toml."
        raise InvalidRequest("--model goes with --provider alone.", hint=hint)
    if args.provider and client_named(args.client) == DESKTOP:
        desktop.install_profile(client, args)
        return
    path = client.file(project=args.project)
    carried, left = ({}, []) if args.provider else _of_this_shell(settings, args.env)
    entry = _entry(client, settings, carried)
    if args.only_print:
        remark(f"{path}:")
        print(_as_text(client, entry))
    else:
        _install(client, ConfigFile.read(path), entry, args)
    for line in left:
        remark(line)


def _uninstall_entry(args: argparse.Namespace) -> None:
    client = _client(args)
    if args.provider and client_named(args.client) == DESKTOP:
        desktop.uninstall_profile(client, args)
        return
    file = ConfigFile.read(client.file(project=args.project))
    form, where = edits.of(client.form), (client.section, NAME)
    with refused(file.path, "Take the entry out yourself."):
        entry = edits.found(form.read(file.text or ""), where)
        if entry is None:
            print(f"{client.name} has no entry of ours: {file.path}")
            return
        kept, after = _as_it_was(client, file, entry)
    own = _own(client, args, lambda own, scope: own.remove(scope))
    show(own, file.text or "", after or "", file.path)
    if args.only_print or not agreed(args):
        return
    if own and not _run(own) and edits.found(form.read(ConfigFile.read(file.path).text or ""), where) is None:
        print(f"{client.name} has forgotten it: {file.path}")
        return
    backup = None
    if after is None:
        file.path.unlink()
    else:
        backup = file.replace(after)
    if kept:  # the file is that backup again
        for each in (kept.path, backup):
            if each:
                each.unlink(missing_ok=True)
        backup = None
    print(f"{client.name} has forgotten it: {file.path}" + (f" (as it was: {backup})" if backup else ""))


def _client(args: argparse.Namespace) -> Client:
    """Whose file it is, and where in it our entry belongs: among its MCP servers, or among its providers of models."""
    name = client_named(args.client)
    if not args.provider:
        return CLIENTS[name]
    return provider_of(name, Settings.load(), getattr(args, "model", "") or AUTO)


def snippet(client: Client, settings: Settings) -> str:
    """What belongs in the client's file, as text."""
    return _as_text(client, _entry(client, settings, {}))


def _as_text(client: Client, entry: Mapping[str, Any]) -> str:
    return edits.of(client.form).put("", (client.section, NAME), dict(entry)).rstrip("\n")


def _entry(client: Client, settings: Settings, carried: Mapping[str, str]) -> dict[str, Any]:
    """Clients hand on neither CHOMP_HOME nor XDG_DATA_HOME: where one of them moved the store, the entry says so."""
    moved = any(settings.environment.get(name) for name in ("CHOMP_HOME", "XDG_DATA_HOME"))
    return client.shape(launch.lasting_command(), {**({"CHOMP_HOME": str(settings.home)} if moved else {}), **carried})


def _install(client: Client, file: ConfigFile, fresh: Mapping[str, Any], args: argparse.Namespace) -> None:
    form, where, before = edits.of(client.form), (client.section, NAME), file.text or ""
    with refused(file.path, f"Paste this into it yourself:\n{_as_text(client, fresh)}"):
        old, entry = edits.found(form.read(before), where), dict(fresh)
        if isinstance(old, Mapping):  # what its owner added to it stays, variables above all; nothing of a remote one
            entry = {name: value for name, value in old.items() if name not in REMOTE or name in fresh} | entry
            for name in ("env", "environment", "envs"):
                if name in fresh and isinstance(old.get(name), Mapping):
                    entry[name] = {**old[name], **fresh[name]}
        after = edits.merge(form, before, where, entry)
    if old == entry:
        print(f"{client.name} has it already: {file.path}")
        return
    own = None
    if old is None or (client.own and client.own.keeps_fields):
        own = _own(client, args, lambda own, scope: own.add(entry, scope))
    show(own, before, after, file.path)
    if not agreed(args):
        return
    if own:
        if old is not None and client.own:  # it refuses a name that is taken
            _run([own[0], *client.own.remove(_scope(args))])
        why = _run(own)
        now = edits.found(form.read(ConfigFile.read(file.path).text or ""), where)
        if not why and isinstance(now, Mapping) and now.get("command") == entry.get("command"):
            print(f"{client.name} has it now: {file.path}")
            remark(client.after)
            return
        remark(f"`{own[0]}` could not do it ({why or 'it wrote something else'}); the file is edited instead.")
        file = ConfigFile.read(file.path)
        after = edits.merge(form, file.text or "", where, entry)
    backup = file.replace(after, is_shared=args.project)
    print(f"{client.name} has it now: {file.path}" + (f" (as it was: {backup})" if backup else ""))
    remark(client.after)


def _as_it_was(client: Client, file: ConfigFile, entry: Any) -> tuple[ConfigFile | None, str | None]:
    """The text without the entry, and the backup that it equals: the file before `install`, if only that changed it."""
    form, where = edits.of(client.form), (client.section, NAME)
    for kept in file.backups():
        try:
            is_before = edits.found(form.read(kept.text or ""), where) is None
            if is_before and edits.merge(form, kept.text or "", where, entry) == file.text:
                return kept, kept.text or ""
        except ValueError:
            continue
    if form.put("", where, dict(entry)) == file.text:  # `install` made the file
        return None, None
    return None, edits.drop(form, file.text or "", where)


def _scope(args: argparse.Namespace) -> str:
    return "project" if args.project else "user"


def _own(client: Client, args: argparse.Namespace, words: Any) -> list[str] | None:
    """The client's own command line for it, where it is installed and can say that."""
    own = client.own
    program = shutil.which(own.program) if own else None
    if own is None or program is None or _scope(args) not in own.scopes:
        return None
    said = words(own, _scope(args))
    return None if said is None else [program, *said]


def _run(command: Sequence[str]) -> str:
    """Why it failed; empty where it did not."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=HOST_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if not done.returncode:
        return ""
    lines = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines()
    return masked_line(lines[-1])[:200] if lines else f"exit code {done.returncode}"


def _of_this_shell(settings: Settings, asked: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """What goes along in the entry: the way out of this network, what was asked for; and what is said of the rest."""
    # Clients start servers with a bare environment: what is set only in this shell would silently be missing.
    given = {name: value for name, value in os.environ.items() if value.strip()}
    missing = [name for name in asked if name not in given]
    if missing:
        raise InvalidRequest(f"{missing[0]} is not set here.", hint="Set it in this shell, or leave out --env.")
    network = [name for name in launch.network(given) if name not in asked]
    secret = [name for name in network if "@" in urlsplit(given[name]).netloc]
    carried = {name: given[name] for name in (*network, *asked) if name not in secret}
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        if name in carried:
            carried[name] = os.path.abspath(carried[name])  # noqa: PTH100 - links in it may be meant to move
    said = [f"Only this shell has {', '.join(carried)}: the entry carries it along."] if carried else []
    said += [
        f"{name} holds a password and was left out: put it into {settings.home / 'config.toml'}, or say --env {name}."
        for name in secret
    ]
    left = given.keys() - carried.keys()
    said += [
        f"{router.key_variable} is set in this shell only: store it with chomp-mcp keys add {router.id}"
        for router in catalog.load(settings).values()
        if router.key_variable in left
    ]
    if MASTER_KEY in left:
        said.append(f"{MASTER_KEY} is set in this shell only: to read sealed keys the client needs --env {MASTER_KEY}.")
    shell_only = sorted(name for name in left if name.startswith(SETTINGS) and may_stand_in_config(name))
    if shell_only:
        said.append(f"Set in this shell only: {', '.join(shell_only)}. Put them into {settings.home / 'config.toml'}.")
    return carried, said
