from __future__ import annotations

import json
import string
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chomp_mcp.messages import Route
from chomp_mcp.policy.outward import OWN, RULES, Scanner, is_local, redacted, told
from chomp_mcp.routers import catalog
from chomp_mcp.settings import Settings

ROUTERS = catalog.load(Settings(Path("home")))
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA\n-----END RSA PRIVATE KEY-----"
SECRETS = {
    PEM: "a private key",
    "-----BEGIN OPENSSH PRIVATE KEY-----": "a private key",
    "AKIAIOSFODNN7EXAMPLE": "an AWS access key",
    "ghp_" + "a1" * 18: "a GitHub token",
    "github_pat_" + "b2" * 25: "a GitHub token",
    "glpat-" + "c3" * 10: "a GitLab token",
    "xoxb-123456789012-abcdefghij": "a Slack token",
    "AIza" + "d" * 35: "a Google key",
    "npm_" + "e" * 36: "an npm token",
    "hf_" + "f" * 34: "a Hugging Face token",
    "sk_live_" + "4" * 24: "a Stripe key",
    "sk-ant-api03-" + "g5" * 20: "a model router's key",
    "gsk_" + "h6" * 26: "a model router's key",
    "chomp_" + "0a" * 32: "a token of this gateway",
    "eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.SflKxwRJSMeKKF2QT4": "a JSON Web Token",
    "postgres://app:hunter2@db.example/x": "a password in an address",
    "DB_PASSWORD=hunter22": "a line of an .env file",
    'export API_TOKEN="abcdef123456"': "a line of an .env file",
    "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY": "a line of an .env file",
}
INNOCENT = (
    "The task-based risk-averse desk-side approach of scikit-learn 1.5 and risk-free-rate-2024-estimates",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    "-----BEGIN PUBLIC KEY-----",
    'API_KEY=os.environ["API_KEY"]',
    "API_KEY=<your-key>",
    "GROQ_API_KEY=${GROQ_API_KEY}",
    "OPENAI_API_KEY=…",
    "postgres://postgres:postgres@localhost/test",
    "redis://127.0.0.1:6379/0",
    "commit 0a1b2c3d4e5f60718293a4b5c6d7e8f901234567, id 123e4567-e89b-12d3-a456-426614174000",
    "eyJhbGciOiJIUzI1NiJ9 alone",
    "data:image/png;base64," + "iVBORw0KGgoAAAANSUhEUg" * 50,
)
SCANNER = Scanner()


def body(text: str) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": text}]}).encode()


@pytest.mark.parametrize(("secret", "rule"), SECRETS.items(), ids=list(SECRETS.values()))
@pytest.mark.parametrize(
    "around", ["{}", "see:\n{}\nthanks", "'{}'", "x={} y"], ids=["alone", "line", "quoted", "value"]
)
def test_secrets_are_found_where_people_put_them(secret: str, rule: str, around: str) -> None:
    data = body(around.format(secret))
    found = SCANNER.scan(data)
    assert [finding.rule for finding in found] == [rule]
    assert rule in told(found)
    clean = json.loads(redacted(data, found))["messages"][0]["content"]
    assert f"[redacted: {rule}]" in clean
    assert secret[-8:] not in clean or rule == "a password in an address"


@pytest.mark.parametrize("text", INNOCENT)
def test_what_only_resembles_a_secret_passes(text: str) -> None:
    assert SCANNER.scan(body(text)) == ()


def test_every_rule_has_beginnings_and_an_example() -> None:
    assert all(rule.begins for rule in RULES)
    assert {rule.name for rule in RULES} == set(SECRETS.values()) | {"a PyPI token"}


def test_our_own_keys_come_first_also_inside_of_what_is_found_already() -> None:
    key = "gsk_abcdefghijklmnop4f2a"
    found = Scanner([key, "short"]).scan(body(f"GROQ_API_KEY={key} and a short word"))
    assert [finding.rule for finding in found] == ["a line of an .env file", OWN]
    assert key not in told(found)


def test_an_allowed_hash_passes_and_no_other() -> None:
    one, other = "ghp_" + "a1" * 18, "ghp_" + "b2" * 18
    digest = sha256(one.encode()).hexdigest()
    assert f"sha256:{digest[:12]}" in told(SCANNER.scan(body(one)))
    allowing = Scanner(allowed=[f"sha256:{digest[:12]}"])
    assert len(allowing.scan(body(f"{one} {other}"))) == 1


def test_local_is_what_its_row_says_as_long_as_it_is_on_this_machine() -> None:
    ollama, groq, mock = (ROUTERS[name] for name in ("ollama", "groq", "mock"))
    assert is_local(Route(ollama, "llama3"))
    assert is_local(Route(mock, "echo"))
    assert not is_local(Route(ollama, "gpt-oss:120b-cloud"))
    assert not is_local(Route(replace(ollama, url="http://gpu.example:11434"), "llama3"))
    assert not is_local(Route(replace(groq, url="http://127.0.0.1:4000"), "m")), "a proxy passes it on"


@given(st.text(alphabet=string.printable, max_size=300), st.sampled_from(list(SECRETS)))
def test_any_text_can_be_scanned_and_redacted(text: str, secret: str) -> None:
    data = body(f"{text} {secret} {text}")
    assert json.loads(redacted(data, SCANNER.scan(data)))


BEGINNINGS = sorted({begin.decode() for rule in RULES for begin in rule.begins} | {PEM[:31], "sk-a-", "-eyJ", "aKEY="})


@pytest.mark.parametrize("begin", BEGINNINGS)
@pytest.mark.parametrize("end", ["", "é", "(", '"'], ids=["end", "letter", "bracket", "quote"])
def test_a_prompt_of_nothing_but_beginnings_is_read_in_a_moment(begin: str, end: str) -> None:
    """Hundredths of a second of CPU; minutes, where what begins anew is read to its end each time."""
    began = process_time()
    SCANNER.scan((begin * (100_000 // len(begin)) + end).encode())
    assert process_time() - began < 2


def test_what_begins_behind_something_that_is_no_secret_is_found() -> None:
    router_key, token = "sk-ant-api03-" + "g5" * 20, "eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.SflKxwRJSMeKKF2QT4"
    lines = [f"ask-{router_key}", f"-eyJ-{token}", 'KEY=aKEY="hunter22"', "KEY=word(KEY=hunter22 "]
    for line in lines:
        assert SCANNER.scan(line.encode()), line
    header = PEM[:31]
    two = f"{header} is how {PEM} begins"
    assert [two[found.start : found.end] for found in SCANNER.scan(two.encode())] == [two.removesuffix(" begins")]
