"""Errors as people and clients read them."""

from __future__ import annotations

import pytest

from chomp_mcp.errors import InvalidRequest, UpstreamRefused


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("bad param", "bad param. Change it."),
        ("bad param.", "bad param. Change it."),
        ("bad param!\n", "bad param! Change it."),
        ("bad param (see 'x.')", "bad param (see 'x.') Change it."),
        ("bad param (x)", "bad param (x). Change it."),
        ("参数错误。", "参数错误。 Change it."),
        ("", "Change it."),
    ],
)
def test_the_hint_is_a_sentence_of_its_own(message, told):
    assert str(InvalidRequest(message, hint="Change it.")) == told


def test_a_message_without_a_hint_stays_as_it_is():
    assert str(InvalidRequest("bad param")) == "bad param"


@pytest.mark.parametrize(("code", "told"), [(429, "429"), ("x", "x"), (None, None), ([1], "[1]")])
def test_the_envelope_of_a_routers_refusal_holds_text_or_null(code, told):
    body = {"code": code, "type": 7, "param": None, "metadata": {"a": 1}}
    error = UpstreamRefused("no", status=429, body=body).envelope()["error"]
    assert error == {"code": told, "type": "7", "param": None, "message": "no", "metadata": {"a": 1}}
