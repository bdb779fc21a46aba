"""What tests of the gateway may ask for: a Redis."""

from __future__ import annotations

from tests.store.conftest import redis_server, redis_url

__all__ = ["redis_server", "redis_url"]
