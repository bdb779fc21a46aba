"""A stored value is a JSON object, and what is none is named."""

from __future__ import annotations

import pytest

from chomp_mcp.errors import StoreError
from chomp_mcp.store.kv.codec import decode, encode


@pytest.mark.parametrize("value", [{}, {"a": [1, None, "é\U0001f44b", {"b": 0.5}]}, {"long": "x" * 1000}])
def test_what_is_written_is_read(value):
    assert decode(encode(value), "a file", "k") == value


@pytest.mark.parametrize("data", [b"", b"[1]", b"null", b"{]", b"\xff", b"[" + b"1," * 500 + b"1]"])
def test_something_else_is_named_with_its_place(data):
    with pytest.raises(StoreError, match=r"'k' in a file is not a JSON object\. Another program"):
        decode(data, "a file", "k")
