"""The figures of the house: how large it is, how finely it is cut, how far a request has to jump.

    .venv/bin/python .ci/figures.py              this commit
    .venv/bin/python .ci/figures.py d92d04d      that one, beside this one; with `used-once` behind it, the names too

Lines are those that hold code, a comment or a docstring. A sentence below a constant or a field is a string that stands
alone behind its assignment. A private function is one whose name begins with one
underscore; it is used once when its name stands in its file once more than in its own `def`. An arrow up is an import,
type checking included, from a layer to one above it, in the order of pyproject.toml; a circle is two modules that reach
each other.
"""

from __future__ import annotations

import ast
import io
import json
import statistics
import subprocess
import sys
import tarfile
import tempfile
import tokenize
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

JUMPS = """
import asyncio, json, os, sys, tempfile
os.environ["CHOMP_HOME"] = tempfile.mkdtemp()
from chomp_mcp.app import Chomp

package = os.path.dirname(sys.modules["chomp_mcp"].__file__) + os.sep
files = []

def seen(frame, event, _argument):
    name = frame.f_code.co_filename
    if event == "call" and name.startswith(package) and (not files or files[-1] != name):
        files.append(name)

async def traced(run):
    await run()  # what is loaded on first use is no part of a request
    files.clear()
    sys.setprofile(seen)
    try:
        await run()
        await asyncio.sleep(0.05)
    finally:
        sys.setprofile(None)
    return max(0, len(files) - 1)

async def main():
    async with Chomp() as chomp:
        async def chat():
            await chomp.chat([{"role": "user", "content": "hi"}], model="mock/echo")
        async def ask():
            await chomp.ask("hi", model="mock/echo")
        counts = {"file changes of one chat": await traced(chat), "file changes of one ask": await traced(ask)}
        print(json.dumps(counts))

asyncio.run(main())
"""


def sources(root: Path, folder: str) -> list[Path]:
    return sorted(path for path in (root / folder).rglob("*.py") if "node_modules" not in path.parts)


def full_lines(path: Path) -> int:
    return sum(bool(line.strip()) for line in path.read_text(encoding="utf-8").splitlines())


def comments(path: Path) -> int:
    """Lines with a comment that is for a reader: not for a linter."""
    found = set()
    for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
        if token.type == tokenize.COMMENT and not token.string.startswith(
            ("# noqa", "# type:", "# fmt:", "# pyright:")
        ):
            found.add(token.start[0])
    return len(found)


@lru_cache(maxsize=1)
def nodes(path: Path) -> list[ast.AST]:
    """All of a file; of one file at a time, as they take much memory."""
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def sentences(path: Path) -> int:
    """Lines of the strings that say, below a constant or a field, what it is or why it is so."""
    found = 0
    for node in nodes(path):
        body = getattr(node, "body", None)
        for before, after in pairwise(body) if isinstance(body, list) else ():
            if isinstance(before, ast.Assign | ast.AnnAssign) and isinstance(after, ast.Expr):
                value = after.value
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    found += (after.end_lineno or after.lineno) - after.lineno + 1
    return found


def functions(path: Path) -> list[str]:
    return [node.name for node in nodes(path) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def used_once(path: Path) -> list[str]:
    """The private functions of a file that it names in one place only."""
    named = Counter(node.id for node in nodes(path) if isinstance(node, ast.Name))
    named.update(node.attr for node in nodes(path) if isinstance(node, ast.Attribute))
    private = [name for name in functions(path) if name.startswith("_") and not name.startswith("__")]
    return [name for name in private if named[name] == 1]


def module_name(root: Path, path: Path) -> str:
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def targets(path: Path, modules: dict[str, Path]) -> Iterator[str]:
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                if whole in modules:
                    yield whole
                elif node.module in modules:
                    yield node.module


def circles(graph: dict[str, set[str]]) -> list[str]:
    """Pairs of modules that reach each other, a package's own `__init__` and its parts aside."""

    def reached(start: str) -> set[str]:
        found: set[str] = set()
        todo = [start]
        while todo:
            for target in graph[todo.pop()] - found:
                found.add(target)
                todo.append(target)
        return found

    reach = {name: reached(name) for name in graph}
    return [f"{a} <-> {b}" for a in graph for b in graph if a < b and a in reach[b] and b in reach[a]]


def arrows_up(root: Path, graph: dict[str, set[str]]) -> list[str]:
    contract = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    layers = [[part.strip() for part in layer.split("|")] for layer in contract["layers"]]
    level = {part: number for number, layer in enumerate(layers) for part in layer}

    def height(module: str) -> int | None:
        parts = module.split(".")
        return next(
            (level[".".join(parts[:n])] for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in level), None
        )

    edges = ((a, b, height(a), height(b)) for a, found in graph.items() for b in found)
    return [f"{a} -> {b}" for a, b, of_a, of_b in edges if of_a is not None and of_b is not None and of_b < of_a]


def figures(root: Path) -> dict[str, float]:
    product, tests = sources(root, "chomp_mcp"), sources(root, "tests")
    modules = {module_name(root, path): path for path in product}
    graph, counts = {}, Counter[str]()
    for name, path in modules.items():
        graph[name] = set(targets(path, modules)) - {name}
        counts["functions"] += len(functions(path))
        counts["used once"] += len(used_once(path))
        counts["comments"] += comments(path)
        counts["sentences"] += sentences(path)
    up, pairs = arrows_up(root, graph), circles(graph)
    sys.stderr.writelines(f"{wrong}\n" for wrong in up + pairs)
    lengths = [full_lines(path) for path in product]
    lines = sum(lengths)
    traced = subprocess.run([sys.executable, "-c", JUMPS], cwd=root, capture_output=True, text=True, check=True)
    return {
        "files": len(product),
        "lines of the product": lines,
        "lines of the tests": sum(map(full_lines, tests)),
        "lines per file, p90": round(statistics.quantiles(lengths, n=10)[8]),
        "lines per file, most": max(lengths),
        "functions per 1,000 lines": round(1000 * counts["functions"] / lines, 1),
        "private ones used once, per 1,000": round(1000 * counts["used once"] / lines, 1),
        "comments, % of the lines": round(100 * counts["comments"] / lines, 1),
        "with sentences below constants, %": round(100 * (counts["comments"] + counts["sentences"]) / lines, 1),
        **json.loads(traced.stdout.splitlines()[-1]),
        "circles of modules": len(pairs),
        "arrows up": len(up),
    }


def checked_out(commit: str, folder: str) -> Path:
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
        packed.extractall(folder, filter="data")
    return Path(folder)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        columns = [figures(checked_out(commit, f"{folder}/{commit}")) for commit in sys.argv[1:2]] + [figures(ROOT)]
    if sys.argv[2:] == ["used-once"]:
        for path in sources(ROOT, "chomp_mcp"):
            for name in used_once(path):
                print(f"{path.relative_to(ROOT)}: {name}")
    print(f"{'':36}" + "".join(f"{name:>12}" for name in [*sys.argv[1:2], "now"]))
    for name in columns[-1]:
        print(f"{name:36}" + "".join(f"{column[name]:>12,}" for column in columns))


if __name__ == "__main__":
    main()
