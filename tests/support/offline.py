"""`stay_offline()`, `NOBODY`: no test asks a real router, or waits for a DNS that is slow."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

__all__ = ["NOBODY", "stay_offline"]

NOBODY = dict.fromkeys(
    ("OLLAMA_BASE_URL", "LMSTUDIO_BASE_URL", "LLAMACPP_BASE_URL", "VLLM_BASE_URL", "CURSOR_ADAPTER_URL"),
    "http://127.0.0.1:9",
)
"""Where the routers of this machine are not, whatever whoever runs the tests has running."""

_real = socket.getaddrinfo


def stay_offline() -> None:
    """From here on this process, and what it forks, knows no names but `localhost`; a program started anew does."""
    socket.getaddrinfo = _of_this_machine


def _of_this_machine(host: Any, *port: Any, **how: Any) -> Any:
    name = host.decode() if isinstance(host, bytes) else host
    if name not in {None, "", "localhost"}:
        try:
            ipaddress.ip_address(name.partition("%")[0])
        except ValueError:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known") from None
    return _real(host, *port, **how)
