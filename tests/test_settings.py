"""Settings that cannot be meant are refused with words, wherever they stand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from chomp_mcp.app import Chomp
from chomp_mcp.errors import InvalidSetting
from chomp_mcp.settings import Settings, checked_router_url
from tests.support.scripted import ScriptedRouter

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("name", ["a" * 300, "a/" * 3_000, "a\0b", "~nobody-of-that-name/x"])
def test_a_home_that_can_be_no_folder_is_refused(tmp_path: Path, name: str) -> None:
    home = name if name.startswith("~") else f"{tmp_path}/{name}"
    with pytest.raises(InvalidSetting, match="CHOMP_HOME in the environment is wrong") as caught:
        Settings.load({"CHOMP_HOME": home})
    assert caught.value.hint == "Name a folder; it may be new."
    assert len(str(caught.value)) < 400


def test_a_config_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.toml").mkdir()
    with pytest.raises(InvalidSetting, match=r"config\.toml cannot be read: .* Move it away"):
        Settings.load({"CHOMP_HOME": str(tmp_path)})


def test_a_config_that_is_nested_without_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("a = " + "[" * 100_000 + "]" * 100_000)
    with pytest.raises(InvalidSetting, match=r"config\.toml is nested too deeply"):
        Settings.load({"CHOMP_HOME": str(tmp_path)})


@pytest.mark.parametrize(
    "url",
    ["", "http://", "https://", "http:///v1", "http://:80", "http://a:0", "ftp://a", "http://a\0b", "http://\udcff"],
)
def test_half_a_url_is_none(url: str) -> None:
    with pytest.raises(ValueError, match=r"http\(s\) URL"):
        checked_router_url(url)


@pytest.mark.parametrize(
    ("url", "meant"), [("localhost:11434", "http://localhost:11434"), (" https://a/v1/ ", "https://a/v1")]
)
def test_a_whole_url_stands_as_it_is_meant(url: str, meant: str) -> None:
    assert checked_router_url(url) == meant


@pytest.mark.parametrize(
    "name", ["${CLAUDE_PROJECT_DIR}/.chomp", "$HOME/.chomp", "%APPDATA%\\chomp", "{{home}}/.chomp"]
)
def test_a_home_with_a_placeholder_that_nothing_filled_in_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidSetting, match="placeholder that nothing filled in") as caught:
        Settings.load({"CHOMP_HOME": name})
    assert name.partition("/")[0].partition("\\")[0] in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_proxies_and_certificates_may_stand_in_the_config_and_the_environment_wins(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('HTTPS_PROXY = "http://proxy:3128"\nSSL_CERT_FILE = "/corp.pem"\n')
    given = {"CHOMP_HOME": str(tmp_path), "https_proxy": "http://other:3128"}
    assert Settings.load(given).network == {"SSL_CERT_FILE": "/corp.pem"}


async def test_a_proxy_in_the_config_is_used_where_the_environment_names_none(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    async with ScriptedRouter() as proxy:
        home.mkdir()  # noqa: ASYNC240 - the test has nothing else to do
        row = '[routers.far]\nurl = "http://router.invalid/v1"\n'
        (home / "config.toml").write_text(f'HTTP_PROXY = "{proxy.base}"\n{row}')
        async with Chomp(Settings.load()) as chomp:
            answer = await chomp.ask("hi", model="far/m")
    assert answer.receipt["served"] == "far/m"
    assert {seen.target.partition("/v1")[0] for seen in proxy.requests} == {"http://router.invalid"}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can be another user")
def test_a_user_without_a_home_gets_one_line_that_names_the_setting() -> None:
    source = "import os; from chomp_mcp.settings import Settings; os.setuid(54321); Settings.load()"
    done = subprocess.run(
        [sys.executable, "-c", source], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False
    )
    assert "InvalidSetting: This user has no home folder. Set CHOMP_HOME" in done.stderr


@pytest.mark.parametrize(
    "text",
    [
        'agents = "x"',
        "[agents.cloud]\n",
        "[agents]\nclaude = 5",
        "[agents.claude]\nopus = 5 5",
        '[agents.claude]\nopus = "a b"',
    ],
)
def test_a_wrong_row_of_an_agent_is_named(home, text):
    home.mkdir()
    (home / "config.toml").write_text(text)
    with pytest.raises(InvalidSetting, match=r"agents|TOML"):
        Settings.load({"CHOMP_HOME": str(home)})


@pytest.mark.parametrize("name", ["OLLAMA_BASE_URL", "CHOMP_ROUTER_GROQ_URL"])
def test_a_wrong_address_is_told_without_its_password(tmp_path: Path, name: str) -> None:
    (tmp_path / "config.toml").write_text(f'{name} = "ftp://me:pass-word@box"\n')
    with pytest.raises(InvalidSetting, match=name) as caught:
        Settings.load({"CHOMP_HOME": str(tmp_path)})
    assert "pass-word" not in str(caught.value)


@pytest.mark.parametrize(
    ("config", "meant"),
    [
        ('LLM_PROVIDERR = "groq"', "Did you mean LLM_PROVIDER?"),
        ('llm_daily_budget = "1"', "Did you mean LLM_DAILY_BUDGET_USD?"),
        ('colour = "red"', "and rows under"),
        ('CHOMP_MASTER_KEY = "a-master-key"', "set it in the environment"),
        ('GROQ_API_KEY = "gsk_1"', "chomp-mcp keys add"),
    ],
)
def test_a_setting_that_is_misspelt_is_told_with_the_one_that_was_meant(
    tmp_path: Path, config: str, meant: str
) -> None:
    (tmp_path / "config.toml").write_text(config)
    with pytest.raises(InvalidSetting) as caught:
        Settings.load({"CHOMP_HOME": str(tmp_path)})
    assert meant in caught.value.hint
