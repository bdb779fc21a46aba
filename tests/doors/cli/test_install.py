from __future__ import annotations

import json
import os
import pty
import re
import shlex
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from chomp_mcp.doors.cli.parser import CLIENTS
from tests.support.commands import COMMAND

ROOT = Path(__file__).parents[3]
PLACES = {
    "claude-desktop": (".config/Claude/claude_desktop_config.json", "mcpServers"),
    "claude-code": (".claude.json", "mcpServers"),
    "cursor": (".cursor/mcp.json", "mcpServers"),
    "vscode": (".config/Code/User/mcp.json", "servers"),
    "codex": (".codex/config.toml", "mcp_servers"),
    "gemini": (".gemini/settings.json", "mcpServers"),
    "opencode": (".config/opencode/opencode.json", "mcp"),
    "copilot": (".copilot/mcp-config.json", "mcpServers"),
    "cline": (".cline/data/settings/cline_mcp_settings.json", "mcpServers"),
    "windsurf": (".codeium/windsurf/mcp_config.json", "mcpServers"),
    "zed": (".config/zed/settings.json", "context_servers"),
    "lmstudio": (".lmstudio/mcp.json", "mcpServers"),
    "goose": (".config/goose/config.yaml", "extensions"),
    "continue": (".continue/mcpServers/chomp.json", "mcpServers"),
    "jetbrains": (".junie/mcp/mcp.json", "mcpServers"),
}
SHAPES = {
    "claude-code": {"type": "stdio"},
    "vscode": {"type": "stdio"},
    "copilot": {"type": "local", "tools": ["*"]},
    "opencode": {"type": "local"},
    "goose": {"type": "stdio", "name": "chomp", "enabled": True, "timeout": 300},
}
"""What the entries have beside command, arguments and environment."""
PROJECTS = {
    "claude-code": ".mcp.json",
    "cursor": ".cursor/mcp.json",
    "vscode": ".vscode/mcp.json",
    "codex": ".codex/config.toml",
    "gemini": ".gemini/settings.json",
    "opencode": "opencode.json",
    "zed": ".zed/settings.json",
}
MOVED = {
    "CLAUDE_CONFIG_DIR": ("claude-code", ".claude.json"),
    "CODEX_HOME": ("codex", "config.toml"),
    "GEMINI_CLI_HOME": ("gemini", ".gemini/settings.json"),
    "COPILOT_HOME": ("copilot", "mcp-config.json"),
    "OPENCODE_CONFIG_DIR": ("opencode", "opencode.json"),
    "XDG_CONFIG_HOME": ("zed", "zed/settings.json"),
    "CONTINUE_GLOBAL_DIR": ("continue", "mcpServers/chomp.json"),
    "CLINE_DIR": ("cline", "data/settings/cline_mcp_settings.json"),
}
PROXY = "http://proxy.corp:3128"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the paths are those of Linux")


