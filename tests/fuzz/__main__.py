"""`python -m tests.fuzz TARGET [libFuzzer's options]`: one target under atheris, from and into its saved corpus."""

from __future__ import annotations

import sys
from importlib import import_module
from pkgutil import walk_packages

import atheris

with atheris.instrument_imports(include=["chomp_mcp"]):
    from chomp_mcp import dialects
    from tests.fuzz.targets import CORPUS, TARGETS, TREES

    # A dialect is loaded when it is first spoken: too late to be instrumented, and the search would be blind there.
    for module in walk_packages(dialects.__path__, f"{dialects.__name__}."):
        import_module(module.name)
from tests.fuzz.trees import mutated

BYTES_EVERY = 8
"""Every so often the bytes are changed in place of what they hold: parsers are targets, too."""


def main() -> None:
    name, *options = sys.argv[1:]
    saved = CORPUS / name
    saved.mkdir(exist_ok=True, parents=True)
    seeds = [path.read_bytes() for path in sorted(saved.glob("*.*"))]

    def change(data: bytes, max_size: int, seed: int) -> bytes:
        if seed % BYTES_EVERY == 0:
            return bytes(atheris.Mutate(data, max_size))
        return mutated(data, seed, seeds, is_toml=name == "config")[:max_size]

    own = {"custom_mutator": change} if name in TREES else {}
    atheris.Setup([sys.argv[0], *options, str(saved)], TARGETS[name], **own)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
