"""What tells a gateway of ours from a stranger that listens on its port, without a secret on the wire."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping

from chomp_mcp.store.kv.protocol import KV, Write
from chomp_mcp.store.master_key import VARIABLE, parsed

PROOF_PATH = "/.well-known/chomp-gateway"
"""Where a gateway answers `?challenge=`; RFC 8615."""
_KEY = "gateway:proof"


class Proof:
    """An HMAC over a challenge, by what only those know who can read the store: whoever answers it is one of us.

    The key is random and serves nothing else, so that answers tell nothing of a token that can be guessed. On a remote
    store it comes from the master key: others may read that Redis.
    """

    def __init__(self, kv: KV, environment: Mapping[str, str], *, is_remote: bool) -> None:
        self._kv = kv
        self._master = environment[VARIABLE].strip() if is_remote else ""

    async def of(self, challenge: str, host: str, port: int) -> str:
        """The answer of a gateway that was reached at this address: another's cannot be passed on by a stranger."""
        if self._master:
            secret = hmac.digest(parsed(self._master).bits, b"chomp-mcp proof", "sha256")
        else:
            value = await self._kv.get(_KEY)
            if value is None:
                new = {"secret": secrets.token_hex(32)}
                await self._kv.update([_KEY], lambda old: [Write(new) if old[0] is None else None])
                value = await self._kv.get(_KEY) or new  # another process may have been the quicker one
            secret = bytes.fromhex(str(value["secret"]))
        return hmac.digest(secret, f"{challenge}\n{host}\n{port}".encode(), "sha256").hex()
