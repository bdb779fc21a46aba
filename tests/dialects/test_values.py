from __future__ import annotations

from collections import UserDict
from types import MappingProxyType

import pytest

from chomp_mcp.dialects.values import as_index, as_list, as_mapping, as_text

OF_OTHER_SHAPES = [None, True, 0, 1.5, "text", ["entry"], {"name": "value"}]


@pytest.mark.parametrize(
    ("read", "empty", "own"), [(as_mapping, {}, dict), (as_list, [], list), (as_text, "", str), (as_index, 0, int)]
)
def test_what_has_the_shape_is_given_back_itself_and_all_else_is_empty(read, empty, own):
    for value in OF_OTHER_SHAPES:
        if isinstance(value, own):
            assert read(value) is value
        else:
            assert read(value) == empty


@pytest.mark.parametrize("kind", [UserDict, MappingProxyType])
def test_an_object_may_be_any_mapping(kind):
    value = kind({"name": "value"})

    assert as_mapping(value) is value


def test_the_empty_ones_are_nobody_elses():
    first = as_list(None)
    first.append("entry")

    assert as_list(None) == []
