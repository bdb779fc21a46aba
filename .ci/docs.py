"""The pages of docs/ that are made from the code: `python .ci/docs.py` writes them, a test compares.

cli.md is made from the parser, the paths in http.md from the OpenAPI document, settings.md from the settings' fields,
keys.md from the catalog, llms.txt from the pages; in README.md the entries of the clients, and
the keys in server.json and the bundle's manifest.
"""

from __future__ import annotations

import ast
import itertools
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from chomp_mcp import setting_fields
from chomp_mcp.dialects import DIALECTS
from chomp_mcp.doors.cli import edits
from chomp_mcp.doors.cli.clients import CLIENTS, NAME
from chomp_mcp.doors.cli.help import described
from chomp_mcp.doors.cli.parser import parser
from chomp_mcp.doors.cli.setup import key_takers
from chomp_mcp.doors.http import openapi
from chomp_mcp.messages import Router
from chomp_mcp.routers import catalog
from chomp_mcp.settings import _SETTINGS, NETWORK, Settings

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PATHS, END_OF_PATHS = "<!-- paths, made by .ci/docs.py -->\n", "<!-- end of paths -->\n"
BEGIN, END = "<!-- clients, made by .ci/docs.py -->\n", "<!-- end of clients -->\n"
MADE = "<!-- made by .ci/docs.py: edit what it is made from -->\n\n"


def pages() -> dict[str, str]:
    """The file -> what must stand in it."""
    made = {"cli.md": cli(), "http.md": http(), "settings.md": settings(), "keys.md": keys(), "llms.txt": llms()}
    return {
        "README.md": readme(),
        "server.json": registry_entry(),
        "packaging/mcpb/manifest.json": bundle(),
        **{f"docs/{name}": text for name, text in made.items()},
    }


def registry_entry() -> str:
    """The entry for the MCP registry, with a variable for each key."""
    entry = json.loads((ROOT / "server.json").read_text(encoding="utf-8"))
    entry["packages"][0]["environmentVariables"] = [
        {
            "name": each.key_variable,
            "description": f"{each.name} key, optional: `chomp-mcp keys add {each.id}` and register_keys keep it too.",
            "isRequired": False,
            "isSecret": True,
        }
        for each in key_takers(_catalog())
    ]
    return json.dumps(entry, indent=2) + "\n"


def bundle() -> str:
    """The manifest of the bundle for Claude Desktop, with a hidden field for each key."""
    manifest = json.loads((ROOT / "packaging" / "mcpb" / "manifest.json").read_text(encoding="utf-8"))
    takers = key_takers(_catalog())
    manifest["server"]["mcp_config"]["env"] = {
        each.key_variable: f"${{user_config.{each.key_variable.lower()}}}" for each in takers
    }
    manifest["user_config"] = {
        each.key_variable.lower(): {
            "type": "string",
            "title": f"{each.name} key",
            "description": f"Optional ({each.limits}). From {each.keys_page}. The model never sees it.",
            "sensitive": True,
            "required": False,
        }
        for each in takers
    }
    return json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"


def _catalog() -> list[Router]:
    return list(catalog.load(Settings(home=Path("/nowhere"))).values())


def http() -> str:
    """The page with a row for each operation of the OpenAPI document."""
    whole = openapi.document([], needs_token=False)
    rows: dict[str, list[str]] = {tag["name"]: [] for tag in whole["tags"]}
    for path, operations in whole["paths"].items():
        for method in openapi.METHODS:
            if told := operations.get(method):
                rows[told["tags"][0]].append(f"| {method.upper()} `{path}` | {_cell(_operation(told))} |\n")
    tables = (
        f"\n### {tag['name']}\n\n{tag['description']}\n\n| | |\n|---|---|\n{''.join(rows[tag['name']])}"
        for tag in whole["tags"]
    )
    before, rest = (DOCS / "http.md").read_text(encoding="utf-8").split(PATHS)
    return f"{before}{PATHS}{''.join(tables)}\n{END_OF_PATHS}{rest.partition(END_OF_PATHS)[2]}"


def _operation(told: Mapping[str, Any]) -> str:
    more = " ".join(str(told.get("description", "")).split())
    return f"{told['summary']}. {more}" if more else f"{told['summary']}."


def readme() -> str:
    """The README with the entry of each client."""
    before, rest = (ROOT / "README.md").read_text(encoding="utf-8").split(BEGIN)
    return f"{before}{BEGIN}{''.join(map(_client, CLIENTS))}{END}{rest.partition(END)[2]}"


def _client(name: str) -> str:
    client = CLIENTS[name]
    entry = edits.of(client.form).put("", (client.section, NAME), dict(client.shape(["uvx", "chomp-mcp"], {})))
    kind = {"jsonc": "json"}.get(client.form, client.form)
    text = f"`chomp-mcp install {name}` writes this, with the whole path of the command that you installed:"
    return f"<details><summary>{client.name}</summary>\n\n{text}\n\n```{kind}\n{entry.strip()}\n```\n\n</details>\n"


