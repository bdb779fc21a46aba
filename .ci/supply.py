"""What we are made of: advisories and licences of the lock, its hashes, an SBOM, and a wheel that is the same twice.

`python .ci/supply.py [FOLDER]` writes the SBOM (CycloneDX) and the wheel into FOLDER. What needs a network says so
where there is none, and is no failure; all the rest is.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
TOOLS = (
    "pip-audit==2.10.1",
    "pip-licenses==5.5.5",
    "cyclonedx-bom==7.5.0",
    "hatchling==1.33.0",
    "hatch-fancy-pypi-readme",
    "uv==0.13.9",
)
FREE = re.compile(
    r"MIT|BSD|Apache|PSF|Python Software Foundation|ISC|MPL|Mozilla Public|Zlib|Unlicense|CC0|0BSD|HPND|DFSG"
    r"|Permission is hereby|Permission hereby",
    re.IGNORECASE,
)
"""Licences that ask for no more than to be named, or for changes to their own files."""
READ = {"axe-playwright-python": "MIT License"}
"""Of packages that name none in their metadata: as it stands in the file that comes with them."""
STRICT = re.compile(r"\b(?:A|L)?GPL|GNU|SSPL|BUSL|Commons Clause", re.IGNORECASE)
NO_NETWORK = re.compile(
    r"ConnectionError|Max retries|not found on PyPI|resolve|timed out|No matching|ServiceError|index", re.IGNORECASE
)
EPOCH = "1700000000"
SHA256_DIGITS = 64


def main() -> int:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        tools = Path(place) / "bin"
        venv.create(place, with_pip=True)
        if run(tools / "python", "-m", "pip", "install", "-q", *TOOLS).returncode:
            print("no index can be reached: nothing of this was looked at")
            return 0
        return max(check(tools, folder) for check in (advisories, licences, hashes, sbom, wheel))


def run(*command: object, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command],
        cwd=ROOT,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )


def told(what: str, found: list[str]) -> int:
    print(f"{'FAILED' if found else 'ok':<7}{what}", *found, sep="\n        " if found else "")
    return int(bool(found))


def advisories(tools: Path, _folder: Path) -> int:
    """Known vulnerabilities of what the lock names."""
    done = run(tools / "pip-audit", "-r", "requirements.lock", "--no-deps", "--disable-pip", "--format", "json")
    if not done.stdout.startswith("{"):
        print("not seen: advisories (no vulnerability service can be reached)")
        return 0
    rows = json.loads(done.stdout)["dependencies"]
    unseen = [row["name"] for row in rows if "skip_reason" in row]
    found = [f"{row['name']} {row['version']}: {each['id']}" for row in rows for each in row.get("vulns", ())]
    if len(unseen) == len(rows):
        print("not seen: advisories (the service knows none of these packages, or is not there)")
        return 0
    if unseen:
        print(f"not seen: advisories of {len(unseen)} of {len(rows)} (the service does not know them, or is not there)")
    return told("no known vulnerability in the others", found)


def licences(tools: Path, _folder: Path) -> int:
    """Of all that is installed here."""
    done = run(tools / "pip-licenses", f"--python={sys.executable}", "--format=json", "--from=mixed")
    rows = json.loads(done.stdout)
    found = {row["Name"]: READ.get(row["Name"], row["License"]) for row in rows if row["Name"] != "chomp-mcp"}
    odd = [f"{name}: {text[:80]}" for name, text in found.items() if STRICT.search(text) or not FREE.search(text)]
    return told(f"{len(rows)} licences ask for nothing that ours does not give", odd)


def hashes(tools: Path, _folder: Path) -> int:
    """requirements.hashes.lock is what a resolver makes of pyproject.toml within the lock, hashes and all."""
    made = run(
        *(tools / "uv", "pip", "compile", "-q", "--generate-hashes", "--no-header", "--no-annotate", "--universal"),
        *("--python-version", "3.11.5", "--all-extras", "-c", "requirements.lock", "pyproject.toml"),
    )
    if made.returncode:
        is_away = NO_NETWORK.search(made.stderr)
        return told("the bounds meet", [] if is_away else [made.stderr.strip()])
    saved = (ROOT / "requirements.hashes.lock").read_text()
    versions = [re.findall(r"^([\w.-]+==[^ ;\\]+)", text, re.MULTILINE) for text in (saved, made.stdout)]
    return told(
        "the bounds meet, and the hashed lock has these versions", [] if versions[0] == versions[1] else ["another"]
    )


def sbom(tools: Path, folder: Path) -> int:
    """CycloneDX, of the lock."""
    target = folder / "sbom.cdx.json"
    done = run(tools / "cyclonedx-py", "requirements", "requirements.lock", "--output-reproducible", "-o", target)
    count = len(json.loads(target.read_text())["components"]) if target.exists() else 0
    return told(f"{target}: {count} components", [] if count else [done.stderr[-300:]])


def wheel(tools: Path, folder: Path) -> int:
    """Built twice, byte for byte the same."""
    digests = []
    for name in ("once", "twice"):
        where = folder / name
        done = run(tools / "hatchling", "build", "-t", "wheel", "-d", where, SOURCE_DATE_EPOCH=EPOCH)
        built = [*where.glob("*.whl")]
        digests.append(hashlib.sha256(built[0].read_bytes()).hexdigest() if built else done.stderr[-300:])
    return told(
        f"the wheel is reproducible: sha256 {digests[0][:16]}…",
        [] if len({*digests}) == 1 and len(digests[0]) == SHA256_DIGITS else digests,
    )


if __name__ == "__main__":
    sys.exit(main())
