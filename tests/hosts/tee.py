"""Between a host and the server: passes every line on and writes it down, with its direction.

python -m tests.hosts.tee FILE COMMAND…
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any


def main() -> int:
    place, *command = sys.argv[1:]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        with Path(place).open("a", encoding="utf-8") as log:
            lock = threading.Lock()

            def passed(source: IO[bytes], target: IO[bytes], direction: str) -> None:
                for line in iter(source.readline, b""):
                    with lock:
                        log.write(json.dumps({direction: _read(line)}) + "\n")
                        log.flush()
                    target.write(line)
                    target.flush()
                target.close()

            inward = threading.Thread(target=passed, args=(sys.stdin.buffer, server.stdin, "host"), daemon=True)
            inward.start()
            passed(server.stdout, sys.stdout.buffer, "server")
        return server.wait()


def _read(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return line.decode("utf-8", "replace")


if __name__ == "__main__":
    sys.exit(main())