def cli() -> str:
    """Every command with its arguments."""
    whole = described(parser())
    commands = list(_commands(whole))
    index = "".join(
        f"| [`{each['name']}`](#{_anchor(each['name'])}) | {_cell(each['summary'])} |\n" for each in commands
    )
    return (
        f"# Command line\n\n{MADE}{whole['description']}\n{_ABOUT_COMMANDS}\n"
        f"| command | |\n|---|---|\n{index}\n" + "\n".join(_section(each) for each in commands)
    )


_ABOUT_COMMANDS = """
Without a command, `chomp-mcp` is an MCP server on stdin and stdout: that is how clients start it. Tables drop columns
on a narrow terminal and never cut a URL or a price. What is piped out is UTF-8 everywhere. [`--json`](json.md) prints
JSON, of errors too; the exit codes stand there.
"""


def _commands(of: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for each in of["commands"]:
        yield each
        yield from _commands(each)


def _anchor(name: str) -> str:
    return name.replace(" ", "-")


def _section(command: Mapping[str, Any]) -> str:
    positional = [each for each in command["arguments"] if not each["names"]]
    options = [each for each in command["arguments"] if each["names"]]
    words = [_placed(each) for each in positional] + (["[ACTION]"] if command["commands"] else [])
    usage = " ".join([command["name"], *words, "[options]"])
    text = command["description"][:1].upper() + command["description"][1:]
    rows = "".join(f"| `{_name(each)}` | {_cell(each['help'])} |\n" for each in (*positional, *options))
    return f"## {command['name']}\n\n{_escaped(text.rstrip('.'))}.\n\n```text\n{usage}\n```\n\n| | |\n|---|---|\n{rows}"


def _placed(argument: Mapping[str, Any]) -> str:
    name = str(argument["metavar"]) + ("…" if argument["repeats"] else "")
    return name if argument["required"] else f"[{name}]"


def _name(argument: Mapping[str, Any]) -> str:
    names = ", ".join(argument["names"]) or str(argument["metavar"])
    return f"{names} {argument['metavar']}" if argument["names"] and argument["metavar"] else names


def _cell(text: str) -> str:
    return _escaped(" ".join(text.split()).replace("|", "\\|"))


def _escaped(text: str) -> str:
    return text.replace("<", "&lt;").replace("*", "\\*")


def settings() -> str:
    """Every variable, what it must be, its default and what it does, as the code has them."""
    told = _docstrings()
    defaults = Settings(home=Path())
    rows = [
        (name, _default(getattr(defaults, field), name), _must_be(name), told[name])
        for name, field in _SETTINGS.items()
    ]
    routers = _catalog()
    others = [
        *_OTHERS,
        *(
            (r.url_variable, f"`{r.url}`", "a URL, or `host:port`", f"where {r.name} listens")
            for r in routers
            if r.url_variable
        ),
        *((r.url_lacks, "", "", f"a part of {r.name}'s address") for r in routers if r.url_lacks),
        (
            "`, `".join(NETWORK),
            "",
            "",
            "the way out of your network, and whom to trust there, as everywhere; proxies in small letters too",
        ),
        (
            "`, `".join(r.key_variable for r in routers if r.key_variable),
            "",
            "",
            "keys of [routers](keys.md); several with commas between them; a stored key wins",
        ),
    ]
    dialects = ", ".join(name for name in DIALECTS if name not in {"openai", "mock"})
    table = "".join(f"| `{name}` | {default} | {must} | {text} |\n" for name, default, must, text in [*rows, *others])
    return (
        f"# Settings\n\n{MADE}{_ABOUT_SETTINGS}\n"
        f"| variable | default | must be | |\n|---|---|---|---|\n{table}\n{_CONFIG}"
        + _EXAMPLE.replace("OTHERS", dialects)
    )


_OTHERS = [
    (
        "CHOMP_HOME",
        "your user data folder",
        "a folder; it may be new",
        "holds `keys.json` (readable by you alone), `state.db` and `config.toml`",
    ),
    ("CHOMP_MASTER_KEY", "your keychain, else a key file", "", "seals router keys at rest: [security](security.md)"),
    ("CHOMP_NEW_MASTER_KEY", "", "", "what `keys rotate` seals them with from then on"),
    ("CHOMP_ROUTER_<ID>_URL", "the catalog's", "a URL", "another base URL for a router"),
]
_ABOUT_SETTINGS = """\
Variables of the environment, or the same names in `config.toml` in `CHOMP_HOME`; the environment wins. A wrong value
stops the start with an error that names it. A placeholder that nothing filled in (`${X}`, `<your-key>`) counts as no
key.
"""
_CATALOG = "https://github.com/chomp-mcp/chomp-mcp/blob/main/chomp_mcp/routers/catalog.toml"
_CONFIG = f"""## config.toml

Your own routers, and groups of models, stand beside the settings. A row for a built-in router changes only the fields
it names; all fields are those of [catalog.toml]({_CATALOG}). [Which model answers](models.md) tells what a group does.
"""
_EXAMPLE = """
```toml
LLM_DAILY_BUDGET_USD = 5
LLM_FALLBACKS = ["groq", "openrouter/openrouter/free"]

[routers.lab]
url = "http://127.0.0.1:8099/v1"   # the only field that must be there
name = "Lab"                       # default: the id
key = "LAB_API_KEY"                # the variable that holds its key; absent: it needs none
dialect = "openai"                 # default; also OTHERS
models = ["qwen3", "gemma"]        # preference list for auto; default: the first that it lists
headers = { X-Team = "a" }

[groups.coding]
models = ["groq/openai/gpt-oss-120b", "openrouter/*:free"]
order = "quota"
needs = ["tools"]

[agents.claude]                    # what Claude Code's own model names stand for
opus = "zen/glm-5.3"
haiku = "groq/auto"
```
"""


def _docstrings() -> dict[str, str]:
    """The sentence below each field of `_Settings`."""
    tree = ast.parse((ROOT / "chomp_mcp" / "setting_fields.py").read_text(encoding="utf-8"))
    fields = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "_Settings").body
    found = {}
    for field, below in itertools.pairwise(fields):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            found[field.target.id] = " ".join(ast.literal_eval(below.value).split()).rstrip(".")
    return found


