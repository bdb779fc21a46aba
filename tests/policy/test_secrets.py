"""One list of what keys look like, and one mask for what we send, in every spelling."""

from __future__ import annotations

import html
import json
from base64 import b64encode, urlsafe_b64encode
from time import process_time
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chomp_mcp.messages import Router
from chomp_mcp.policy.secrets import masked, sent_secrets, without, without_password

KEYS = [
    "sk-proj-abcDEF0123456789",
    "sk-or-v1-0123456789abcdef0123456789abcdef",
    "sk-ant-api03-abc_DEF-0123456789",
    "gsk_abcDEF0123456789",
    "csk-abcdef0123456789",
    "fw_abcdef0123456789",
    "xai-abcDEF0123456789abcDEF0123456789",
    "nvapi-abcDEF0123456789-_abcDEF",
    "hf_abcDEFghiJKLmnoPQR",
    "pplx-0123456789abcdef0123456789abcdef",
    "ghp_abcDEF0123456789abcDEF0123456789abcd",
    "github_pat_11ABCDEFG0abcdefghij_klmnop",
    "AIzaSyA0123456789abcdefghijk",
    "AQ.Ab8RN6JabcDEF0123456789-_xyz",
    "AKIAIOSFODNN7EXAMPLE",
    "0f8fad5b-d9cb-469f-a165-70867728950e",
    "abcdef0123456789abcdef0123456789abcdef",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
    "chomp_" + "ab" * 32,
]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    "words", ["{}", "unknown model 'groq/{}'", '{{"key": "{}"}}', "Bearer {}", "two\\n{} lines", "?key={}&x=1"]
)
def test_a_key_of_a_known_shape_does_not_stand_readable(key: str, words: str) -> None:
    shown = masked(words.format(key))
    assert key not in shown
    assert key[-8:] not in shown


@pytest.mark.parametrize(
    "name",
    [
        "qwen3-coder-480b-a35b-instruct-2507",
        "accounts/fireworks/models/glm-5p3-flash",
        "openrouter/meta-llama/llama-3.3-70b:free",
        "pplx-70b-online",
        "xai/grok-4-fast-reasoning",
        "hf.co/unsloth/gemma-3-27b-it-GGUF:Q4_K_M",
        "claude-opus-4-5-20251101",
        "job_19a7c1b2d3e0123456789",
    ],
)
def test_names_of_models_and_jobs_stay(name: str) -> None:
    assert masked(f"no luck with {name}, try again") == f"no luck with {name}, try again"