@pytest.fixture(autouse=True)
def bare(monkeypatch, tmp_path):
    """No client's own command on the PATH, no folder of theirs moved, no proxy: the files stand below HOME."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name in os.environ:
        if name in MOVED or name.upper().endswith("_PROXY") or name.startswith("SSL_CERT"):
            monkeypatch.delenv(name)


@pytest.fixture
def install(run):
    return lambda *args, **more: run("install", *args, **more)


def parsed(path):
    text = path.read_text()
    return {".toml": tomllib.loads, ".yaml": yaml.safe_load}.get(path.suffix, json.loads)(text)


def started(entry):
    """The command, the arguments and the environment of an entry of any shape."""
    if isinstance(entry["command"] if "command" in entry else entry["cmd"], list):
        return (*entry["command"],), entry["environment"]
    return (entry.get("command") or entry["cmd"], *entry["args"]), entry.get("env", entry.get("envs"))


def written(tmp_path, name, text):
    path = tmp_path / PLACES[name][0]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_every_client_has_a_place():
    assert tuple(PLACES) == CLIENTS


@pytest.mark.parametrize("client", CLIENTS)
def test_a_first_install_writes_an_absolute_command_and_uninstall_leaves_nothing(install, run, tmp_path, home, client):
    place, section = PLACES[client]
    done = install(client)
    assert done.returncode == 0, done.stderr
    entry = parsed(tmp_path / place)[section]["chomp"]
    command, env = started(entry)
    assert Path(command[0]).is_absolute()
    assert os.access(command[0], os.X_OK)
    assert command[1:] in ((), ("-m", "chomp_mcp"))
    assert env == {"CHOMP_HOME": str(home)}
    rest = {name: entry[name] for name in entry if name not in {"command", "cmd", "args", "env", "environment", "envs"}}
    assert rest == SHAPES.get(client, {})
    assert run("uninstall", client).returncode == 0
    assert list((tmp_path / place).parent.glob(f"*{Path(place).suffix}*")) == []


@pytest.mark.parametrize("client", PROJECTS)
def test_a_project_has_a_file_of_its_own(install, tmp_path, client):
    assert install(client, "--project").returncode == 0
    assert "chomp" in parsed(tmp_path / PROJECTS[client])[PLACES[client][1]]


def test_a_client_without_files_in_projects_says_so(install, tmp_path):
    done = install("lmstudio", "--project")
    assert done.returncode == 2
    assert "no configuration per project" in done.stderr


@pytest.mark.parametrize("variable", MOVED)
def test_the_variables_that_move_a_clients_folder_are_honoured(install, tmp_path, variable):
    client, name = MOVED[variable]
    install(client, env={variable: str(tmp_path / "moved")})
    assert (tmp_path / "moved" / name).is_file()
    assert not (tmp_path / PLACES[client][0]).exists()


COMMENTED = """\
// mine
{
\t// the servers
\t"mcpServers": {
\t\t"other": {"command": "x", "args": [1,2,],}, // why
\t\t/* "old": {} */
\t},
\t"theme": "d\\ud83dnn",   "a" : 1e5,
}
"""


def test_comments_commas_and_layout_stay(install, run, tmp_path):
    path = written(tmp_path, "cursor", COMMENTED)
    done = install("cursor")
    assert done.returncode == 0, done.stderr
    after = path.read_text().splitlines()
    kept = iter(after)
    assert all(line in kept for line in COMMENTED.splitlines())
    assert '\t\t"chomp": {' in after
    assert {line[0] for line in done.stdout.splitlines() if "chomp" in line and line[0] in "+- "} == {"+"}
    run("uninstall", "cursor")
    assert path.read_text() == COMMENTED


BEFORE = {
    "cursor": [
        "",
        "{}",
        '{"a": {"mcpServers": 1}}',
        '{"mcpServers":{"o":{}}}',
        '{\r\n  "mcpServers": {\r\n  }\r\n}\r\n',
        "\ufeff{\n}",
        '{"mcpServers": null}',
    ],
    "codex": [
        "",
        '# mine\nmodel = "x" # y\n\n[mcp_servers.o]\ncommand = "x"\n\n# tail\n',
        'mcp_servers = { o = { command = "x" } }',
        "a = 1\r\n",
    ],
    "goose": [
        "GOOSE_MODEL: x # y",
        "extensions:\n    dev:\n        enabled: true\n\n# tail\nX: |\n  a\n\n",
        "extensions: {}\n",
        "extensions:\nX: 1\n",
    ],
}


@pytest.mark.parametrize(("client", "before"), [(client, text) for client, texts in BEFORE.items() for text in texts])
def test_what_uninstall_leaves_is_what_install_found_byte_for_byte(install, run, tmp_path, client, before):
    path = written(tmp_path, client, before)
    done = install(client)
    assert done.returncode == 0, done.stderr
    assert path.read_bytes() != before.encode()
    assert run("uninstall", client).returncode == 0
    assert path.read_bytes() == before.encode()
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("client", "before", "edit"),
    [
        ("cursor", '{"mcpServers": {"o": {}}}', ('"o"', '"p"')),
        ("codex", "a = 1\n\n[mcp_servers.o]\n", ("a = 1", "a = 2")),
        ("goose", "X: 1\nextensions:\n  o: {}\n", ("X: 1", "X: 2")),
    ],
)
def test_uninstall_keeps_what_others_changed_since(install, run, tmp_path, client, before, edit):
    path = written(tmp_path, client, before)
    install(client)
    path.write_text(path.read_text().replace(*edit))
    done = run("uninstall", client)
    assert path.read_text() == before.replace(*edit)
    assert "as it was" in done.stdout


def test_bytes_that_are_no_utf8_and_half_emojis_survive(install, run, tmp_path):
    before = b'{"name": "\xed\xa0\xbd \xff", "half": "\\ud83d", "mcpServers": {"chomp": {"note": "\\ude00"}}}'
    path = written(tmp_path, "cursor", before)
    assert install("cursor").returncode == 0
    after = path.read_bytes()
    assert b'"name": "\xed\xa0\xbd \xff", "half": "\\ud83d"' in after
    assert b'"note": "\\ude00"' in after
    assert sorted(file.suffix for file in path.parent.iterdir()) == [".bak", ".json"]


def test_a_file_in_utf16_stays_one(install, run, tmp_path):
    before = '\ufeff{"a": "ü"}'.encode("utf-16-le")
    path = written(tmp_path, "cursor", before)
    assert install("cursor").returncode == 0
    assert "chomp" in json.loads(path.read_text(encoding="utf-16"))["mcpServers"]
    run("uninstall", "cursor")
    assert path.read_bytes() == before


def test_everything_else_in_the_file_stays_and_a_backup_is_kept(install, tmp_path):
    before = '{"mcpServers": {"other": {"command": "x"}}, "theme": "dünn"}'
    path = written(tmp_path, "cursor", before)
    path.chmod(0o640)
    done = install("cursor")
    after = json.loads(path.read_text())
    assert after["mcpServers"]["other"] == {"command": "x"}
    assert after["theme"] == "dünn"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    backup = next(path.parent.glob("mcp.json.*.bak"))
    assert backup.read_text() == before
    assert str(backup) in done.stdout


def test_a_second_install_changes_nothing(install, tmp_path):
    install("cursor")
    before = (tmp_path / ".cursor" / "mcp.json").stat()
    done = install("cursor")
    assert "has it already" in done.stdout
    after = (tmp_path / ".cursor" / "mcp.json").stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)
    assert [file.name for file in (tmp_path / ".cursor").iterdir()] == ["mcp.json"]


def test_what_was_added_to_an_older_entry_stays(install, tmp_path, home):
    old = {"command": "gone", "args": ["x"], "env": {"LLM_PROVIDER": "groq", "CHOMP_HOME": "/old"}, "disabled": False}
    path = written(tmp_path, "cursor", json.dumps({"mcpServers": {"chomp": old}}))
    assert install("cursor").returncode == 0
    entry = json.loads(path.read_text())["mcpServers"]["chomp"]
    assert entry["env"] == {"LLM_PROVIDER": "groq", "CHOMP_HOME": str(home)}
    assert entry["disabled"] is False
    assert entry["command"] != "gone"
    assert "has it already" in install("cursor").stdout


@pytest.mark.parametrize(
    "remote",
    [
        {"httpUrl": "http://127.0.0.1:8080/mcp", "headers": {"Authorization": "Bearer x"}},
        {"url": "http://127.0.0.1:8080/mcp", "type": "http"},
        {"serverUrl": "http://127.0.0.1:8080/sse", "transport": "sse"},
    ],
)
def test_a_remote_entry_is_replaced_and_not_mixed(install, tmp_path, remote):
    path = written(tmp_path, "gemini", json.dumps({"mcpServers": {"chomp": {**remote, "trust": True}}}, indent=2))
    assert install("gemini").returncode == 0
    entry = json.loads(path.read_text())["mcpServers"]["chomp"]
    assert set(entry) == {"command", "args", "env", "trust"}


def test_a_remote_entry_of_codex_is_replaced_with_its_own_lines_kept(install, tmp_path):
    before = '[mcp_servers.chomp]\nurl = "http://x"\nstartup_timeout_sec = 20 # mine\n\n# tail\n[z]\na = 1\n'
    path = written(tmp_path, "codex", before)
    assert install("codex").returncode == 0
    entry = tomllib.loads(path.read_text())["mcp_servers"]["chomp"]
    assert set(entry) == {"command", "args", "env", "startup_timeout_sec"}
    assert "startup_timeout_sec = 20 # mine\n" in path.read_text()
    assert path.read_text().endswith("\n# tail\n[z]\na = 1\n")


@pytest.mark.parametrize("content", ['{"a": 1, "b"}', '{"mcpServers": []}', "[]", "nothing", "{" * 3_000, '{"a": "'])
def test_a_file_that_cannot_be_edited_is_left_as_it_is_with_the_text_to_paste(install, tmp_path, content):
    path = written(tmp_path, "cursor", content)
    done = install("cursor")
    assert done.returncode == 2
    assert str(path) in done.stderr
    assert '"chomp"' in done.stderr
    assert "Traceback" not in done.stderr
    assert path.read_text() == content
    assert [file.name for file in path.parent.iterdir()] == ["mcp.json"]


def test_nothing_is_left_half_written_where_the_disk_is_full(tmp_path, home):
    path = written(tmp_path, "cursor", '{"a": 1}')
    full = ["sh", "-c", 'ulimit -f 0; exec "$@"', "sh"]
    done = subprocess.run(
        [*full, *COMMAND, "install", "cursor"],
        env={**os.environ, "HOME": str(tmp_path), "PATH": "/bin:/usr/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 5, done.stderr
    assert "cannot be written" in done.stderr
    assert "--print" in done.stderr
    assert path.read_text() == '{"a": 1}'
    assert [file.name for file in path.parent.iterdir()] == ["mcp.json"]


def test_a_linked_file_stays_a_link(install, tmp_path):
    real = tmp_path / "dotfiles.json"
    real.write_text("{}")
    (tmp_path / ".cursor").mkdir()
    link = tmp_path / ".cursor" / "mcp.json"
    link.symlink_to(real)
    assert install("cursor").returncode == 0
    assert link.is_symlink()
    assert "chomp" in json.loads(real.read_text())["mcpServers"]


@pytest.mark.parametrize("client", ["claude-desktop", "codex", "goose"])
def test_print_writes_nothing(install, tmp_path, client):
    done = install(client, "--print")
    assert "chomp" in done.stdout
    assert str(tmp_path / PLACES[client][0]) in done.stderr
    assert not (tmp_path / ".config").exists()
    assert not (tmp_path / ".codex").exists()


def test_what_a_client_does_not_hand_on_is_named(install):
    done = install(
        "cursor", "--print", env={"GROQ_API_KEY": "gsk_0123456789abcdef", "LLM_PROVIDER": "groq", "OTHER_API_KEY": "x"}
    )
    assert "chomp-mcp keys add groq" in done.stderr
    assert "LLM_PROVIDER" in done.stderr
    assert "OTHER_API_KEY" not in done.stderr
    assert "gsk_0123456789abcdef" not in done.stdout + done.stderr


def test_proxies_and_certificates_of_this_shell_go_along_and_are_named(install, tmp_path):
    given = {"HTTPS_PROXY": PROXY, "no_proxy": "localhost", "SSL_CERT_FILE": "corp.pem"}
    done = install("cursor", env={**given, "SSL_CERT_DIR": "/etc/ssl/certs"})
    env = parsed(tmp_path / ".cursor/mcp.json")["mcpServers"]["chomp"]["env"]
    assert {name: env[name] for name in given} == {**given, "SSL_CERT_FILE": str(tmp_path / "corp.pem")}
    assert "SSL_CERT_DIR" not in env
    assert all(name in done.stderr for name in given)


def test_a_password_or_a_key_goes_along_only_when_asked_for(install, tmp_path):
    given = {"HTTPS_PROXY": "http://me:hunter2@proxy:3128", "GROQ_API_KEY": "gsk_0123456789abcdef"}
    done = install("cursor", env=given)
    assert "HTTPS_PROXY holds a password" in done.stderr
    assert "hunter2" not in (tmp_path / ".cursor/mcp.json").read_text() + done.stdout + done.stderr
    done = install("cursor", "--env", "HTTPS_PROXY", "--env", "GROQ_API_KEY", env=given)
    env = parsed(tmp_path / ".cursor/mcp.json")["mcpServers"]["chomp"]["env"]
    assert {name: env[name] for name in given} == given
    assert "hunter2" not in done.stdout + done.stderr
    assert "gsk_0123456789abcdef" not in done.stdout + done.stderr
    assert install("cursor", "--env", "NOT_SET_HERE").returncode == 2


def test_the_diff_shows_no_neighbours_key(install, tmp_path):
    written(tmp_path, "cursor", '{\n  "mcpServers": {},\n  "apiKey": "sk-very-secret-0123"\n}')
    done = install("windsurf")
    assert "+" in done.stdout
    done = install("cursor")
    assert "sk-very-secret-0123" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("cache", "command"),
    [
        (".cache/uv/archive-v0/Xy/bin", ["uvx", "--from", str(ROOT), "chomp-mcp"]),
        (".cache/pipx/73de/bin", ["pipx", "run", "--spec", str(ROOT), "chomp-mcp"]),
        (".local/share/pipx/.cache/1a2/bin", ["pipx", "run", "--spec", str(ROOT), "chomp-mcp"]),
    ],
)
def test_what_runs_from_a_cache_is_started_as_it_was_and_from_where_it_came(run, tmp_path, cache, command):
    folder = tmp_path / cache
    folder.mkdir(parents=True)
    (folder / "python").symlink_to(sys.executable)
    (folder / "chomp-mcp").write_text("#!/bin/sh\n")
    env = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path), "PATH": "/usr/bin:/bin"}

    def told(*args: str) -> subprocess.CompletedProcess[str]:
        words = [folder / "python", "-m", "chomp_mcp", *args]
        return subprocess.run(words, env=env, capture_output=True, text=True, check=False)

    entry = json.loads(told("install", "cursor", "--print").stdout)["mcpServers"]["chomp"]
    assert [entry["command"], *entry["args"]] == command
    assert f"`{shlex.join(command)} keys add groq`" in told("models", "groq").stderr


FAKE = """#!{python}
import json, os, sys
place = os.environ["PLACE"]
with open(os.environ["SEEN"], "a") as seen:
    seen.write(json.dumps(sys.argv[1:]) + "\\n")
