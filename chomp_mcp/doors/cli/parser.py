"""What can be typed: the commands, their arguments and their help; nothing here imports more than argparse."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

from chomp_mcp.errors import InvalidRequest
from chomp_mcp.gateway import RUN_JOB

__all__ = ["AGENTS", "CHECK_KEYS", "CLIENTS", "client_named", "did_you_mean", "parsed", "parser"]

CHECK_KEYS = "check-keys"
NEEDS = ("tools", "parallel_tools", "vision", "documents", "json_schema", "reasoning")
"""Those of messages/router.py, which the help need not load."""
DAY_SECONDS = 86_400
LAST_PORT = 65_535
MOST_WORKERS = 64
CLIENTS = (
    "claude-desktop", "claude-code", "cursor", "vscode", "codex", "gemini", "opencode", "copilot", "cline", "windsurf",
    "zed", "lmstudio", "goose", "continue", "jetbrains",
)  # fmt: skip

AGENTS = ("claude", "codex", "opencode", "qwen", "gemini", "aider")

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
        from importlib.metadata import version

        print(f"chomp-mcp {version('chomp-mcp')}")
        parser.exit()


def parsed(argv: Sequence[str]) -> argparse.Namespace:
    """What was typed; and what only `dispatch` and `doctor` type, for processes of their own, and no list shows."""
    if len(argv) == len((RUN_JOB, "ID", "QUEUE")) and argv[0] == RUN_JOB:
        return argparse.Namespace(run="asking:run_job", id=argv[1], queue=argv[2])
    if len(argv) == len((CHECK_KEYS, "VARIABLES")) and argv[0] == CHECK_KEYS:
        return argparse.Namespace(run="key_checks:check_keys", shell=argv[1])
    if argv[:1] == ["run"] and "--" in argv:  # what follows is the agent's, whatever it looks like
        end = argv.index("--")
        return argparse.Namespace(**{**vars(parser().parse_args(argv[:end])), "arguments": list(argv[end + 1 :])})
    if argv[:1] == ["help"] and "--json" not in argv:  # the same as --help behind the command
        argv = [*argv[1:], "--help"]
    return parser().parse_args(argv)


def parser() -> argparse.ArgumentParser:
    """The whole command line; each command's `run` default names `module:function` in this package."""
    top = _Parser(
        prog="chomp-mcp",
        description="Every model behind your own router keys, as MCP tools, an OpenAI-compatible API and this command.",
        epilog=_EPILOG,
        formatter_class=_Help,
    )
    top.add_argument("-V", "--version", action=_Version, nargs=0, help="show the version and exit")
    top.set_defaults(run="servers:stdio", json=False)
    commands = top.add_subparsers(title="commands", metavar="COMMAND")

    def command(name: str, run: str, summary: str, **more: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=summary, description=more.get("description", summary))
        added.set_defaults(run=run)
        _json(added)
        return added

    for add in (_servers, _running, _asking, _jobs, _models, _explain, _catalog, _keys, _tokens, _looking, _setup):
        add(command)
    return top


_Command = Callable[..., argparse.ArgumentParser]


def _servers(command: _Command) -> None:
    serve = command("serve", "servers:serve", "serve the HTTP APIs and MCP over HTTP on one port")
    serve.add_argument("--host", help="address to listen on (default: GATEWAY_HOST or 127.0.0.1)")
    serve.add_argument(
        "--port", type=_port, help="port to listen on (default: GATEWAY_PORT or 8080; 0 picks a free one)"
    )
    serve.add_argument("--workers", metavar="N", type=_workers, help=_WORKERS)
    serve.add_argument("--no-jobs", action="store_true", help="accept jobs, and leave them to others on CHOMP_STORE")
    command("worker", "servers:worker", "run the jobs that wait in CHOMP_STORE, and serve nothing")
    command("demo", "demo:demo", "see what it does: start the server as a client would, and use it")


