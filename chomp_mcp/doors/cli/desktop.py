"""Claude Desktop's third-party inference: a profile of ours in its library, for `install claude-desktop --provider`.

Its library is a folder with a file for each profile, and `_meta.json`, which lists them and names the applied one.
Ids of models must look like Anthropic's there, and its base URL has no `/v1`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from chomp_mcp.doors.cli import edits
from chomp_mcp.doors.cli.clients import NAME, application
from chomp_mcp.doors.cli.config_file import ConfigFile
from chomp_mcp.errors import InvalidRequest
from chomp_mcp.policy.agents import VIA_CHOMP

__all__ = ["PROFILE_ID", "listed", "profile", "profile_file", "unlisted"]

PROFILE_ID = "c40b9c1e-6f0d-5a57-9d0c-63686f6d7021"
"""Of our profile, on every machine: its file has this name."""
_ENTRIES, _APPLIED = "entries", "appliedId"


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


def listed(library: Path) -> tuple[ConfigFile, str, bool]:
    """`_meta.json`, its text with our profile in it, and whether ours is the applied one then.

    Another profile that is applied stays so.
    """
    form = edits.of("jsonc")

    def add(text: str, meta: Mapping[str, Any]) -> str:
        entries = meta.get(_ENTRIES)
        if not isinstance(entries, list):
            text = form.put(text, (_ENTRIES,), [_ENTRY])
        elif _ENTRY not in entries:
            text = form.put(text, (_ENTRIES, NAME), _ENTRY)
        return text if meta.get(_APPLIED) else form.put(text, (_APPLIED,), PROFILE_ID)

    file, after = _edited(library, add)
    return file, after, form.read(after).get(_APPLIED) == PROFILE_ID


def unlisted(library: Path) -> tuple[ConfigFile, str]:
    """`_meta.json`, and its text without our profile."""
    form = edits.of("jsonc")

    def take_out(text: str, meta: Mapping[str, Any]) -> str:
        text = form.drop(text, (_ENTRIES, NAME))
        return form.drop(text, (_APPLIED,)) if meta.get(_APPLIED) == PROFILE_ID else text

    return _edited(library, take_out)


_ENTRY = {"id": PROFILE_ID, "name": NAME}


def _edited(library: Path, edit: Callable[[str, Mapping[str, Any]], str]) -> tuple[ConfigFile, str]:
    file = ConfigFile.read(library / "_meta.json")
    form, text = edits.of("jsonc"), file.text or ""
    after = fault = ""
    try:
        before = form.read(text)
        after = edit(text, before)
        kept = [[entry for entry in _entries(meta) if entry != _ENTRY] for meta in (before, form.read(after))]
        fault = "" if kept[0] == kept[1] else "it could not be edited without a change to something else"
    except ValueError as error:
        fault = str(error)
    if fault:
        raise InvalidRequest(
            f"{file.path} was left as it is: {fault}.",
            hint="Add the profile in Claude Desktop: Developer, Configure third-party inference.",
        )
    return file, after


def _entries(meta: Mapping[str, Any]) -> list[Any]:
    entries = meta.get(_ENTRIES)
    return entries if isinstance(entries, list) else []