if os.environ.get("FAILS"):
    sys.exit("no way")
if "add-json" in sys.argv:
    open(place, "w").write(json.dumps({{"mcpServers": {{"chomp": json.loads(sys.argv[-1])}}}}))
if "remove" in sys.argv:
    open(place, "w").write("{{}}")
"""


@pytest.fixture
def claude(tmp_path):
    """A `claude` on the PATH that notes what it is asked for; gives the environment to run with."""
    program = tmp_path / "bin" / "claude"
    program.write_text(FAKE.format(python=sys.executable))
    program.chmod(0o755)
    return {"PLACE": str(tmp_path / ".claude.json"), "SEEN": str(tmp_path / "seen")}


def seen(tmp_path):
    return [json.loads(line) for line in (tmp_path / "seen").read_text().splitlines()]


def test_a_clients_own_command_is_used_where_it_is_installed(install, run, tmp_path, claude):
    done = install("claude-code", env=claude)
    assert done.returncode == 0, done.stderr
    assert "Runs: claude mcp add-json -s user chomp" in done.stdout
    run("uninstall", "claude-code", env=claude)
    (add, remove) = seen(tmp_path)
    assert add[:5] == ["mcp", "add-json", "-s", "user", "chomp"]
    assert json.loads(add[5])["type"] == "stdio"
    assert remove == ["mcp", "remove", "-s", "user", "chomp"]


def test_an_older_entry_is_taken_out_before_the_clients_own_command_adds_the_new_one(install, tmp_path, claude):
    written(tmp_path, "claude-code", '{"mcpServers": {"chomp": {"url": "http://x", "timeout": 5}}}')
    install("claude-code", env=claude)
    assert [each[1] for each in seen(tmp_path)] == ["remove", "add-json"]
    entry = parsed(tmp_path / ".claude.json")["mcpServers"]["chomp"]
    assert set(entry) == {"type", "command", "args", "env", "timeout"}


def test_where_the_clients_own_command_fails_the_file_is_edited(install, tmp_path, claude):
    done = install("claude-code", env={**claude, "FAILS": "1"})
    assert done.returncode == 0
    assert "no way" in done.stderr
    assert "chomp" in parsed(tmp_path / ".claude.json")["mcpServers"]


@pytest.mark.parametrize(("said", "is_written"), [("y\n", True), ("\n", True), ("n\n", False)])
def test_on_a_terminal_it_asks_first(tmp_path, home, said, is_written):
    outer, inner = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, "install", "cursor"],
        stdin=inner,
        stdout=inner,
        stderr=inner,
        env={**os.environ, "HOME": str(tmp_path)},
    ) as process:
        os.close(inner)
        told = b""
        while b"[Y/n]" not in told:
            told += os.read(outer, 1024)
        os.write(outer, said.encode())
        assert process.wait(20) == 0
    os.close(outer)
    assert b"+" in told
    assert (tmp_path / ".cursor" / "mcp.json").exists() is is_written


@pytest.mark.parametrize(("typed", "meant"), [("curser", "cursor"), ("claude-dektop", "claude-desktop"), ("emacs", "")])
def test_an_unknown_client_is_refused_with_the_one_that_was_meant(run, typed, meant):
    done = run("install", typed)
    assert done.returncode == 2
    assert (f"Did you mean {meant}" if meant else "Known: claude-desktop") in done.stderr


@pytest.mark.parametrize("name", ["VS Code", "vs_code", "LM-Studio", "claude"])
def test_a_client_goes_by_its_other_names_too(run, name):
    assert run("install", name, "--print").returncode == 0


def test_an_unknown_command_is_refused_with_the_one_that_was_meant(run):
    done = run("instal", "cursor")
    assert done.returncode == 2
    assert "there is no command 'instal'. Did you mean install" in done.stderr


def test_uninstall_of_what_is_not_there_says_so(run, tmp_path):
    done = run("uninstall", "cursor")
    assert done.returncode == 0
    assert "no entry of ours" in done.stdout


def test_as_json_it_says_whether_the_file_is_another_one_now(run, tmp_path):
    for changed in (True, False):
        told = json.loads(run("install", "cursor", "--json").stdout)
        assert (told["client"], told["changed"]) == ("cursor", changed)
        assert told["file"] == str(tmp_path / PLACES["cursor"][0])
    assert json.loads(run("uninstall", "cursor", "--json").stdout)["changed"] is True


# ---- as provider of models


@pytest.mark.parametrize(
    ("client", "section", "use"),
    [
        ("codex", "model_providers", "codex -c model_provider=chomp -m lab/m"),
        ("opencode", "provider", "opencode -m chomp/lab/m"),
    ],
)
def test_a_client_can_be_told_for_good_that_its_models_are_here(install, run, tmp_path, client, section, use):
    path = tmp_path / PLACES[client][0]
    before = "# mine\n[features]\na = true\n" if client == "codex" else '{\n  // mine\n  "theme": "x"\n}\n'
    written(tmp_path, client, before)
    done = install(
        client, "--provider", "-m", "lab/m", env={"GATEWAY_PORT": "4321", "GATEWAY_AUTH_TOKEN": "s3cret-token"}
    )
    assert done.returncode == 0, done.stderr
    assert use in done.stderr
    assert "chomp-mcp serve" in done.stderr
    text = path.read_text()
    assert "mine" in text
    assert "s3cret-token" not in text + done.stdout + done.stderr, "it is read from the environment"
    assert "GATEWAY_AUTH_TOKEN" in text
    assert "http://127.0.0.1:4321/v1" in text
    if client == "codex":
        entry = parsed(path)[section]["chomp"]
        assert entry["wire_api"] == "responses"
    else:
        assert '"lab/m"' in text
    assert install(client, "--provider", "-m", "lab/m", "--print").stdout
    assert run("uninstall", client, "--provider").returncode == 0
    assert path.read_text() == before


MODELS_OF_VSCODE = """[
\t// mine
\t{
\t\t"name": "Hub", // kept
\t\t"vendor": "customendpoint",
\t\t"apiKey": "${input:hub}",
\t\t"models": [],
\t},
]
"""


@pytest.mark.parametrize("before", [None, "", "[]\n", MODELS_OF_VSCODE])
@pytest.mark.parametrize("token", ["", "s3cret-token-of-sixteen"])
def test_vscode_gets_a_custom_endpoint_and_keeps_all_others(install, run, tmp_path, before, token):
    path = (tmp_path / PLACES["vscode"][0]).with_name("chatLanguageModels.json")
    if before is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(before)
    done = install("vscode", "--provider", "-m", "lab/m", env={"GATEWAY_AUTH_TOKEN": token})
    assert done.returncode == 0, done.stderr
    text = path.read_text()
    entry = next(each for each in loads(text) if each["name"] == "chomp")
    assert entry["models"][0]["url"] == "http://127.0.0.1:8080/v1/chat/completions"
    assert entry["models"][0]["id"] == "lab/m"
    assert not token or (token not in text and entry["apiKey"].startswith("${input:"))
    assert install("vscode", "--provider", "-m", "lab/other").returncode == 0
    assert "lab/other" in path.read_text()
    if before == MODELS_OF_VSCODE:
        assert text.startswith(before[: before.index("},\n]") + 2])
    assert run("uninstall", "vscode", "--provider").returncode == 0
    assert not path.exists() if before is None else loads(path.read_text() or "[]") == loads(before or "[]")


@pytest.mark.parametrize("text", ["{}", '{"name": "chomp"}'])
def test_a_list_of_models_that_is_none_is_left_as_it_is(install, tmp_path, text):
    path = (tmp_path / PLACES["vscode"][0]).with_name("chatLanguageModels.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    done = install("vscode", "--provider", "-m", "lab/m")
    assert done.returncode == 2
    assert "it holds no JSON array" in done.stderr
    assert path.read_text() == text


def loads(text):
    """JSONC without its comments and trailing commas, which stand in lines of their own here."""
    return json.loads(re.sub(r",(\s*[\]}])", r"\1", re.sub(r"(?<!:)//.*", "", text)))


LIBRARY = """{
  "entries": [
    {"id": "11111111-1111-4111-8111-111111111111", "name": "Work"}
  ],
  "appliedId": "11111111-1111-4111-8111-111111111111"
}
"""


@pytest.mark.parametrize("before", [None, "{}", LIBRARY])
@pytest.mark.parametrize("token", ["", "s3cret-token-of-sixteen"])
def test_claude_desktop_gets_a_profile_beside_those_that_it_has(install, run, tmp_path, before, token):
    library = tmp_path / ".config" / "Claude-3p" / "configLibrary"
    if before is not None:
        library.mkdir(parents=True)
        (library / "_meta.json").write_text(before)
    for _ in range(2):  # once more changes nothing
        done = install("claude-desktop", "--provider", "-m", "lab/m", env={"GATEWAY_AUTH_TOKEN": token})
        assert done.returncode == 0, done.stderr
    meta = json.loads((library / "_meta.json").read_text())
    ours = next(entry for entry in meta["entries"] if entry["name"] == "chomp")
    text = (library / f"{ours['id']}.json").read_text()
    told = json.loads(text)
    assert told["inferenceGatewayBaseUrl"] == "http://127.0.0.1:8080"
    assert told["inferenceModels"] == [{"name": "claude-via-chomp/lab/m"}]
    assert not token or (token not in text and "inferenceGatewayApiKey" not in told)
    if before == LIBRARY:
        assert meta["entries"][0]["name"] == "Work"
        assert meta["appliedId"].startswith("1111"), "the profile that is applied stays so"
    else:
        assert meta["appliedId"] == ours["id"]
    assert "lab/m" in install("claude-desktop", "--provider", "-m", "lab/m", "--print").stdout
    assert run("uninstall", "claude-desktop", "--provider").returncode == 0
    assert not (library / f"{ours['id']}.json").exists()
    left = library / "_meta.json"
    if before == LIBRARY:
        assert left.read_text() == LIBRARY
    else:
        assert not left.exists() or "chomp" not in left.read_text()
    assert "no entry of ours" in run("uninstall", "claude-desktop", "--provider").stdout


@pytest.mark.parametrize("text", ["not json", "[]", '{"entries": [{"id": "other", "name": "chomp"}]}'])
def test_a_library_that_cannot_be_edited_is_left_as_it_is(install, tmp_path, text):
    library = tmp_path / ".config" / "Claude-3p" / "configLibrary"
    library.mkdir(parents=True)
    (library / "_meta.json").write_text(text)
    done = install("claude-desktop", "--provider", "-m", "lab/m")
    assert done.returncode == 2
    assert "was left as it is" in done.stderr
    assert [path.name for path in library.iterdir()] == ["_meta.json"]
    assert (library / "_meta.json").read_text() == text


@pytest.mark.parametrize("client", ["claude-code", "cursor"])
def test_a_client_without_providers_in_a_file_is_told_what_to_do(install, tmp_path, client):
    done = install(client, "--provider")
    assert done.returncode == 2
    assert "takes no provider of models from a file" in done.stderr
    assert "chomp-mcp run claude" in done.stderr or f"chomp-mcp install {client}" in done.stderr
    assert not (tmp_path / PLACES[client][0]).exists()
