"""Keys as people write them: what is taken off, what counts as none, what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chomp_mcp.policy.key_shape import cleaned, cleaned_keys, is_placeholder, why_no_key

KEY = "gsk_4dF0xAbCdEfGhIjKlMnOpQrStUvWxYz0123456789"


@pytest.mark.parametrize(
    "written",
    [
        KEY,
        f'"{KEY}"',
        f"'{KEY}'",
        f"“{KEY}”",
        f" {KEY}\r\n",
        f"\ufeff{KEY}",
        f"GROQ_API_KEY={KEY}",
        f'GROQ_API_KEY="{KEY}"',
        f"export GROQ_API_KEY='{KEY}'",
        f"set GROQ_API_KEY={KEY}",
        f'$env:GROQ_API_KEY = "{KEY}"',
        f'"GROQ_API_KEY": "{KEY}",',
        f"api_key: {KEY}",
        f"Bearer {KEY}",
        f"Authorization: Bearer {KEY}",
    ],
)
def test_what_stands_around_a_key_is_taken_off(written):
    assert cleaned(written) == KEY


@pytest.mark.parametrize(
    "written",
    [
        "",
        "  ",
        '""',
        "${GROQ_API_KEY}",
        '"${GROQ_API_KEY}"',
        "${user_config.groq_api_key}",
        "${env:GROQ_API_KEY}",
        "${input:groq}",
        "$GROQ_API_KEY",
        "%GROQ_API_KEY%",
        "{{GROQ_API_KEY}}",
        "{env:GROQ_API_KEY}",
        "<your-key>",
        "<your groq key here>",
        "[YOUR KEY]",
        "undefined",
        "null",
        "None",
        "YOUR_API_KEY",
        "YOUR-API-KEY",
        "your-api-key-here",
        "gsk_your_key_here",
        "sk-or-v1-your-key",
        "GROQ_API_KEY",
        "GROQ_API_KEY=<key>",
        "gsk_xxxxxxxxxxxx",
        "sk-or-v1-XXXX",
        "sk-...",
        "sk-…",
        "***",
        "changeme",
        "insert-key-here",
        "REPLACE_ME",
    ],
)
def test_a_placeholder_is_no_key(written):
    assert cleaned(written) == ""
    assert cleaned_keys(written) == ()


@pytest.mark.parametrize(
    "key",
    [
        KEY,
        "sk-or-v1-0f3c8a1d",
        "csk-abcdefgh",
        "fw_3ZxYourOwn",
        "sk-ant-api03-Ab_-CdxxxEf",
        "0b0c6a5e-3ad1-4b3c-9a0f-6c1e5c9d1f3b",
        "AIzaSyD-keyed_here0",
        "sk-proj-T3BlbkFJ_KEY9",
        "abc==",
    ],
)
def test_a_key_stays_as_it_is(key):
    assert cleaned(key) == key
    assert not is_placeholder(key)


def test_several_keys_keep_their_order_and_lose_what_is_around_each():
    assert cleaned_keys("\"gsk_a1\", 'gsk_b2',gsk_a1,, ${MORE} ") == ("gsk_a1", "gsk_b2")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "placeholder"),
        ("x", "only 1 character"),
        ("https://console.groq.com/keys", "address"),
        ("gsk_…4f2a", "masked"),
        ("gsk_...4f2a", "masked"),
        ("gsk_ab cd1234", "blanks"),
        ("gsk_schlüssel", "characters"),
    ],
)
def test_what_can_be_no_key_is_told_with_its_reason(text, says):
    assert says in why_no_key(text)


def test_what_may_be_a_key_is_let_through():
    assert why_no_key(KEY) is None


@given(st.text(max_size=60))
def test_cleaning_ends_and_is_done_once(text):
    assert cleaned(cleaned(text)) == cleaned(text)
