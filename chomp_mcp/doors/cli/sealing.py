"""`keys encrypt | rotate | decrypt`: router keys sealed at rest, with another master key, and back."""

from __future__ import annotations

import argparse
import os
import sys

import anyio

from chomp_mcp.app import Chomp
from chomp_mcp.doors.cli.output import remark, show_json
from chomp_mcp.errors import InvalidRequest, StoreError
from chomp_mcp.settings import Settings
from chomp_mcp.store.master_key import NEW_VARIABLE, VARIABLE, MasterKey, made, parsed
from chomp_mcp.store.sealing import Sealed


async def encrypt(args: argparse.Namespace) -> None:
    """Seal what lies in the open; where there is no master key yet, one is made and kept."""
    async with Chomp(Settings.load()) as chomp:
        sealed, masters = chomp.sealed, chomp.sealed.masters
        with masters.one_at_a_time():
            found, place = await _found(sealed)
            if not found:
                text = made()
                found, place = (parsed(text),), masters.keep([text])
            count = await sealed.reseal(found[0])
    _tell(args.json, count, place, place)


def rotate(args: argparse.Namespace) -> None:
    """Seal everything with another master key: of the variable, or piped in, else made now."""
    given, source = os.environ.get(NEW_VARIABLE, "").strip(), NEW_VARIABLE
    if not given and not sys.stdin.isatty():
        # Before there is an event loop, which would keep Ctrl-C from ending it.
        given, source = sys.stdin.readline().strip(), "The master key on stdin"

    async def resealed() -> tuple[int, str]:
        async with Chomp(Settings.load()) as chomp:
            sealed, masters = chomp.sealed, chomp.sealed.masters
            with masters.one_at_a_time():
                _, place = await _found(sealed)
                text = given or made()
                new = parsed(text, source)
                if place != VARIABLE:
                    # Both are kept until everything is sealed anew, so that a crash between loses nothing.
                    place = masters.keep([text, *masters.kept()], place)
                    count = await sealed.reseal(new)
                    masters.keep([text], place)
                    return count, place
                if given and args.json:
                    show_json({"master_key": None})
                elif not given:
                    # Told before anything is sealed with it: a closed pipe must not take it away.
                    show_json({"master_key": text}) if args.json else print(text, flush=True)
                    sys.stdout.flush()
                return await sealed.reseal(new), place

    count, place = anyio.run(resealed)
    if place == VARIABLE:
        remark(f"{_keys(count)} sealed with it. Set {VARIABLE} to it wherever chomp-mcp runs, and start that again.")
    else:
        _tell(args.json, count, place, f"a new key in {place}")


async def decrypt(args: argparse.Namespace) -> None:
    """Everything lies in the open again, and the master key that was kept for it is gone."""
    settings = Settings.load()
    if settings.store:
        raise InvalidRequest("Keys in a remote store stay sealed.", hint="To change the master key: keys rotate.")
    async with Chomp(settings) as chomp:
        sealed, masters = chomp.sealed, chomp.sealed.masters
        with masters.one_at_a_time():
            _, place = await _found(sealed)
            count = await sealed.reseal(None)
            if place != VARIABLE:
                masters.keep([], place)
    if args.json:
        show_json({"keys": count, "sealed_with": None})
    else:
        print(f"{_keys(count)} in the open, in {settings.home / 'keys.json'}, for you alone to read")
    if place == VARIABLE:
        remark(f"Unset {VARIABLE} as well, or the next write seals them again.")


async def _found(sealed: Sealed) -> tuple[tuple[MasterKey, ...], str]:
    """The master keys that are there, and where; `StoreError` where something is sealed with one that is not."""
    state = await sealed.at_rest()
    if state["sealed"] and not state["master_key"]:
        raise StoreError(f"Router keys are {state['note']}")
    found, place = sealed.masters.find()
    if not found and place:
        remark(f"{place[0].upper()}{place[1:]}.")
    return found, place if found else ""


def _keys(count: int) -> str:
    return f"{count} router key{'' if count == 1 else 's'}"


def _tell(as_json: bool, count: int, place: str, sealed_with: str) -> None:
    if as_json:
        show_json({"keys": count, "sealed_with": place})
        return
    print(f"{_keys(count)} sealed with {sealed_with}")
    if "key file" in place:
        remark(f"Whoever reads your files reads both. Back them up apart, or use a keychain or {VARIABLE}.")
