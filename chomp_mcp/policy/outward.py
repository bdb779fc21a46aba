"""What must not leave this machine unseen: our own router keys, and what keys, tokens and `.env` lines look like.

One pass over the bytes that go out finds where something may begin (Aho-Corasick, all texts at once); only there the
rule's own pattern is asked. A finding is told by its rule and by the start of its SHA-256, and never by itself.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from hashlib import sha256
from urllib.parse import urlsplit

from ahocorasick_rs import BytesAhoCorasick, MatchKind

from chomp_mcp.messages import Route

OWN = "one of your own router keys"
SHORTEST_OWN = 12
"""A shorter key may be a word of any prompt."""
SHOWN_HEX = 12
_START = rb"(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))"
"""In JSON a line break is two characters, of which the second is a letter."""
_IN_VALUE = rb"[A-Za-z0-9+/_.=~!@#%^&*-]"
_VALUE = rb"(?:\\?[\"'])?(?=[^\s\"'\\]{16}|[^\s\"'\\]*\d)" + _IN_VALUE + rb"{6,}+(?=[\s\"'\\;,]|$)"


@dataclass(frozen=True, slots=True)
class Rule:
    """`begins`: texts that stand in every such secret; `pattern` is matched where one of them stands."""

    name: str
    begins: tuple[bytes, ...]
    pattern: bytes
    run: bytes = b""
    """Of secrets that may hold their own beginning: where the pattern fails, it fails in the rest of this run, too.

    Without it, a prompt of nothing but beginnings takes a time that grows with the square of its length.
    """


RULES: tuple[Rule, ...] = (
    # RFC 7468; OpenSSH PROTOCOL.key; RFC 9580.
    Rule("a private key", (b"-----BEGIN ",), rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"),
    Rule("an AWS access key", (b"AKIA", b"ASIA"), rb"(?:AKIA|ASIA)[0-9A-Z]{16}(?![0-9A-Za-z])"),  # IAM identifiers
    # GitHub: about authentication, token formats.
    Rule("a GitHub token", (b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_"), rb"gh[opusr]_[A-Za-z0-9]{36,}"),
    Rule("a GitHub token", (b"github_pat_",), rb"github_pat_\w{40,}"),
    Rule("a GitLab token", (b"glpat-",), rb"glpat-[\w-]{20,}"),  # GitLab: token overview
    Rule("a Slack token", (b"xox",), rb"xox[abeoprs]-[\w-]{10,}"),  # Slack: token types
    # Google Cloud: API keys, OAuth.
    Rule("a Google key", (b"AIza", b"ya29."), rb"(?:AIza[\w-]{35}|ya29\.[\w-]{20,})"),
    Rule("an npm token", (b"npm_",), rb"npm_[A-Za-z0-9]{36}"),  # npm: about access tokens
    Rule("a PyPI token", (b"pypi-AgE",), rb"pypi-AgE[\w-]{50,}"),  # PyPI: API tokens
    Rule("a Hugging Face token", (b"hf_",), rb"hf_[A-Za-z0-9]{30,}"),  # Hugging Face: user access tokens
    Rule("a Stripe key", (b"sk_", b"rk_"), rb"[rs]k_(?:live|test)_[A-Za-z0-9]{16,}"),  # Stripe: API keys
    # The routers' own key pages.
    Rule("a model router's key", (b"sk-",), rb"sk-(?=[\w-]*\d)[\w-]{20,}", run=rb"[\w-]*+"),
    Rule("a model router's key", (b"gsk_", b"csk-", b"fw_"), rb"(?:gsk_|csk-|fw_)[A-Za-z0-9]{20,}"),
    Rule("a model router's key", (b"xai-", b"pplx-"), rb"(?:xai|pplx)-[A-Za-z0-9]{40,}"),
    Rule("a model router's key", (b"nvapi-", b"r8_"), rb"(?:nvapi-[\w-]{40,}|r8_[A-Za-z0-9]{30,})"),
    Rule("a token of this gateway", (b"chomp_",), rb"chomp_[0-9a-f]{64}"),  # POST /api/keys
    Rule("a JSON Web Token", (b"eyJ",), rb"eyJ[\w-]{10,}+\.eyJ[\w-]{10,}+\.[\w-]{10,}", run=rb"[\w-]*+"),  # RFC 7519
    # RFC 3986, section 3.2.1.
    Rule(
        "a password in an address",
        (b"postgres", b"mysql", b"mongodb", b"redis", b"amqp"),
        rb"(?:postgres(?:ql)?|mysql|mongodb|redis|amqp)[a-z+]{0,8}://[^\s/:@\"\\]*:[^\s/@\"\\]{3,}@"
        rb"(?!localhost|127\.|\[::1\])",
    ),
    Rule(
        "a line of an .env file",
        (b"KEY=", b"TOKEN=", b"SECRET=", b"PASSWORD=", b"PASSWD="),
        rb"(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD)=" + _VALUE,
        run=_IN_VALUE + rb"*+",
    ),
)
"""What secrets look like; each pattern begins where its `begins` stands, and is as strict as its source allows."""

_PEM, _ENV = RULES[0].name, RULES[-1].name
_LONGEST_PEM = 20_000
"""Bytes between the two lines of a private key."""
_ENDS = re.compile(rb"\"|-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
"""What ends the text in which a private key begins, or the key itself."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A secret, by where it stands."""

    rule: str
    start: int
    end: int
    digest: str
    """SHA-256 of its bytes, in hex."""