_WORKERS = """processes on that port, which share keys, jobs, budgets and breakers (default: GATEWAY_WORKERS or 1; not
on Windows). With more than one, a caller's rate limit is divided among them, MCP clients older than 2026-07-28 are
served without sessions, and /sse is closed"""


def _running(command: _Command) -> None:
    run = command("run", "run:run", "start an agent on your own router keys, for this run", description=_RUN)
    run.add_argument("agent", metavar="AGENT", choices=AGENTS, help=", ".join(AGENTS))
    run.add_argument("-m", "--model", default="", help="a model ref (default: CHOMP_AGENT_MODEL, or auto)")
    run.add_argument("--print", dest="only_print", action="store_true", help="only show what would be set")
    run.set_defaults(arguments=[])


_RUN = """Start an agent on your own router keys, for this run: chomp-mcp run claude -m groq/auto -- --continue. It gets
the gateway that serves already, else one of its own on a free port; a token; the model; and chomp's tools. Nothing is
written; what was started ends with it. What follows -- is the agent's."""


def _asking(command: _Command) -> None:
    ask = command("ask", "asking:ask", "ask a model and stream its answer to the terminal")
    _prompt(ask)
    ask.add_argument("-c", "--continue", dest="resume", action="store_true", help="go on with the last conversation")
    ask.add_argument(
        "--thread", metavar="NAME", default="", help="go on with the conversation of that name, or begin it"
    )
    dispatch = command("dispatch", "asking:dispatch", "ask in the background and print the job's id at once")
    _prompt(dispatch)
    ask.add_argument("--raw", action="store_true", help=_RAW)
    chat = command("chat", "asking:chat", "ask line after line in one conversation, until Ctrl-D")
    _route(chat)
    chat.add_argument("--raw", action="store_true", help=_RAW)
    chat.add_argument("-c", "--continue", dest="resume", action="store_true", help="go on with the last conversation")
    chat.add_argument(
        "--thread", metavar="NAME", default="", help="go on with the conversation of that name, or begin it"
    )


_ATTACH = "a file that goes along: text, an image or a PDF; a glob in quotes; again for more"


def _prompt(command: argparse.ArgumentParser) -> None:
    command.add_argument("prompt", metavar="PROMPT", nargs="+", help=_PROMPT)
    _route(command)
    command.add_argument("--save-to", metavar="FILE", default="", help="write the answer into FILE, and show its begin")


_RAW = "show Markdown as it comes, on a terminal too"
_PROMPT = "what to ask; what is piped in goes before it, or where a - stands"
_OPTION = "a field of chat completions, its value as JSON or text: -o temperature=0.2; again for more"
_SCHEMA = "a file with the JSON schema that the answer must have"


def _route(command: argparse.ArgumentParser) -> None:
    command.add_argument("-m", "--model", default="", help="a model ref: router/model, a model's name, or auto")
    command.add_argument("-r", "--router", default="auto", help="the router that must answer (default: auto)")
    command.add_argument("-s", "--system", default="", help="the system prompt")
    command.add_argument("-a", "--attach", dest="files", metavar="FILE", action="append", default=[], help=_ATTACH)
    command.add_argument(
        "-o", "--option", dest="options", metavar="NAME=VALUE", action="append", default=[], help=_OPTION
    )
    command.add_argument("--schema", metavar="FILE", default="", help=_SCHEMA)


def _jobs(command: _Command) -> None:
    result = command("result", "jobs:result", "print a job's answer, or what there is of it so far")
    result.add_argument("id", metavar="ID", help="the job's id, as dispatch printed it")
    result.add_argument("--wait", metavar="S", type=_seconds, default=0.0, help="wait up to S seconds for the end")
    jobs = command("jobs", "jobs:jobs", "list the recent jobs, the newest first")
    jobs.add_argument("--limit", type=int, default=20, help="how many (default: 20)")
    logs = command("logs", "logs:logs", "the receipts of the newest exchanges, of all doors, the newest first")
    logs.add_argument("--limit", type=int, default=20, help="how many (default: 20)")
    cancel = command("cancel", "jobs:cancel", "cancel a job")
    cancel.add_argument("id", metavar="ID", help="the job's id")


