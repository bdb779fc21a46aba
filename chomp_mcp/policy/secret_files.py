"""What a file that holds a secret is called: such files are sent only when named one by one."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

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
