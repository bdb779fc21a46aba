"""What can be typed: the commands, their arguments and their help; nothing here imports more than argparse."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NoReturn

from chomp_mcp.errors import InvalidRequest
from chomp_mcp.gateway import RUN_JOB
from chomp_mcp.version import version

CHECK_KEYS = "check-keys"
NEEDS = ("tools", "parallel_tools", "vision", "documents", "json_schema", "reasoning")
"""Those of messages/router.py, which the help need not load."""
CLIENTS = (
    "claude-desktop", "claude-code", "cursor", "vscode", "codex", "gemini", "opencode", "copilot", "cline", "windsurf",
    "zed", "lmstudio", "goose", "continue", "jetbrains",
)  # fmt: skip

AGENTS = ("claude", "codex", "opencode", "qwen", "gemini", "aider")
"""Like CLIENTS the keys of a table that takes longer to load than a shell should wait for help; tests compare them."""

ALIASES = {
    "claude": "claude-code", "code": "vscode", "vs-code": "vscode", "visual-studio-code": "vscode",
    "codex-cli": "codex", "gemini-cli": "gemini", "open-code": "opencode", "copilot-cli": "copilot",
    "github-copilot": "copilot", "cline-cli": "cline", "lm-studio": "lmstudio", "continue-dev": "continue",
    "junie": "jetbrains",
}  # fmt: skip
"""Other names that people give them."""

_EPILOG = """\
Without a command, chomp-mcp is an MCP server on stdin and stdout: that is how Claude Desktop, Cursor and other MCP
clients start it. `chomp-mcp install CLIENT` puts it into a client's configuration, `chomp-mcp demo` shows what it does.

exit codes: 0 done, 2 the request is wrong, 3 a limit or a budget, 4 the routers failed, 5 the store, 130 Ctrl-C
"""


def client_named(text: str) -> str:
    """The client's name in CLIENTS, where it is one of them by any of its names."""
    name = "-".join(text.strip().lower().replace("_", " ").replace("-", " ").split())
    return ALIASES.get(name, name)


def did_you_mean(text: str, known: Iterable[str]) -> str:
    """The known names that look most like it, else all of them, as a sentence; its full stop is left to the caller."""
    import difflib

    known = list(known)
    close = difflib.get_close_matches(text.lower(), known, n=2, cutoff=0.6)
    return f"Did you mean {' or '.join(close)}?" if close else f"Known: {', '.join(known)}"


class _Parser(argparse.ArgumentParser):
    """Usage errors in the words of all other errors: `chomp-mcp: <message> <hint>`, exit code 2."""

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """A command, an action or a client that is not there is told with the one that was probably meant."""
        known = list(action.choices or ())
        if not known or value in known or (action.metavar == "CLIENT" and client_named(value) in known):
            return
        kind = (action.metavar if isinstance(action.metavar, str) else "") or action.dest
        raise argparse.ArgumentError(None, f"there is no {kind.lower()} {value!r}. {did_you_mean(value, known)}")

    def _print_message(self, message: str, file: Any = None) -> None:
        """The base class swallows what a full disk says."""
        (file or sys.stderr).write(message)

    def error(self, message: str) -> NoReturn:
        raise InvalidRequest(message, hint=f"See {self.prog} --help.")


class _Help(argparse.RawDescriptionHelpFormatter):
    """Commands stand two columns further right than argparse reckons; the longest would get a line of its own."""

    def add_arguments(self, actions: Iterable[argparse.Action]) -> None:
        super().add_arguments(actions)
        self._action_max_length += 2


