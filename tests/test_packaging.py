"""What is built from this tree says the same as the program does."""

from __future__ import annotations

import configparser
import json
import plistlib
import re
import shlex
import tomllib
from pathlib import Path

from chomp_mcp.doors.cli.parser import parser
from chomp_mcp.routers import catalog
from chomp_mcp.settings import Settings

ROOT = Path(__file__).parent.parent
PACKAGING = ROOT / "packaging"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_bundle_is_of_this_version_and_knows_every_router_that_takes_a_key(home):
    manifest = json.loads((PACKAGING / "mcpb" / "manifest.json").read_text())
    bundled = tomllib.loads((PACKAGING / "mcpb" / "pyproject.toml").read_text())["project"]
    assert manifest["version"] == bundled["version"] == PROJECT["version"]
    assert bundled["dependencies"] == [f"chomp-mcp=={PROJECT['version']}"]
    told = (ROOT / "docs" / "mcp.md").read_text(encoding="utf-8")
    assert [tool["name"] for tool in manifest["tools"] if f"| `{tool['name']}` |" not in told] == []
    env = manifest["server"]["mcp_config"]["env"]
    routers = catalog.load(Settings.load()).values()
    assert set(env) == {each.key_variable for each in routers if each.needs_key and not each.deprecated}
    asked = {re.fullmatch(r"\$\{user_config\.(\w+)}", value)[1] for value in env.values()}
    assert asked == set(manifest["user_config"])
    assert all(each["sensitive"] and not each["required"] for each in manifest["user_config"].values())


def test_the_units_start_what_the_command_line_knows():
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str
    unit.read(PACKAGING / "service" / "chomp-mcp.service")
    command = shlex.split(unit["Service"]["ExecStart"])
    plist = plistlib.loads((PACKAGING / "service" / "chomp-mcp.plist").read_bytes())
    for words in (command[1:], shlex.split(plist["ProgramArguments"][2])[2:]):
        assert parser().parse_args(words).run == "servers:serve"


def test_the_image_runs_as_nobody_and_takes_what_the_wheel_needs():
    image = (PACKAGING / "Dockerfile").read_text()
    assert re.search(r"^USER \d+$", image, re.MULTILINE)
    kept = (PACKAGING / "Dockerfile.dockerignore").read_text()
    assert all(
        f"!{name}" in kept for name in ("chomp_mcp", "pyproject.toml", "requirements.lock", "README.md", "LICENSE")
    )


def test_the_registry_entry_is_of_this_version_and_owned_by_this_readme(home):
    entry = json.loads((ROOT / "server.json").read_text(encoding="utf-8"))
    (package,) = entry["packages"]
    assert entry["version"] == package["version"] == PROJECT["version"]
    assert (package["registryType"], package["identifier"]) == ("pypi", PROJECT["name"])
    assert re.fullmatch(r"[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+", entry["name"])
    assert len(entry["description"]) <= 100
    assert f"<!-- mcp-name: {entry['name']} -->" in README
    assert entry["repository"]["url"] == PROJECT["urls"]["Repository"]
    assert entry["name"].partition("/")[0] == "io.github." + PROJECT["urls"]["Repository"].split("/")[3]
    variables = {
        each["name"] for each in package["environmentVariables"] if each["isSecret"] and not each["isRequired"]
    }
    routers = catalog.load(Settings.load()).values()
    assert variables == {each.key_variable for each in routers if each.needs_key and not each.deprecated}


def test_what_pypi_shows_has_no_link_into_nowhere():
    hook = PYPROJECT["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    shown = README
    for each in hook["substitutions"]:
        shown = re.sub(each["pattern"], each["replacement"], shown)
        assert PROJECT["urls"]["Repository"].removeprefix("https://github.com") in each["replacement"]
    links = re.findall(r'\]\(([^)\s]+)|(?:href|src|srcset)="([^"]+)"', shown)
    assert [link for pair in links for link in pair if link and not link.startswith(("https://", "http://", "#"))] == []
    inside = re.findall(r'\]\((?!https?:|#)([^)\s#]+)|(?:href|src|srcset)="(?!https?:|#)([^"#]+)"', README)
    assert [path for pair in inside for path in pair if path and not (ROOT / path).exists()] == []


def test_every_supported_python_is_told():
    told = {text.rpartition(" ")[2] for text in PROJECT["classifiers"] if "Python :: 3." in text}
    assert told == {"3.11", "3.12", "3.13", "3.14"}
    assert PROJECT["authors"]
    assert {"Homepage", "Documentation", "Repository", "Issues", "Changelog"} <= set(PROJECT["urls"])
