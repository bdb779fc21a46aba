"""Every key tried on its router, all at once, in the environment that a client's server will have.

That needs a process of its own: proxies, certificates and keys of this shell must not help it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import TypedDict

import anyio

from chomp_mcp.app import Chomp
from chomp_mcp.doors.cli.parser import CHECK_KEYS
from chomp_mcp.gateway.key_check import check_key
from chomp_mcp.messages import OWNER, Router
from chomp_mcp.settings import Settings


class Check(TypedDict):
    """One thing that `doctor` looked at."""

    name: str
    ok: bool
    detail: str
    exit_code: int
    """What the command ends with if this is the first that is not well; else 0."""


def check(name: str, detail: str, failed: int = 0) -> Check:
    """`failed`: the exit code of what is not well."""
    return {"name": name, "ok": not failed, "detail": detail, "exit_code": failed}


def key_rows(env: Mapping[str, str], shell: Mapping[str, str]) -> Iterator[Check]:
    """A row per key as its answer comes.

    `env` is the server's environment; `shell` has the variables of keys that it lacks and this shell has.
    """
    command, pipe = [sys.executable, "-P", "-m", "chomp_mcp", CHECK_KEYS, ",".join(shell)], subprocess.PIPE
    nothing = subprocess.DEVNULL
    with subprocess.Popen(command, env={**env, **shell}, stdin=nothing, stdout=pipe, stderr=pipe) as process:
        for line in process.stdout or ():
            yield json.loads(line)
        said = process.stderr.read().decode("utf-8", "replace").strip() if process.stderr else ""
    if process.returncode:
        last = said.splitlines()[-1] if said else f"exit code {process.returncode}"
        yield check("keys", last.removeprefix("chomp-mcp: "), process.returncode)


async def check_keys(args: argparse.Namespace) -> None:
    """The process: a JSON line per row."""
    shell = frozenset(filter(None, args.shell.split(",")))
    async with Chomp(Settings.load()) as chomp:
        previews = await chomp.keyring.previews(OWNER)
        owned = {r: keys for r, keys in (await chomp.keyring.keys_of(OWNER)).items() if r in chomp.routers}

        async def look(router: Router, keys: tuple[str, ...], preview: str) -> None:
            found = [await check_key(chomp.client, router, key, clock=chomp.clock) for key in keys]
            failed = [check for check in found if not check.ok]
            detail = f"{preview}: {'; '.join(check.detail.rstrip('.') for check in failed) or found[0].detail}"
            again = f"chomp-mcp keys add {router.id}"
            if any(check.is_refused for check in failed):
                detail += f". Replace it with: {again}"
            elif failed:
                detail += f". Look at the way to {router.url}, and try again"
            # It works in this try alone: a client hands its server none of the shell's variables.
            is_shell_only = router.key_variable in shell and preview.endswith("(environment)")
            if is_shell_only:
                detail += f". But only this shell has {router.key_variable}, clients do not: run {again}"
            row = check(f"key {router.id}", detail, 4 if failed else 2 if is_shell_only else 0)
            print(json.dumps(row), flush=True)

        async with anyio.create_task_group() as tasks:
            for router_id, keys in owned.items():
                tasks.start_soon(look, chomp.routers[router_id], keys, previews[router_id])
    if not owned:
        print(json.dumps(check("keys", "none: only the mock router answers. Run chomp-mcp keys add ROUTER")))
