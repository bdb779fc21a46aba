"""`python -m tests.fuzz TARGET [libFuzzer's options]`: one target under atheris, from and into its saved corpus."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["chomp_mcp"]):
    from tests.fuzz.targets import CORPUS, TARGETS


def main() -> None:
    name, *options = sys.argv[1:]
    saved = CORPUS / name
    saved.mkdir(exist_ok=True, parents=True)
    atheris.Setup([sys.argv[0], *options, str(saved)], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
