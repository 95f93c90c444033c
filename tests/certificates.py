"""Certificates for tests, made once per run."""

from __future__ import annotations

import datetime as dt
import os
import socket
import ssl
from functools import cache
from pathlib import Path

import trio
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from caas_trio.core.tlsengine import TlsEngine
from caas_trio.drivers.hubchannel import HubChannel
from caas_trio.drivers.tlssocket import TlsSocket
from caas_trio.drivers.tlsstream import TlsStream

HOST = "localhost"


@cache
def authority() -> trustme.CA:
    return trustme.CA()


@cache
def unreadable_client() -> ssl.SSLContext:
    """Return the context of a client whose certificate has a name that is not UTF-8; validly issued."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.load_pem_x509_certificate(authority().cert_pem.bytes())
    issuer_key = serialization.load_pem_private_key(authority().private_key_pem.bytes(), None)
    assert isinstance(issuer_key, ec.EllipticCurvePrivateKey)
    name = x509.UnrecognizedExtension(x509.oid.ExtensionOID.SUBJECT_ALTERNATIVE_NAME, b"\x30\x03\x82\x01\xff")
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "client")]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(name, critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    context = ssl.create_default_context()
    authority().configure_trust(context)
    with trustme.Blob(certificate.public_bytes(serialization.Encoding.PEM) + pem).tempfile() as path:
        context.load_cert_chain(path)
    return context


@cache
def server_certificate() -> trustme.LeafCert:
    return authority().issue_cert(HOST, "127.0.0.1", "::1")


@cache
def server_context(*, tickets: int = 0) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = tickets
    server_certificate().configure_cert(context)
    return context


@cache
def client_context(
    version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3, *, shown: trustme.LeafCert | None = None
) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = context.maximum_version = version
    authority().configure_trust(context)
    if shown is not None:
        shown.configure_cert(context)
    return context


def write_files(folder: Path, certificate: trustme.LeafCert | None = None) -> tuple[Path, Path, Path]:
    """Write certificate, key and CA, and return their paths."""
    certificate = certificate or server_certificate()
    paths = folder / "cert.pem", folder / "key.pem", folder / "ca.pem"
    paths[0].write_bytes(b"".join(pem.bytes() for pem in certificate.cert_chain_pems))
    certificate.private_key_pem.write_to_path(paths[1])
    authority().cert_pem.write_to_path(paths[2])
    return paths


async def cut_off(stream: TlsStream) -> None:
    """End the transport's output without close_notify."""
    assert isinstance(stream.transport, trio.abc.HalfCloseableStream)
    await stream.transport.send_eof()


def over_tls(
    client: trio.abc.HalfCloseableStream, server: trio.abc.HalfCloseableStream
) -> tuple[TlsStream, TlsStream]:
    """Return both sides of a TLS connection that has done its handshake, without I/O."""
    sides = (
        TlsStream(client, client_context(), server_side=False, server_hostname=HOST),
        TlsStream(server, server_context(), server_side=True),
    )
    data = sides[0].engine.shake_hands(b"")
    for side in (1, 0, 1):
        data = sides[side].engine.shake_hands(data)
    return sides


def hub_over_tls(client: trio.SocketStream, channel: HubChannel) -> TlsStream:
    """Return the client's side of a connection whose other side is the channel of a hub's, as `over_tls`."""
    stream = TlsStream(client, client_context(), server_side=False, server_hostname=HOST)
    assert isinstance(channel.sock, socket.socket)
    secure = TlsSocket(channel.sock, TlsEngine(server_context(), server_side=True))
    raw = socket.socket(fileno=os.dup(client.socket.fileno()))
    with raw:
        raw.setblocking(False)  # noqa: FBT003 - the socket module's signature
        raw.send(stream.engine.shake_hands(b""))
        assert secure.handshake_step()
        raw.send(stream.engine.shake_hands(raw.recv(65536)))
        assert not secure.handshake_step()
    channel.sock = channel.tls = secure
    return stream
