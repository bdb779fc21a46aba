"""Which stores the settings name: two local files, or one Redis for everything."""

from __future__ import annotations

from collections.abc import Callable

from chomp_mcp.policy.budget import nano
from chomp_mcp.settings import Settings
from chomp_mcp.store.journal import Journal
from chomp_mcp.store.kv.json_file import JsonFile
from chomp_mcp.store.kv.protocol import KV
from chomp_mcp.store.kv.sqlite import Sqlite
from chomp_mcp.store.ledger import Ledger
from chomp_mcp.store.master_key import MasterKeys, check_variable
from chomp_mcp.store.sealing import Sealed


def stores_of(settings: Settings, clock: Callable[[], float]) -> tuple[Sealed, KV]:
    """Where keys live and where the rest lives: two local files, or one Redis for both."""
    check_variable(settings.environment, is_remote=bool(settings.store))
    masters = MasterKeys(settings.home, settings.environment, is_remote=bool(settings.store))
    if settings.store:
        from chomp_mcp.store.kv.redis import Redis

        shared = Redis(settings.store, clock=clock)
        return Sealed(shared, masters), shared
    keys = JsonFile(settings.home / "keys.json", clock=clock)
    return Sealed(keys, masters), Sqlite(settings.home / "state.db", clock=clock)


def ledger_of(settings: Settings, state: KV, clock: Callable[[], float]) -> Ledger:
    """A remote store may be away: then there is a journal on this machine."""
    journal = Journal(settings.home / "journal") if settings.store else None
    return Ledger(state, clock=clock, journal=journal, away_nano=nano(settings.away_budget_usd))