def _models(command: _Command) -> None:
    models = command("models", "models:models", "list the models that your keys reach")
    models.add_argument("router", metavar="ROUTER", nargs="?", default="auto", help="one router (default: all keyed)")
    models.add_argument("--free", action="store_true", help="only those that cost nothing")
    models.add_argument("--needs", metavar="NEED,…", default="", help=f"only those that can: {', '.join(NEEDS)}")
    models.add_argument("-q", "--query", default="", help="only ids that contain this")


def _explain(command: _Command) -> None:
    explain = command(
        "explain", "explain:explain", "where a request for a model would go now, and why; nothing is asked"
    )
    explain.add_argument("model", metavar="MODEL", nargs="?", default="", help="a model ref, or a group's name")
    explain.add_argument("-r", "--router", default="auto", help="the router that must answer (default: auto)")
    explain.add_argument("--needs", metavar="NEED,…", default="", help=f"what it must do: {', '.join(NEEDS)}")


def _catalog(command: _Command) -> None:
    catalog = command("catalog", "catalog:show", "what public data says of models: its date, and newer data")
    actions = catalog.add_subparsers(metavar="ACTION")
    _action(actions, "show", "catalog:show", "its date, source and size (the default)")
    update = _action(actions, "update", "catalog:update", "fetch newer data; what is broken or older changes nothing")
    update.add_argument(
        "--from", dest="source", metavar="URL|FILE", default="", help="default: https://models.dev/api.json"
    )


def _keys(command: _Command) -> None:
    keys = command("keys", "keys:list_keys", "list, add, remove or seal router keys, or make a caller token")
    actions = keys.add_subparsers(metavar="ACTION")
    _action(actions, "list", "keys:list_keys", "which routers have a key, masked (the default)")
    add = _action(actions, "add", "keys:add", "add a router's key: typed hidden, or piped in; never an argument")
    add.add_argument("router", metavar="ROUTER", nargs="?", default="", help="default: told by how the key begins")
    add.add_argument("--no-check", action="store_true", help="store it without asking the router whether it takes it")
    add.add_argument("--replace", action="store_true", help="forget its other stored keys; else they are kept")
    remove = _action(actions, "remove", "keys:remove", "forget a router's stored key")
    remove.add_argument("router", metavar="ROUTER")
    taken = _action(actions, "import", "keys:import_keys", "take the routers' keys out of a .env file, each checked")
    taken.add_argument("file", metavar="FILE", help="lines of NAME=KEY; - reads stdin")
    for name, summary in _SEALING.items():
        _action(actions, name, f"sealing:{name}", summary)
    _action(actions, "token", "keys:token", "make a caller token for the HTTP doors and print it once")


def _tokens(command: _Command) -> None:
    tokens = command(
        "tokens", "tokens:list_tokens", "tokens for others on this gateway, with models, budgets and an end"
    )
    actions = tokens.add_subparsers(metavar="ACTION")
    _action(actions, "list", "tokens:list_tokens", "every caller's token: its limits, its last use (the default)")
    add = _action(actions, "add", "tokens:add", "make a token that uses your router keys, and print it once")
    add.add_argument("name", metavar="NAME")
    add.add_argument("--models", metavar="PATTERNS", help="what it may ask for: groq/*,coding (default: everything)")
    add.add_argument("--doors", metavar="DOORS", help="where: openai,anthropic,gemini,mcp,api (default: everywhere)")
    add.add_argument("--daily", metavar="USD", help="what it may spend in a day")
    add.add_argument("--monthly", metavar="USD", help="what it may spend in a month")
    add.add_argument("--rps", metavar="N", help="requests a second")
    add.add_argument("--expires", metavar="WHEN", help="30d, 12h, or a date")
    for name, summary in _TOKEN_ACTIONS.items():
        action = _action(actions, name, f"tokens:{name}", summary)
        action.add_argument("name", metavar="NAME", help="its name, or how its ID in the list begins")


