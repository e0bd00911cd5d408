"""Certificates, against a real TLS server on loopback: nothing is read from a server that cannot prove its name."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from filtercrawl.api.errors import NetworkError
from filtercrawl.config import NetworkSettings
from filtercrawl.transport import hub, network
from filtercrawl.transport.hub import restored_hub_client
from support.http_server import Answer, Asked, FileServer


def certificate(folder: Path, address: str, *, days: int) -> Path:
    """Write a self-signed certificate for an address and its key; `days` from now it ends, or has ended."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "zoo")])
    now = dt.datetime.now(dt.UTC)
    built = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=10))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8
    secret = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    path = folder / "certificate.pem"
    path.write_bytes(built.public_bytes(serialization.Encoding.PEM) + secret)
    return path


@pytest.fixture
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[FileServer]:
    address, days = request.param
    running = FileServer()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(tmp_path, address, days=days))
    # The handshake happens in the thread of the connection, at its first read, so that a failed one ends nothing else.
    plain = running._server.socket
    running._server.socket = context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
    running.url = running.url.replace("http:", "https:")
    running._server.handle_error = lambda *_: None  # type: ignore[method-assign, assignment]  # refused handshakes
    with running:
        yield running


def late(asked: Asked) -> Answer:
    """Answer after several of the short waits that a read consists of."""
    time.sleep(0.6)
    return Answer(body=b"2")


RIGHT, OTHER, EXPIRED = ("127.0.0.1", 1), ("192.0.2.1", 1), ("127.0.0.1", -1)


@pytest.mark.parametrize("server", [RIGHT], indirect=True)
def test_a_self_signed_certificate_is_refused_at_once(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_TOKEN", "tok-3f9a")
    url = server.json("/a", 1)
    transport = network(NetworkSettings(auth={server.url: "LAB_TOKEN"}))
    with pytest.raises(NetworkError, match="CERTIFICATE_VERIFY_FAILED"):
        transport.get_json(url)
    assert transport.requests == 1
    with restored_hub_client():
        api = hub.api(transport, server.url)
        with pytest.raises(NetworkError, match="CERTIFICATE_VERIFY_FAILED"), hub.translate_hub_errors("it"):
            api.model_info("org/net")
    assert transport.requests == 2
    transport.close()
    assert server.log == []


@pytest.mark.parametrize(
    ("server", "problem"),
    [(RIGHT, None), (OTHER, "IP address mismatch"), (EXPIRED, "certificate has expired")],
    indirect=["server"],
)
def test_a_trusted_authority_is_not_enough(
    server: FileServer, problem: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
    url = server.json("/a", 1)
    transport = network()
    if problem is None:
        assert transport.get_json(url) == 1
        assert transport.get_json(server.on("/late", late)) == 2
    else:
        with pytest.raises(NetworkError, match=problem):
            transport.get_json(url)
        assert server.log == []
    transport.close()