class _Version(argparse.Action):
    """The installed version, looked up only when asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_args: object) -> NoReturn:
        print(f"chomp-mcp {version()}")
        parser.exit()


def parsed(argv: Sequence[str]) -> argparse.Namespace:
    """What was typed; and what only `dispatch` and `doctor` type, for processes of their own, and no list shows."""
    if len(argv) == len((RUN_JOB, "QUEUE")) and argv[0] == RUN_JOB:
        return argparse.Namespace(run="job_process:run_job", queue=argv[1])
    if len(argv) == len((CHECK_KEYS, "VARIABLES")) and argv[0] == CHECK_KEYS:
        return argparse.Namespace(run="key_checks:check_keys", shell=argv[1])
    if argv[:1] == ["run"]:  # what follows -- is the agent's, whatever it looks like
        end = argv.index("--") if "--" in argv else len(argv)
        return argparse.Namespace(**vars(_known(argv[:end])), arguments=list(argv[end + 1 :]))
    if argv[:1] == ["help"] and "--json" not in argv:  # the same as --help behind the command
        argv = [*argv[1:], "--help"]
    return _known(argv)


def _known(argv: Sequence[str]) -> argparse.Namespace:
    """What was typed, where all of it means something."""
    args, rest = parser(argv).parse_known_args(argv)
    if not rest:
        return args
    typed = next((" ".join(argv[:count]) for count in (2, 1) if " ".join(argv[:count]) in _COMMANDS), "")
    if typed == "keys add":  # what is too much may be the key: it is not repeated
        raise InvalidRequest("A key is never an argument, for shells remember those.", hint=PIPE_IT)
    see = f"See {' '.join(('chomp-mcp', *typed.split()))} --help."
    if typed == "run":
        see = f"What is the agent's stands behind --: chomp-mcp run {args.agent} -- {' '.join(rest)}"
    raise InvalidRequest(f"unrecognized arguments: {' '.join(rest)}.", hint=see)


PIPE_IT = "Type it when it is asked for, or pipe it in: chomp-mcp keys add ROUTER < FILE"

_Argument = tuple[tuple[str, ...], dict[str, Any]]


class _Command:
    """`run` is the `module:function` in this package that does it; of one with actions, where none is typed."""

    def __init__(self, run: str, summary: str, *arguments: _Argument, description: str = "") -> None:
        self.run, self.summary, self.description = run, summary, description or summary
        self.arguments = arguments


def _arg(*names: str, **options: Any) -> _Argument:
    """What `add_argument` takes; the last word is the help."""
    return names[:-1], {**options, "help": names[-1] or None}


def _flag(*names: str, **options: Any) -> _Argument:
    return _arg(*names, action="store_true", **options)


def _number(what: str, first: int, last: int, *, whole: bool = True) -> Callable[[str], float]:
    """The type of an argument between the two; digits alone where it is `whole`: int() would take `+1` and `1_0`."""

    def number(text: str) -> float:
        value = -1.0
        with contextlib.suppress(ValueError):
            value = float(text) if not whole else int(text) if text.isascii() and text.isdecimal() else -1
        if not first <= value <= last:
            raise argparse.ArgumentTypeError(f"{text!r} is not a {what} from {first} to {last}")
        return value

    return number


_SEVERAL: dict[str, Any] = {"action": "append", "default": []}
_LIMIT = _arg("--limit", "how many (default: 20)", metavar="N", default=20, type=_number("number of rows", 1, 10_000))
_RAW = _flag("--raw", "show Markdown as it comes, on a terminal too")
_ROUTER = _arg("-r", "--router", "the router that must answer (default: auto)", default="auto")
_TOKEN = _arg("name", "its name, or how its ID in the list begins", metavar="NAME")
_ATTACHED = "a file that goes along: text, an image or a PDF; a glob in quotes; again for more"
_FIELD = "a field of chat completions, its value as JSON or text: -o temperature=0.2; again for more"
_ROUTE = (
    _arg("-m", "--model", "a model ref: router/model, a model's name, or auto", default=""),
    _ROUTER,
    _arg("-s", "--system", "the system prompt", default=""),
    _arg("-a", "--attach", _ATTACHED, dest="files", metavar="FILE", **_SEVERAL),
    _arg("-o", "--option", _FIELD, dest="options", metavar="NAME=VALUE", **_SEVERAL),
    _arg("--schema", "a file with the JSON schema that the answer must have", metavar="FILE", default=""),
)
_PROMPT = (
    _arg("prompt", "what to ask; what is piped in goes before it, or where a - stands", metavar="PROMPT", nargs="+"),
    *_ROUTE,
    _arg("--save-to", "write the answer into FILE, and show its begin", metavar="FILE", default=""),
)
_THREAD = (
    _flag("-c", "--continue", "go on with the last conversation", dest="resume"),
    _arg("--thread", "go on with the conversation of that name, or begin it", metavar="NAME", default=""),
)
_CLIENT = (
    _arg("client", ", ".join(CLIENTS), metavar="CLIENT", choices=CLIENTS),
    _flag("--project", "the configuration of the project in this folder, not the user's"),
    _flag("--print", "only show it; write nothing", dest="only_print"),
    _flag("--provider", "not as MCP server, but as where its models are (codex, opencode, vscode, claude-desktop)"),
    _flag("-y", "--yes", "do not ask, on a terminal either"),
)

_WORKERS = """processes on that port, which share keys, jobs, budgets and breakers (default: GATEWAY_WORKERS or 1; not
on Windows). With more than one, a caller's rate limit is divided among them, MCP clients older than 2026-07-28 are
served without sessions, and /sse is closed"""
_RUN = """Start an agent on your own router keys, for this run: chomp-mcp run claude -m groq/auto -- --continue. It gets
the gateway that serves already, else one of its own on a free port; a token; the model; and chomp's tools. Nothing is
written; what was started ends with it. What follows -- is the agent's."""
_INSTALL = """Add chomp-mcp to an MCP client's configuration. The change is shown first. On a terminal it is written
when you agree; with --yes, or where stdin or stdout is no terminal, at once. Comments and layout stay, and the file as
it was is kept beside it. A client's own command (claude, codex, gemini, copilot) is used where it is on the PATH.
Proxies and certificates of this shell go along in the entry; keys never do, unless --env names them."""
_UNINSTALL = """Take chomp-mcp out of an MCP client's configuration. Asks as install does. A file that nothing else has
changed since is what it was before, byte for byte."""