_TOKEN_ACTIONS = {
    "revoke": "it opens nothing any more; its caller's keys and jobs are gone",
    "rotate": "another token for the same caller, printed once; the old one opens nothing any more",
}


_SEALING = {
    "encrypt": "seal the keys in the store with the master key; makes one where there is none",
    "rotate": "seal them with another one: of CHOMP_NEW_MASTER_KEY, of stdin, or a new one",
    "decrypt": "put them back in the open",
}


def _looking(command: _Command) -> None:
    command("status", "status:status", "routers, keys, breakers, quotas left, spend against the budgets")
    doctor = command("doctor", "doctor:doctor", "check the installation, the keys and the settings")
    doctor.add_argument("--repair", action="store_true", help="move a state.db that is damaged aside")


def _setup(command: _Command) -> None:
    command("setup", "setup:setup", "a guided walk: a key, your clients, the first question")
    completion = command("completion", "completion:completion", "print the script that completes words in your shell")
    completion.add_argument("shell", metavar="SHELL", choices=("bash", "zsh", "fish"), help="bash, zsh or fish")
    shown = command("help", "help:as_json", "show the help, of all or of one command")
    shown.add_argument("topic", metavar="COMMAND", nargs="?")
    install = command(
        "install", "install:install", "add chomp-mcp to an MCP client's configuration", description=_INSTALL
    )
    uninstall = command("uninstall", "install:uninstall", _SUMMARY, description=_UNINSTALL)
    for each in (install, uninstall):
        each.add_argument("client", metavar="CLIENT", choices=CLIENTS, help=", ".join(CLIENTS))
        each.add_argument(
            "--project", action="store_true", help="the configuration of the project in this folder, not the user's"
        )
        each.add_argument("--print", dest="only_print", action="store_true", help="only show it; write nothing")
        each.add_argument(
            "--provider",
            action="store_true",
            help="not as MCP server, but as where its models are (codex, opencode, vscode, claude-desktop)",
        )
        each.add_argument("-y", "--yes", action="store_true", help="do not ask, on a terminal either")
    install.add_argument(
        "-m", "--model", metavar="MODEL", default="", help="with --provider: the model (default: auto)"
    )
    install.add_argument(
        "--env",
        metavar="NAME",
        action="append",
        default=[],
        help="put this shell's variable into the entry too; how a key gets there, and only then",
    )


_INSTALL = """Add chomp-mcp to an MCP client's configuration. The change is shown first. On a terminal it is written
when you agree; with --yes, or where stdin or stdout is no terminal, at once. Comments and layout stay, and the file as
it was is kept beside it. A client's own command (claude, codex, gemini, copilot) is used where it is on the PATH.
Proxies and certificates of this shell go along in the entry; keys never do, unless --env names them."""
_SUMMARY = "take chomp-mcp out of a client's configuration"
_UNINSTALL = """Take chomp-mcp out of an MCP client's configuration. Asks as install does. A file that nothing else has
changed since is what it was before, byte for byte."""


def _action(actions: argparse._SubParsersAction[Any], name: str, run: str, summary: str) -> argparse.ArgumentParser:
    added: argparse.ArgumentParser = actions.add_parser(name, help=summary, description=summary)
    added.set_defaults(run=run)
    _json(added)
    return added


def _json(command: argparse.ArgumentParser) -> None:
    # without a default: an action's own would undo the command's
    command.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print JSON, errors too")


def _workers(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_WORKERS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of processes from 1 to {MOST_WORKERS}")
    return int(text)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or int(text) > LAST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 0 to {LAST_PORT}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= DAY_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to {DAY_SECONDS}")
    return value
