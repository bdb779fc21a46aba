"""A client on either of the event loops that may run it, a scripted router, and TLS for one."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl

import pytest

from chomp_mcp.routers.client import Client
from tests.support.scripted import ScriptedRouter

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request):
    """stdio and Python run on the first, `serve` on the second where there is one."""
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


@pytest.fixture
async def upstream():
    async with ScriptedRouter() as router:
        yield router


@pytest.fixture
async def client():
    client = Client(upstream_timeout=5)
    yield client
    await client.close()


@pytest.fixture
def no_proxies(monkeypatch):
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def self_signed(tmp_path) -> ssl.SSLContext:
    """Of 127.0.0.1 and router.invalid; the certificate is in `cert.pem` of `tmp_path`."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    names = x509.SubjectAlternativeName(
        [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("router.invalid")]
    )
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    (tmp_path / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    return context
