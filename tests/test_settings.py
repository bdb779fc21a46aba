"""Settings that cannot be meant are refused with words, wherever they stand."""

from __future__ import annotations

from pathlib import Path

import pytest

from chomp_mcp.errors import InvalidSetting
from chomp_mcp.settings import Settings, checked_url


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


@pytest.mark.parametrize("name", ["LLM_DEFAULT_MODEL", "LLM_FALLBACKS"])
@pytest.mark.parametrize("ref", ["groq/\udcff", "groq/a\0b"])
def test_a_ref_with_what_no_name_has_is_refused(tmp_path: Path, name: str, ref: str) -> None:
    with pytest.raises(InvalidSetting, match=f"{name} in the environment") as caught:
        Settings.load({"CHOMP_HOME": str(tmp_path), name: ref})
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "url",
    ["", "http://", "https://", "http:///v1", "http://:80", "http://a:0", "ftp://a", "http://a\0b", "http://\udcff"],
)
def test_half_a_url_is_none(url: str) -> None:
    with pytest.raises(ValueError, match=r"not an http|Port"):
        checked_url(url)


@pytest.mark.parametrize(
    ("url", "meant"), [("localhost:11434", "http://localhost:11434"), (" https://a/v1/ ", "https://a/v1")]
)
def test_a_whole_url_stands_as_it_is_meant(url: str, meant: str) -> None:
    assert checked_url(url) == meant