class Scanner:
    """Looks for the rules' secrets and for these very keys, but for those that `allowed` knows by their hash."""

    def __init__(self, own: Iterable[str] = (), allowed: Iterable[str] = ()) -> None:
        keys = sorted({key.encode() for key in own if len(key) >= SHORTEST_OWN}, key=len, reverse=True)
        self._allowed = tuple(digest.removeprefix("sha256:").rstrip("…").lower() for digest in allowed)
        self._patterns: list[re.Pattern[bytes]] = [re.compile(re.escape(key)) for key in keys]
        self._names = [OWN] * len(keys)
        self._runs: list[re.Pattern[bytes] | None] = [None] * len(keys)
        begins = list(keys)
        for rule in RULES:
            start = b"" if rule.name == _ENV else _START
            pattern = re.compile(start + rule.pattern)
            run = re.compile(start + rule.run) if rule.run else None
            for text in rule.begins:
                begins.append(text)
                self._patterns.append(pattern)
                self._names.append(rule.name)
                self._runs.append(run)
        # Leftmost-first is what lets it skip ahead (SIMD); the keys stand first, so that they win where both begin.
        self._finder = BytesAhoCorasick(begins, matchkind=MatchKind.LeftmostFirst)

    def scan(self, data: bytes) -> tuple[Finding, ...]:
        """All of them, in order; none stands inside another but a key of ours."""
        found_all: list[Finding] = []
        done, barren = 0, [0] * len(self._patterns)
        ends = _ENDS.finditer(data)
        end_of_key: re.Match[bytes] | None = None
        for which, start, begun in self._finder.find_matches_as_indexes(data):
            name = self._names[which]
            # A key of ours counts also where it stands in a line that was found already.
            if (start < done and name != OWN) or start < barren[which]:
                continue
            found = self._patterns[which].match(data, start)
            if found is None:
                if (run := self._runs[which]) and (rest := run.match(data, start)):
                    barren[which] = rest.end() - (begun - start)  # its last beginning may begin another run
                continue
            end = found.end()
            if name == _PEM:  # all look on from where the last one stopped: a text may hold nothing but beginnings
                if end_of_key is None or end_of_key.start() < end:
                    end_of_key = next((each for each in ends if each.start() >= end), None)
                if end_of_key and end_of_key[0] != b'"' and end_of_key.start() - end <= _LONGEST_PEM:
                    end = end_of_key.end()
            done = max(done, end)
            digest = sha256(data[start:end]).hexdigest()
            if not any(digest.startswith(prefix) for prefix in self._allowed):
                found_all.append(Finding(name, start, end, digest))
        return tuple(found_all)


def redacted(data: bytes, findings: Sequence[Finding]) -> bytes:
    """The bytes with a word in place of each finding; JSON stays JSON."""
    parts, last = [], 0
    for finding in findings:
        parts += [data[last : finding.start], f"[redacted: {finding.rule}]".encode()]
        last = finding.end
    return b"".join([*parts, data[last:]])


def told(findings: Iterable[Finding]) -> str:
    """`an AWS access key (sha256:0a1b2c3d4e5f)`, each once; the hash may stand in `secrets_allow`."""
    return ", ".join(dict.fromkeys(f"{each.rule} (sha256:{each.digest[:SHOWN_HEX]})" for each in findings))


def is_local(route: Route) -> bool:
    """What is sent there stays on this machine: its row says so, it is here, and its model is none of a cloud's."""
    router = route.router
    if not router.local or any(fnmatchcase(route.model, pattern) for pattern in router.local_except):
        return False
    parts = urlsplit(router.url)
    if parts.scheme == "mock" or parts.hostname == "localhost":
        return True
    try:
        return ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False