# fmt: off
_COMMANDS: Mapping[str, _Command] = {
    "serve": _Command("servers:serve", "serve the HTTP APIs and MCP over HTTP on one port",
        _arg("--host", "address to listen on (default: GATEWAY_HOST or 127.0.0.1)"),
        _arg("--port", "port to listen on (default: GATEWAY_PORT or 8080; 0 picks a free one)",
             type=_number("port", 0, 65_535)),
        _arg("--workers", _WORKERS, metavar="N", type=_number("number of processes", 1, 64)),
        _flag("--no-jobs", "accept jobs, and leave them to others on CHOMP_STORE")),
    "worker": _Command("servers:worker", "run the jobs that wait in CHOMP_STORE, and serve nothing"),
    "demo": _Command("demo:demo", "see what it does: start the server as a client would, and use it"),
    "run": _Command("run:run", "start an agent on your own router keys, for this run",
        _arg("agent", ", ".join(AGENTS), metavar="AGENT", choices=AGENTS),
        _arg("-m", "--model", "a model ref (default: CHOMP_AGENT_MODEL, or auto)", default=""),
        _flag("--print", "only show what would be set", dest="only_print"),
        description=_RUN),
    "ask": _Command("asking:ask", "ask a model and stream its answer to the terminal", *_PROMPT, *_THREAD, _RAW),
    "dispatch": _Command("asking:dispatch", "ask in the background and print the job's id at once", *_PROMPT),
    "chat": _Command("asking:chat", "ask line after line in one conversation, until Ctrl-D", *_ROUTE, _RAW, *_THREAD),
    "result": _Command("jobs:result", "print a job's answer, or what there is of it so far",
        _arg("id", "the job's id, as dispatch printed it", metavar="ID"),
        _arg("--wait", "wait up to S seconds for the end", metavar="S", default=0.0,
             type=_number("number of seconds", 0, 86_400, whole=False))),
    "jobs": _Command("jobs:jobs", "list the recent jobs, the newest first", _LIMIT),
    "logs": _Command("logs:logs", "the receipts of the newest exchanges, of all doors, the newest first", _LIMIT),
    "cancel": _Command("jobs:cancel", "cancel a job", _arg("id", "the job's id", metavar="ID")),
    "models": _Command("models:models", "list the models that your keys reach",
        _arg("router", "one router (default: all keyed)", metavar="ROUTER", nargs="?", default="auto"),
        _flag("--free", "only those that cost nothing"),
        _arg("--needs", f"only those that can: {', '.join(NEEDS)}", metavar="NEED,…", default=""),
        _arg("-q", "--query", "only ids that contain this", default="")),
    "explain": _Command("explain:explain", "where a request for a model would go now, and why; nothing is asked",
        _arg("model", "a model ref, or a group's name", metavar="MODEL", nargs="?", default=""),
        _ROUTER,
        _arg("--needs", f"what it must do: {', '.join(NEEDS)}", metavar="NEED,…", default="")),
    "catalog": _Command("catalog:show", "what public data says of models: its date, and newer data"),
    "catalog show": _Command("catalog:show", "its date, source and size (the default)"),
    "catalog update": _Command("catalog:update", "fetch newer data; what is broken or older changes nothing",
        _arg("--from", "default: https://models.dev/api.json", dest="source", metavar="URL|FILE", default="")),
    "keys": _Command("keys:list_keys", "list, add, remove or seal router keys, or make a caller token"),
    "keys list": _Command("keys:list_keys", "which routers have a key, masked (the default)"),
    "keys add": _Command("keys:add", "add a router's key: typed hidden, or piped in; never an argument",
        _arg("router", "default: told by how the key begins", metavar="ROUTER", nargs="?", default=""),
        _flag("--no-check", "store it without asking the router whether it takes it"),
        _flag("--replace", "forget its other stored keys; else they are kept")),
    "keys remove": _Command("keys:remove", "forget a router's stored key",
        _arg("router", "whose key", metavar="ROUTER")),
    "keys import": _Command("keys:import_keys", "take the routers' keys out of a .env file, each checked",
        _arg("file", "lines of NAME=KEY; - reads stdin", metavar="FILE")),
    "keys encrypt": _Command("sealing:encrypt",
        "seal the keys in the store with the master key; makes one where there is none"),
    "keys rotate": _Command("sealing:rotate",
        "seal them with another one: of CHOMP_NEW_MASTER_KEY, of stdin, or a new one"),
    "keys decrypt": _Command("sealing:decrypt", "put them back in the open"),
    "keys token": _Command("keys:token", "make a caller token for the HTTP doors and print it once"),
    "tokens": _Command("tokens:list_tokens", "tokens for others on this gateway, with models, budgets and an end"),
    "tokens list": _Command("tokens:list_tokens", "every caller's token: its limits, its last use (the default)"),
    "tokens add": _Command("tokens:add", "make a token that uses your router keys, and print it once",
        _arg("name", "what you call whoever has it", metavar="NAME"),
        _arg("--models", "what it may ask for: groq/*,coding (default: everything)", metavar="PATTERNS"),
        _arg("--doors", "where: openai,anthropic,gemini,mcp,api (default: everywhere)", metavar="DOORS"),
        _arg("--daily", "what it may spend in a day; 0: free models alone", metavar="USD"),
        _arg("--monthly", "what it may spend in a month, likewise", metavar="USD"),
        _arg("--rps", "requests a second", metavar="N"),
        _arg("--expires", "30d, 12h, or a date", metavar="WHEN")),
    "tokens revoke": _Command("tokens:revoke", "it opens nothing any more; its caller's keys and jobs are gone",
        _TOKEN),
    "tokens rotate": _Command("tokens:rotate",
        "another token for the same caller, printed once; the old one opens nothing any more", _TOKEN),
    "status": _Command("status:status", "routers, keys, breakers, quotas left, spend against the budgets"),
    "doctor": _Command("doctor:doctor", "check the installation, the keys and the settings",
        _flag("--repair", "move a state.db that is damaged aside")),
    "setup": _Command("setup:setup", "a guided walk: a key, your clients, the first question"),
    "completion": _Command("completion:completion", "print the script that completes words in your shell",
        _arg("shell", "bash, zsh or fish", metavar="SHELL", choices=("bash", "zsh", "fish"))),
    "help": _Command("help:as_json", "show the help, of all or of one command",
        _arg("topic", "default: all", metavar="COMMAND", nargs="?")),
    "install": _Command("install:install", "add chomp-mcp to an MCP client's configuration",
        *_CLIENT,
        _arg("-m", "--model", "with --provider: the model (default: auto)", metavar="MODEL", default=""),
        _arg("--env", "put this shell's variable into the entry too; how a key gets there, and only then",
             metavar="NAME", **_SEVERAL),
        description=_INSTALL),
    "uninstall": _Command("install:uninstall", "take chomp-mcp out of a client's configuration", *_CLIENT,
        description=_UNINSTALL),
}
# fmt: on
"""What is typed -> what it is, in the order of the help; an action stands behind its command."""


