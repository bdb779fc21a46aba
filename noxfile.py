"""What is checked before a change lands, session by session; `.ci/run` runs them, in this environment.

`nox -l` lists them, `nox -s lint types` runs two. They use the programs on the PATH: activate the virtual environment.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import nox

nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "types", "contracts", "tests"]
nox.options.error_on_external_run = False

FLAKY = ("--reruns", "1", "-rR")
"""A test that fails runs once more and is listed as RERUN: a fault to mend, but one busy moment of a machine that runs
hundreds of processes holds back no change. By hand (`pytest`) every failure counts."""


@nox.session
def lint(session: nox.Session) -> None:
    """Formatting and lint."""
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """The product, and what uses its public names."""
    session.run("mypy")


@nox.session
def contracts(session: nox.Session) -> None:
    """The arrows between the layers."""
    session.run("lint-imports")


@nox.session
def picture(session: nox.Session) -> None:
    """The architecture page still shows the way that a request takes."""
    session.run("python", ".ci/picture.py", "--check")


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation's site, without a broken link; in .site/ (needs `pip install -e '.[docs]'`)."""
    if shutil.which("mkdocs") is None:
        session.error("mkdocs is not on the PATH: pip install -e '.[docs]'")
    session.run("mkdocs", "build", "--strict", "--quiet", env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session
def package(session: nox.Session) -> None:
    """The wheel, and the bundle for Claude Desktop (`mcpb` on the PATH: npm install @anthropic-ai/mcpb)."""
    dist = Path(session.create_tmp()) / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    session.run("pip", "wheel", "-q", "--no-deps", "-w", str(dist), ".")
    session.run("mcpb", "validate", "packaging/mcpb/manifest.json")
    session.run("mcpb", "pack", "packaging/mcpb", str(dist / "chomp-mcp.mcpb"))


@nox.session
def tests(session: nox.Session) -> None:
    """The whole suite, with three workers for each core; arguments go to pytest."""
    session.run("pytest", "-q", *FLAKY, *session.posargs)


@nox.session
def coverage(session: nox.Session) -> None:
    """The whole suite with branch coverage, also of the processes that it starts, and its floor; twice as long."""
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", "-q", *session.posargs)
    session.run("coverage", "combine", "-q")
    session.run("coverage", "report", "--skip-covered", "--sort=cover")


@nox.session
def quick(session: nox.Session) -> None:
    """What takes less than a minute."""
    session.run("pytest", "-q", "-m", "not slow", *session.posargs)


@nox.session
def pythons(session: nox.Session) -> None:
    """What is quick and needs no program, on the other supported Pythons that this machine has; or on those named."""
    for version in session.posargs or ("3.12", "3.13", "3.14"):
        if (python := interpreter(version)) is None:
            session.log(f"no Python {version} here")
            continue
        venv = Path(session.create_tmp()) / version
        session.run("uv", "venv", "-q", "--clear", "--python", python, str(venv))
        session.run("uv", "pip", "install", "-q", "--python", str(venv), "-c", "requirements.lock", "-e", ".[dev]")
        folders = ("tests/messages", "tests/policy", "tests/dialects", "tests/routers", "tests/gateway", "tests/store")
        session.run(str(venv / "bin" / "pytest"), "-q", "-m", "not slow", "-p", "no:cacheprovider", *FLAKY, *folders)


def interpreter(version: str) -> str | None:
    """A Python of this version that runs: on the PATH, or pyenv's own, whose shim on the PATH runs only if chosen."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for python in (shutil.which(f"python{version}"), *sorted(pyenv.glob(f"{version}.*/bin/python"), reverse=True)):
        if python and not subprocess.run([python, "--version"], capture_output=True, check=False).returncode:  # noqa: S603
            return str(python)
    return None


@nox.session
def lowest(session: nox.Session) -> None:
    """The quick tests with the lowest versions that pyproject.toml allows."""
    session.run("bash", ".ci/lowest")


@nox.session
def api(session: nox.Session) -> None:
    """Schemathesis against /openapi.json, with a few examples for each operation; arguments go to `st run`."""
    session.run("python", ".ci/api", *session.posargs)


@nox.session
def screens(session: nox.Session) -> None:
    """The pictures of the pages in docs/, made anew."""
    session.run(
        "pytest", "-q", "-n", "0", "tests/doors/pages/test_in_a_browser.py", env={"CHOMP_TEST_SCREENS": "docs/pictures"}
    )


@nox.session
def supply(session: nox.Session) -> None:
    """Advisories, licences, hashes, an SBOM, a wheel that is the same twice: what can be seen from here."""
    session.run("python", ".ci/supply.py", *session.posargs)


@nox.session
def trust(session: nox.Session) -> None:
    """Every attack of docs/threat-model.md again, row by row; CHOMP_TEST_LONG=1: as large as the page says."""
    session.run("python", ".ci/trust.py", *session.posargs)


@nox.session
def hosts(session: nox.Session) -> None:
    """The real programs (Claude Code, Codex, OpenCode) against the gateway; installs them from npm."""
    session.run("pytest", "-q", "-n", "0", "-m", "hosts", "tests/hosts", *session.posargs)
