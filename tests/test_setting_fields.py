"""What each setting must be."""

from __future__ import annotations

from pathlib import Path

import pytest

from chomp_mcp.errors import InvalidSetting
from chomp_mcp.settings import Settings

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("name", ["LLM_DEFAULT_MODEL", "LLM_FALLBACKS"])
@pytest.mark.parametrize("ref", ["groq/\udcff", "groq/a\0b"])
def test_a_ref_with_what_no_name_has_is_refused(tmp_path: Path, name: str, ref: str) -> None:
    with pytest.raises(InvalidSetting, match=f"{name} in the environment") as caught:
        Settings.load({"CHOMP_HOME": str(tmp_path), name: ref})
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("text", ["${user_config.token_of_sixteen}", "%GATEWAY_TOKEN%", "{{ token }}"])
def test_a_setting_that_is_a_placeholder_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidSetting, match="GATEWAY_AUTH_TOKEN in the environment") as caught:
        Settings.load({"CHOMP_HOME": str(tmp_path), "GATEWAY_AUTH_TOKEN": text})
    assert text not in str(caught.value)
