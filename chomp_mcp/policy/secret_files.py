"""What a file that holds a secret is called, and what stands in it: such files are sent only when named one by one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

__all__ = ["secret_content", "secret_name"]

_VERSION_CONTROL = frozenset({".git", ".hg", ".svn", ".bzr", ".jj", "cvs"})
_CREDENTIAL_FOLDERS = frozenset(
    {".ssh", ".gnupg", ".aws", ".azure", ".kube", ".docker", ".gcloud", "gcloud", ".password-store"}
)
_HARMLESS = (".env.example", ".env.sample", ".env.template", ".env.dist", "*.pub")
_NAMES = (
    ".env", ".env.*", "*.env", ".envrc",
    "*.pem", "*.key", "*.p8", "*.p12", "*.pfx", "*.pkcs12", "*.jks", "*.keystore", "*.kdbx", "*.ppk", "*.asc", "*.gpg",
    "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*",
    ".netrc", "_netrc", ".npmrc", ".pypirc", ".pgpass", ".htpasswd", ".git-credentials", ".dockercfg", ".vault-token",
    ".my.cnf", ".s3cfg", ".boto", "kubeconfig", "master.key", "shadow",
    "credentials", "credentials.*", "*credentials*.json", "secret", "secrets", "secret.*", "secrets.*",
    "service-account*.json", "service_account*.json", "client_secret*.json", "*.tfstate", "*.tfstate.backup",
)  # fmt: skip
_CONTENT = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----"
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"
    r"|\bgh[opusr]_[A-Za-z0-9]{36,}|\bgithub_pat_\w{40,}|\bglpat-[\w-]{20,}"
    r"|\bxox[abposr]-[\w-]{10,}|\bAIza[\w-]{35}\b|\bya29\.[\w-]{20,}|\bnpm_[A-Za-z0-9]{36}\b|\bhf_[A-Za-z0-9]{30,}"
    r"|\b(?:sk|rk)[-_](?:[A-Za-z0-9]+[-_])*[A-Za-z0-9_-]{20,}|\b(?:gsk|csk|fw)[-_][A-Za-z0-9]{20,}|\bchomp_[0-9a-f]{64}\b"
)


def secret_name(parts: Sequence[str]) -> str:
    """Why a file at this path is taken for a secret; empty where it is not. `parts` are its folders and its name."""
    *folders, name = [part.lower() for part in parts]
    for folder in folders:
        if folder in _VERSION_CONTROL:
            return "it belongs to version control"
        if folder in _CREDENTIAL_FOLDERS:
            return "its folder holds credentials"
    if any(fnmatchcase(name, harmless) for harmless in _HARMLESS):
        return ""
    return "files of its name hold secrets" if any(fnmatchcase(name, pattern) for pattern in _NAMES) else ""


def secret_content(text: str) -> str:
    """What in the text looks like a key or a token; empty where nothing does. The secret itself is not repeated."""
    return "it holds what looks like a key" if _CONTENT.search(text) else ""