def _default(value: object, name: str) -> str:
    if name.endswith("_MS"):
        value = round(float(str(value)) * 1000)
    if isinstance(value, tuple):
        value = ",".join(map(str, value))
    if isinstance(value, bool):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"`{value}`" if str(value) else ""


def _must_be(name: str) -> str:
    """What its error says that it must be."""
    try:
        setting_fields.parsed({name: "\0 "})
    except ValueError as error:
        return _cell(setting_fields.first_fault(error)[1].removeprefix("must be ")).rstrip(",")
    return ""


def keys() -> str:
    """Every router: where its key comes from, what it allows for nothing, and what `auto` takes of it."""
    routers = [each for each in _catalog() if each.id != "mock"]
    return (
        f"# Routers and keys\n\n{MADE}{_ABOUT_KEYS}\n"
        "| router | what it allows | its key | variable |\n|---|---|---|---|\n"
        + "".join(map(_router, routers))
        + _ABOUT_LIMITS
        + "".join(
            f"* `{each.id}`: {', '.join(f'`{model}`' for model in each.models)}\n" for each in routers if each.models
        )
        + "\nThe first of these that the router lists now; else the first that it lists.\n"
    )


_ABOUT_KEYS = """\
`chomp-mcp setup` walks you through one of them; `chomp-mcp keys add ROUTER` takes a key (typed hidden or piped in),
tries it with a call that needs one, and stores it; without a router it is told by how the key begins. `chomp-mcp keys
import .env` takes all that a file has. Several keys for one router are used in turn when one is exhausted. In the
order in which `auto` tries them:
"""
_ABOUT_LIMITS = """
Limits are those that the routers document (November 2026). What a key really has left is learned from their answers:
`chomp-mcp status`. `openai` and `anthropic` are deprecated: they answer when named, never by `auto`. `mock` is built
in, needs no key, and answers `auto` only when there is nothing else.

## What `auto` prefers

"""


def _router(router: Router) -> str:
    page = (
        f"[get one]({router.keys_page})"
        if router.needs_key
        else f"none ([get it]({router.keys_page}))"
        if router.keys_page
        else "none"
    )
    variable = ", ".join(f"`{name}`" for name in (router.key_variable, router.url_lacks) if name)
    return (
        f"| `{router.id}` {router.name} | {_cell(router.limits or 'nothing is documented')} | {page} | {variable} |\n"
    )


def llms() -> str:
    """The site for a model: each page as Markdown, with its first sentence."""
    site = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    raw = "https://raw.githubusercontent.com" + site["repo_url"].removeprefix("https://github.com") + "/main/docs/"
    lines = [f"- [{title}]({raw}{page}): {_first_sentence(page)}" for title, page in _nav(site["nav"])]
    return f"# chomp-mcp\n\n> {site['site_description']}\n\n## Documentation\n\n" + "\n".join(lines) + "\n"


def _nav(entries: Any) -> Iterator[tuple[str, str]]:
    for entry in entries:
        for title, page in entry.items():
            if isinstance(page, str):
                yield title, page
            else:
                yield from _nav(page)


def _first_sentence(page: str) -> str:
    made = {"cli.md": cli, "settings.md": settings, "keys.md": keys}
    text = made[page]() if page in made else (DOCS / page).read_text(encoding="utf-8")
    text = re.sub(r"<!--.*?-->|```.*?```|<[^>]+>|\[([^\]]*)\]\([^)]*\)", r"\1", text, flags=re.DOTALL)
    paragraphs = (" ".join(part.split()) for part in text.split("\n\n"))
    first = next(part for part in paragraphs if part and not part.startswith(("#", "|", "!")))
    return re.split(r"(?<=[.:])\s", first.replace("`", "").replace("**", ""))[0].rstrip(":")


def main() -> int:
    for name, text in pages().items():
        (ROOT / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
