"""The shape of the source: what docs/architecture.md promises and import-linter cannot see."""

from __future__ import annotations

import ast
import itertools
import re
import statistics
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "chomp_mcp"
MODULES = sorted(SOURCE.rglob("*.py"))
LONGEST_FUNCTION = 60
MEDIAN_FUNCTION = 10
LONGEST_MODULE = 460

MEDIAN_MODULE = 150

UNTESTED_LINES = 50
TESTED_ELSEWHERE = {
    "chomp_mcp/gateway/attempts.py": "tests/behaviour/test_failure_table.py",  # each failure, through real routers
    "chomp_mcp/gateway/docket_queue.py": "tests/gateway/test_cluster.py",  # what it is for: replicas that die
    "chomp_mcp/gateway/facts_update.py": "tests/behaviour/test_catalog_update.py",  # over HTTP, by the command
    "chomp_mcp/gateway/orders.py": "tests/behaviour/test_groups.py",  # the orders by themselves: policy/order.py
    "chomp_mcp/messages/chat_completion.py": "tests/typing/test_api.py",  # types alone
    "chomp_mcp/messages/job.py": "tests/store/test_jobs.py",  # fields alone
}
"""Modules without a test file of their name, and where their tests stand instead. It may only become shorter."""


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def nodes() -> Iterator[tuple[Path, ast.AST]]:
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            yield path, node


def test_the_arrows_between_the_layers_hold():
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=50
    )
    assert told.returncode == 0, told.stdout


@pytest.mark.timeout(180)  # the script reads all sources
def test_the_figures_are_told_and_no_modules_import_each_other_in_a_circle_nor_upwards_not_even_for_types():
    told = subprocess.run(
        [sys.executable, ROOT / ".ci" / "figures.py"], capture_output=True, text=True, check=False, timeout=120
    )
    assert told.stderr.splitlines()[:10] == []
    figures = dict(line.rsplit(maxsplit=1) for line in told.stdout.splitlines()[1:])
    assert int(figures["files"]) == len(MODULES)
    assert int(figures["file changes of one chat"]) > 0


def test_every_module_says_in_its_first_sentence_what_it_is():
    for path in MODULES:
        nothing, docstring, _ = path.read_text(encoding="utf-8").split('"""', 2)
        assert (nothing, docstring[:1].isspace()) == ("", False), path
        assert docstring.splitlines()[0][-1] in ".:", path


def test_functions_are_short_and_nothing_is_asserted_in_the_product():
    lengths, asserts = {}, []
    for path, node in nodes():
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lengths[f"{name(path)}:{node.lineno} {node.name}"] = node.end_lineno - node.lineno + 1
        elif isinstance(node, ast.Assert):
            asserts.append(f"{name(path)}:{node.lineno}")
    longer = {where: length for where, length in lengths.items() if length > LONGEST_FUNCTION}
    assert not longer, f"of more than {LONGEST_FUNCTION} lines: cut where a reader would"
    assert statistics.median(lengths.values()) <= MEDIAN_FUNCTION
    assert asserts == []


