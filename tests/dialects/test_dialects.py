"""A dialect is found by its name."""

from __future__ import annotations

import inspect
import re

import pytest

from chomp_mcp import dialects
from chomp_mcp.dialects import DIALECTS, dialect
from chomp_mcp.dialects.openai import request as openai


def test_every_dialect_is_loaded_by_its_name():
    assert dialect("openai") is DIALECTS["openai"] is openai
    assert "telepathy" not in DIALECTS
    with pytest.raises(KeyError):
        dialect("telepathy")


def test_the_type_checker_sees_every_module_that_is_loaded_by_its_name():
    imported = re.findall(r"from chomp_mcp\.dialects(\S*) import (\w+) as", inspect.getsource(dialects))
    seen = {f"{package}.{module}".removeprefix(".") for package, module in imported}
    loaded = {*dialects._MODULES.values(), *dialects.NATIVE.values(), *dialects._ENDPOINTS.values()}
    assert loaded == seen, "each stands in _CHECKED or _CHECKED_SPEECH too, at the end of dialects/__init__.py"