SPELLINGS = {
    "as it is": str,
    "upper case": str.upper,
    "lower case": str.lower,
    "in a URL": lambda key: quote(key, safe=""),
    "in a URL, small letters": lambda key: quote(key, safe="").lower(),
    "in a query": quote_plus,
    "in a URL in a URL": lambda key: quote(quote(key, safe=""), safe=""),
    "all percent": lambda key: "".join(f"%{byte:02X}" for byte in key.encode()),
    "in HTML": html.escape,
    "in HTML in HTML": lambda key: html.escape(html.escape(key)),
    "in HTML by number": lambda key: "".join(c if c.isalnum() else f"&#{ord(c)};" for c in key),
    "in JSON": lambda key: json.dumps(key)[1:-1],
    "in HTML, all by number": lambda key: "".join(f"&#{ord(c)};" for c in key),
    "in HTML, all by another number": lambda key: "".join(f"&#x{ord(c):02X};" for c in key),
    "in JSON, all by number": lambda key: "".join(f"\\u{ord(c):04x}" for c in key),
    "in JSON in JSON": lambda key: json.dumps(json.dumps(key))[3:-3],
    "in Python": lambda key: "".join(f"\\x{ord(c):02x}" for c in key),
    "in a mail": lambda key: "".join(f"={byte:02X}" for byte in key.encode()),
    "in base64": lambda key: b64encode(key.encode()).decode(),
    "in base64 for URLs": lambda key: urlsafe_b64encode(key.encode()).decode().rstrip("="),
    "in JSON by number": lambda key: "".join(c if c.isalnum() else f"\\u{ord(c):04x}" for c in key),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("key", ["hunter2-lab/x+y=z", "a b&c<d>\"e'f", "Pässwort-123", "plainwordkey"])
def test_what_we_sent_is_hidden_in_every_spelling(spelling: str, key: str) -> None:
    said = f"no such token: {SPELLINGS[spelling](key)}, sorry"
    assert without(said, [key]) == "no such token: …, sorry"


@pytest.mark.parametrize("user", ["", "m", "me", "you"])
@pytest.mark.parametrize("password", ["hunter2-l", "hunter2-la", "hunter2-lab", "Pässwort-123"])
def test_a_password_is_hidden_in_what_basic_makes_of_it(user: str, password: str) -> None:
    packed = b64encode(f"{user}:{password}".encode()).decode()
    told = without(f"who is {packed}?", [password])
    assert packed not in told
    assert told[7 : told.index("…")] in b64encode(f"{user}:".encode()).decode(), "no digit of the password is left"
    assert told.endswith("…?")


def test_it_is_hidden_in_the_names_and_depths_of_json_too() -> None:
    body = {"message": "unknown token hunter2-lab", "seen": ["Bearer hunter2-lab", {"hunter2-lab": 1}], "code": None}
    assert without(body, ["hunter2-lab"]) == {
        "message": "unknown token …",
        "seen": ["Bearer …", {"…": 1}],
        "code": None,
    }


def test_a_short_secret_hides_only_where_it_stands_alone() -> None:
    assert without("the key 'key' of monkeys", ["key"]) == "the … '…' of monkeys"
    assert without("nothing to hide", []) == "nothing to hide"


def test_a_text_that_was_cut_in_the_middle_of_the_secret_shows_none_of_it() -> None:
    assert without("wrong: hunter2-lab-012345"[:-2], ["hunter2-lab-012345"]) == "wrong: …"


def test_all_of_a_call_that_nobody_may_read_back_is_known() -> None:
    lab = Router(
        id="lab",
        name="Lab",
        url="http://me:p%40ss@lab/v1",
        headers={"X-Auth": "Token abcdefgh-1", "HTTP-Referer": "https://example.org/app", "X-Team": "a"},
    )
    assert sent_secrets(lab, "the-key") == ("the-key", "p@ss", "abcdefgh-1")
    assert sent_secrets(Router(id="o", name="O", url="http://localhost"), "") == ()


def test_an_address_is_shown_without_its_password() -> None:
    assert without_password("http://me:secret@lab:1/v1") == "http://…@lab:1/v1"
    assert without_password("http://lab:1/v1") == "http://lab:1/v1"


@given(st.text(), st.text(min_size=1, max_size=40))
def test_no_text_makes_the_mask_raise(text: str, secret: str) -> None:
    hidden = without(f"{text} {secret} {text}", [secret])
    assert secret not in hidden or secret in without(f"{text} … {text}", [])
    assert isinstance(masked(text), str)


@pytest.mark.parametrize(
    "part", ["\\", "-eyJ", "sk-", "bearer ", "api key ", "%25", "&amp;", "&#0", "\\u0", "?key=", "a1"]
)
def test_a_text_that_may_hold_a_key_everywhere_is_read_in_a_moment(part):
    """A router decides what its error says, in up to 256 KiB."""
    began, text = process_time(), part * (100_000 // len(part))
    assert masked(f"{text} {KEYS[0]}").count(KEYS[0]) == 0
    assert without(f"{text} hunter2-lab", ["hunter2-lab", "-key-of-ours"]) == f"{text} …"
    assert process_time() - began < 2


def test_a_token_is_hidden_behind_what_only_begins_like_one():
    jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc"
    assert masked(f"eyJab eyJ-eyJ-eyJ {jwt}, -eyJ{jwt}") == "eyJab eyJ-eyJ-eyJ eyJ…, -eyJ…"
