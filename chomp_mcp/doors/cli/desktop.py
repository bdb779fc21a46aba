"""Claude Desktop's third-party inference: a profile of ours in its library, for `install claude-desktop --provider`.

Its library is a folder with a file for each profile, and `_meta.json`, which lists them and names the applied one.
Ids of models must look like Anthropic's there, and its base URL has no `/v1`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from chomp_mcp.doors.cli import edits
from chomp_mcp.doors.cli.changes import agreed, refused, show
from chomp_mcp.doors.cli.clients import NAME, Client, application
from chomp_mcp.doors.cli.config_file import ConfigFile
from chomp_mcp.doors.cli.output import remark
from chomp_mcp.policy.agents import VIA_CHOMP

PROFILE_ID = "c40b9c1e-6f0d-5a57-9d0c-63686f6d7021"
"""Of our profile, on every machine: its file has this name."""
_ENTRIES, _APPLIED = "entries", "appliedId"
_ENTRY = {"id": PROFILE_ID, "name": NAME}


def profile_file() -> Path:
    """Where our profile is, below the folder of the desktop program's settings."""
    return application("Claude-3p", "configLibrary", f"{PROFILE_ID}.json")()


def profile(address: str, model: str, *, has_token: bool) -> dict[str, Any]:
    """What our profile says; a token is no part of any client's file."""
    return {
        "inferenceProvider": "gateway",
        "inferenceGatewayBaseUrl": address,
        "inferenceGatewayAuthScheme": "bearer",
        **({} if has_token else {"inferenceGatewayApiKey": NAME}),
        "inferenceModels": [{"name": f"{VIA_CHOMP}{model}"}],
    }


def install_profile(client: Client, args: argparse.Namespace) -> None:
    """Write our profile and its line in the library's list; another profile that is applied stays so."""
    form, wanted = edits.of("jsonc"), client.shape((), {})
    file = ConfigFile.read(client.file(project=args.project))
    if args.only_print:
        remark(f"{file.path}:")
        print(json.dumps(wanted, indent=2))
        return
    after = file.text or ""
    with refused(file.path, "Move it away, or add the profile in Claude Desktop."):
        for name, value in wanted.items():
            after = form.put(after, (name,), value)

    def listed(text: str, meta: Mapping[str, Any]) -> str:
        entries = meta.get(_ENTRIES)
        if not isinstance(entries, list):
            text = form.put(text, (_ENTRIES,), [_ENTRY])
        elif _ENTRY not in entries:
            text = form.put(text, (_ENTRIES, NAME), _ENTRY)
        return text if meta.get(_APPLIED) else form.put(text, (_APPLIED,), PROFILE_ID)

    meta, meta_after = _edited(file.path.parent, listed)
    changes = [(each, text) for each, text in ((file, after), (meta, meta_after)) if text != each.text]
    if not changes:
        print(f"{client.name} has it already: {file.path}")
        return
    for each, text in changes:
        show(None, each.text or "", text, each.path)
    if not agreed(args):
        return
    for each, text in changes:
        each.replace(text)
    print(f"{client.name} has it now: {file.path}")
    is_applied = form.read(meta_after).get(_APPLIED) == PROFILE_ID
    remark(client.after if is_applied else f"Another profile is applied and stays so. {client.after}")


def uninstall_profile(client: Client, args: argparse.Namespace) -> None:
    """Take our profile and its line out; a list that `install` made and that is empty then goes, too."""
    form = edits.of("jsonc")

    def unlisted(text: str, meta: Mapping[str, Any]) -> str:
        text = form.drop(text, (_ENTRIES, NAME))
        return form.drop(text, (_APPLIED,)) if meta.get(_APPLIED) == PROFILE_ID else text

    file = ConfigFile.read(client.file(project=args.project))
    meta, after = _edited(file.path.parent, unlisted)
    if file.text is None and after == (meta.text or ""):
        print(f"{client.name} has no entry of ours: {file.path}")
        return
    show(None, meta.text or "", after, meta.path)
    if args.only_print or not agreed(args):
        return
    if not any(form.read(after).values()) and not meta.backups():
        meta.path.unlink(missing_ok=True)
    elif after != meta.text:
        meta.replace(after)
    file.path.unlink(missing_ok=True)
    print(f"{client.name} has forgotten it: {file.path}")


def _edited(library: Path, edit: Callable[[str, Mapping[str, Any]], str]) -> tuple[ConfigFile, str]:
    """`_meta.json`, and its text as it will be; every other profile in it stays."""
    file = ConfigFile.read(library / "_meta.json")
    form, text = edits.of("jsonc"), file.text or ""
    with refused(file.path, "Add the profile in Claude Desktop: Developer, Configure third-party inference."):
        before = form.read(text)
        after = edit(text, before)
        listed = (meta.get(_ENTRIES) for meta in (before, form.read(after)))
        kept = [[each for each in found if each != _ENTRY] if isinstance(found, list) else [] for found in listed]
        if kept[0] != kept[1]:
            raise edits.CannotEdit("it could not be edited without a change to something else")
    return file, after
