"""Certificates for tests, made once per run."""

from __future__ import annotations

import ssl
from contextlib import suppress
from functools import cache
from pathlib import Path

import trio
import trustme

from caas_trio.drivers.tlsstream import TlsStream

HOST = "localhost"


@cache
def authority() -> trustme.CA:
    return trustme.CA()


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


def over_tls(
    client: trio.abc.HalfCloseableStream, server: trio.abc.HalfCloseableStream
) -> tuple[TlsStream, TlsStream]:
    """Return both sides of a TLS connection that has done its handshake, without I/O."""
    sides = (
        TlsStream(client, client_context(), server_side=False, server_hostname=HOST),
        TlsStream(server, server_context(), server_side=True),
    )
    for stream in sides:
        stream.begin()
    for side, other in ((0, 1), (1, 0), (0, 1), (1, 0)):
        with suppress(ssl.SSLWantReadError):
            sides[side].tls.do_handshake()
        sides[other]._incoming.write(sides[side]._outgoing.read())
    return sides