def parser(words: Collection[str] | None = None) -> argparse.ArgumentParser:
    """The whole command line; each command's `run` default names `module:function` in this package.

    Commands that are not among `words`, the ones typed, have no arguments: to make all of them takes a start 5 ms.
    """
    top = _Parser(
        prog="chomp-mcp",
        description="Every model behind your own router keys, as MCP tools, an OpenAI-compatible API and this command.",
        epilog=_EPILOG,
        formatter_class=_Help,
    )
    top.add_argument("-V", "--version", action=_Version, nargs=0, help="show the version and exit")
    top.set_defaults(run="servers:stdio", json=False)
    parsers: dict[str, argparse.ArgumentParser] = {}
    groups: dict[str, Any] = {"": top.add_subparsers(title="commands", metavar="COMMAND")}
    for typed, command in _COMMANDS.items():
        group, _, name = typed.rpartition(" ")
        is_needed = words is None or typed.partition(" ")[0] in words
        if group and not is_needed:
            continue
        if group not in groups:
            groups[group] = parsers[group].add_subparsers(metavar="ACTION")
        added = groups[group].add_parser(name, help=command.summary, description=command.description)
        parsers[typed] = added
        added.set_defaults(run=command.run)
        # Without a default: an action's own would undo the command's.
        added.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print JSON, errors too")
        for names, options in command.arguments if is_needed else ():
            added.add_argument(*names, **options)
    return top