def test_modules_are_read_in_one_sitting():
    lengths = {name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    longer = {where: length for where, length in lengths.items() if length > LONGEST_MODULE}
    assert not longer, f"of more than {LONGEST_MODULE} lines: what part of it has a name of its own?"
    assert statistics.median(lengths.values()) <= MEDIAN_MODULE


def mirrored(module: Path) -> bool:
    """`x/y.py` has `tests/x/test_y.py` or `test_y_<aspect>.py`, which is not that of a longer name (`y_z.py`)."""
    names = {each.stem for each in module.parent.iterdir()}
    for path in (ROOT / "tests" / module.parent.relative_to(SOURCE)).glob(f"test_{module.stem}*.py"):
        words = path.stem.removeprefix("test_").split("_")
        owners = ["_".join(words[:end]) for end in range(len(words), 0, -1)]
        if next((owner for owner in owners if owner in names), None) == module.stem:
            return True
    return False


def test_whoever_opens_a_module_finds_its_tests_under_its_name():
    without = {
        name(path)
        for path in MODULES
        if not path.stem.startswith("__")
        and len(path.read_text(encoding="utf-8").splitlines()) > UNTESTED_LINES
        and not mirrored(path)
    }
    assert not without - TESTED_ELSEWHERE.keys(), "the tests of chomp_mcp/x/y.py stand in tests/x/test_y.py"
    assert not TESTED_ELSEWHERE.keys() - without, "these have tests of their name now: take them out of the table"
    assert [path for path in TESTED_ELSEWHERE.values() if not (ROOT / path).is_file()] == []


MAY_NAME_ROUTERS = {
    # Its key once had a field of its own, `openrouter_key`, which is still read, here and where it was stored.
    **dict.fromkeys(
        ("doors/http/chomp_api.py", "doors/mcp/keys.py", "store/keyring.py", "store/sealing.py"), "openrouter"
    ),
    # The demo asks the router that is built in.
    "doors/cli/demo.py": "mock",
}
OTHER_NAMES = {"openai", "anthropic", "gemini", "ollama", "cursor", "lmstudio", "mock"}
"""Routers called as a dialect, a door or a program is: of these it is looked for what compares a router's id."""


def test_what_is_believed_of_a_router_stands_in_the_catalog_alone():
    ids = set(tomllib.loads((SOURCE / "routers" / "catalog.toml").read_text(encoding="utf-8"))["routers"])
    assert OTHER_NAMES | set(MAY_NAME_ROUTERS.values()) <= ids

    def named(node: ast.AST) -> set[str]:
        inside = [node] if isinstance(node, ast.Constant) else ast.walk(node)
        texts = {str(each.value) for each in inside if isinstance(each, ast.Constant)}
        return {head for text in texts if (head := text.partition("/")[0]) in ids and len(text.split()) == 1}

    found = []
    for path, node in nodes():
        wrong: set[str] = set()
        if isinstance(node, ast.Constant):
            wrong = named(node) - OTHER_NAMES
        elif isinstance(node, ast.Compare) and (ids_in := named(node)):
            sides = [ast.unparse(each) for each in (node.left, *node.comparators)]
            wrong = ids_in if any(re.search(r"router\w*(\.id)?$", side) for side in sides) else wrong
        if wrong:
            wrong -= {MAY_NAME_ROUTERS.get(path.relative_to(SOURCE).as_posix())}
        found += [f"{name(path)}:{node.lineno} {router}" for router in wrong]
    assert not found, "facts about a router belong into a field of its row in catalog.toml"


def test_the_changelog_knows_this_version():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert f"\n## [{version}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_lock_pins_every_dependency_and_names_no_place():
    lines = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
    pinned = {line.partition("==")[0].lower().replace("_", "-") for line in lines if "==" in line}
    assert len(pinned) == len(lines)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *itertools.chain.from_iterable(project["optional-dependencies"].values())]
    names = {text.partition(">")[0].partition("=")[0].partition("[")[0].strip() for text in wanted}
    assert names - pinned == {"chomp-mcp"}


def test_the_lock_with_hashes_has_the_versions_of_the_lock_and_a_hash_for_each():
    pins = re.compile(r"^([\w.-]+)(?:\[[\w,]+\])?==([^\s;\\]+)(.*?)(?=^[\w]|\Z)", re.MULTILINE | re.DOTALL)
    plain, hashed = ((ROOT / name).read_text() for name in ("requirements.lock", "requirements.hashes.lock"))
    locked = {name.lower().replace("_", "-"): version for name, version, _ in pins.findall(plain)}
    found = pins.findall(hashed)
    assert [name for name, _, rest in found if "--hash=sha256:" not in rest] == []
    assert {name: version for name, version, _ in found if locked.get(name, version) != version} == {}
    assert not re.search(r"https?://", hashed)
    assert {name for name, _, _ in found} >= {"mcp", "aiohttp", "cryptography", "orjson", "pytest"}
