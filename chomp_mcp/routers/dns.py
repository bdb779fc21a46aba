"""Names looked up without holding anybody else up: each on a thread of its own, one look-up of a name at a time.

The loop's own `getaddrinfo` runs on a few threads that all share (asyncio's executor, libuv's four under uvloop): a
name whose server does not answer would keep them busy, and with them the look-ups of healthy routers.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading

Address = tuple[socket.AddressFamily, str]


class LookUps:
    """Those that are under way, by name."""

    def __init__(self) -> None:
        self._running: dict[str, asyncio.Future[list[Address] | OSError]] = {}

    def is_waiting_for(self, host: str) -> bool:
        return host in self._running

    async def addresses(self, host: str) -> list[Address]:
        """All of the name's addresses, in the system's order. `OSError` if there are none."""
        if host in self._running:
            found = self._running[host]
        else:
            loop = asyncio.get_running_loop()
            found = self._running[host] = loop.create_future()
            found.add_done_callback(lambda _: self._running.pop(host, None))

            def tell(outcome: list[Address] | OSError) -> None:
                if not found.done():  # whoever ends the loop cancels it first
                    found.set_result(outcome)

            def look_up() -> None:
                outcome: list[Address] | OSError
                try:
                    infos = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
                    outcome = list(dict.fromkeys((family, str(address[0])) for family, _, _, _, address in infos))
                except OSError as error:
                    outcome = error
                except UnicodeError:
                    outcome = OSError(socket.EAI_NONAME, "this is no name")
                with contextlib.suppress(RuntimeError):  # the loop has ended
                    loop.call_soon_threadsafe(tell, outcome)

            threading.Thread(target=look_up, name=f"DNS {host}", daemon=True).start()
        # Whoever gives up leaves the look-up to the others and to those who come later: it cannot be stopped anyway.
        outcome = await asyncio.shield(found)
        if isinstance(outcome, OSError):
            raise outcome
        return outcome
