"""`TlsEngine` alone: what a driver may read off it, and what a peer may not do."""

from __future__ import annotations

import itertools
import ssl

import pytest

from caas_trio import HandshakeFailed
from caas_trio.core.handshakegate import MAX_HANDSHAKE
from caas_trio.core.tlsengine import MAX_EMPTY, MAX_UNSAID, RECORD, TlsEngine

from .certificates import (
    HOST,
    authority,
    client_context,
    server_certificate,
    server_context,
    unreadable_client,
)

VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])


def asking_context() -> ssl.SSLContext:
    """Return the context of a server that asks its clients for a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_verify_locations(cadata=authority().cert_pem.bytes().decode())
    context.verify_mode = ssl.CERT_REQUIRED
    server_certificate().configure_cert(context)
    return context


def shaken(
    client: ssl.SSLContext | ssl.TLSVersion = ssl.TLSVersion.TLSv1_3, server: ssl.SSLContext | None = None
) -> tuple[TlsEngine, TlsEngine]:
    """Return the client's and the server's engine after their handshake."""
    context = client_context(client) if isinstance(client, ssl.TLSVersion) else client
    engines = (
        TlsEngine(context, server_side=False, server_hostname=HOST),
        TlsEngine(server or server_context(), server_side=True),
    )
    said = engines[0].shake_hands(b"")
    for engine in itertools.cycle(engines[::-1]):
        if not said:
            return engines
        said = engine.shake_hands(said)
    raise AssertionError


@pytest.mark.parametrize("server_side", [False, True])
def test_a_new_engine_has_done_nothing(*, server_side: bool) -> None:
    context = server_context() if server_side else client_context()
    engine = TlsEngine(context, server_side=server_side, server_hostname=None if server_side else HOST)
    assert (engine.established, engine.input_ended, engine.output_ended) == (False, False, False)
    assert engine.drained is False
    assert engine.alert() == b""
    assert engine.wanted(100_000) == (MAX_HANDSHAKE if server_side else 100_000)
    assert bool(engine.shake_hands(b"")) is not server_side  # the client begins


def test_a_server_with_another_name_is_refused() -> None:
    client = TlsEngine(client_context(), server_side=False, server_hostname="other.example")
    server = TlsEngine(server_context(), server_side=True)
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        client.shake_hands(server.shake_hands(client.shake_hands(b"")))
    with pytest.raises(ssl.SSLError, match="BAD_CERTIFICATE"):
        server.shake_hands(client.alert())


def test_what_follows_a_hello_at_once_is_taken_after_the_answer_to_it() -> None:
    client = TlsEngine(client_context(), server_side=False, server_hostname=HOST)
    server = TlsEngine(server_context(), server_side=True)
    ciphers_changed = b"\x14\x03\x03\x00\x01\x01"
    server.shake_hands(client.shake_hands(server.shake_hands(client.shake_hands(b"") + ciphers_changed)))
    assert (client.established, server.established) == (True, True)
    client.feed(server.encrypt(b"nothing was put before this"))
    assert client.read(99) == b"nothing was put before this"


@VERSIONS
def test_after_the_handshake_both_sides_are_established(version: ssl.TLSVersion) -> None:
    for engine in shaken(version):
        assert engine.established is True
        assert engine.buffered == 0
        assert engine.wanted(100_000) == 100_000


def test_the_certificate_of_the_other_side_is_known() -> None:
    shown = authority().issue_cert("client.example", common_name="somebody")
    client, server = shaken(client_context(shown=shown), asking_context())
    assert "somebody" in str(server.certificate())
    assert HOST in str(client.certificate())
    _, server = shaken()
    assert server.certificate() is None


def test_a_certificate_with_a_name_that_is_no_text_is_refused() -> None:
    _, server = shaken(unreadable_client(), asking_context())
    with pytest.raises(HandshakeFailed, match=r"^no TLS handshake: the client's certificate cannot be read$"):
        server.certificate()


@VERSIONS
def test_it_is_drained_once_another_read_would_give_nothing(version: ssl.TLSVersion) -> None:
    client, server = shaken(version)

    def read(max_bytes: int) -> tuple[bytes | None, bool]:
        return server.read(max_bytes), server.drained

    assert read(9) == (None, True)
    server.feed(client.encrypt(b"0123456789"))
    assert read(4) == (b"0123", False)
    assert server.buffered == 6
    assert read(6) == (b"456789", False)
    assert read(1) == (None, True)
    server.feed(b"".join(map(client.encrypt, (b"ab", b"cd", b"ef", b"gh"))))
    assert read(3) == (b"abc", False)
    assert read(1) == (b"d", False)
    assert read(3) == (b"efg", False)
    assert read(2) == (b"h", True)
    server.feed(client.encrypt(b"ij") + client.encrypt(b"kl")[:-1])
    assert read(9) == (b"ij", True)
    assert read(9) == (None, True)


@VERSIONS
def test_what_is_longer_than_a_record_is_several(version: ssl.TLSVersion) -> None:
    client, server = shaken(version)
    for size, count in ((RECORD, 1), (RECORD + 1, 2), (2 * RECORD, 2), (4 * RECORD, 4)):
        data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
        encrypted = client.encrypt(bytearray(data))
        assert size < len(encrypted) < size + 64 * count
        assert encrypted.count(b"\x17\x03\x03") == count
        server.feed(encrypted)
        assert (server.read(size + 1), server.drained) == (data, True)
        server.feed(client.encrypt(data))
        assert (server.read(size), server.drained) == (data, False)
        assert (server.read(size), server.drained) == (None, True)


@VERSIONS
def test_the_end_is_read_behind_the_data_and_stays(version: ssl.TLSVersion) -> None:
    client, server = shaken(version)
    server.feed(client.encrypt(b"abc") + client.close_output())
    assert client.close_output() == b""
    assert client.output_ended is True
    assert (server.read(2), server.input_ended) == (b"ab", False)
    assert (server.read(9), server.drained, server.input_ended) == (b"c", False, True)
    assert server.buffered == 1
    assert (server.read(9), server.drained) == (b"", False)
    client.feed(server.encrypt(b"d") + server.close_output())
    assert client.read(9) == b"d"
    assert [client.read(9) for _ in range(2)] == [b"", b""]
    assert (client.drained, client.input_ended) == (False, True)


@VERSIONS
def test_input_that_was_not_read_outlives_the_end_of_the_output(version: ssl.TLSVersion) -> None:
    client, server = shaken(version)
    data = b"x" * (7 * RECORD) + b"end"
    server.feed(client.encrypt(data))
    assert server.read(1) == b"x"
    client.feed(server.close_output())
    assert client.read(1) == b""
    assert (server.drained, server.output_ended) == (False, True)
    assert server.read(6) == b"xxxxxx"
    assert server.read(len(data)) == data[7:]
    assert server.read(1) is None
    assert server.drained is True


def test_a_forged_record_is_an_error_behind_what_came_before_it() -> None:
    client, server = shaken()
    server.feed(client.encrypt(b"good") + b"\x17\x03\x03\x00\x20" + bytes(32))
    assert (server.read(9), server.drained, server.input_ended) == (b"good", False, True)
    for _ in range(2):
        with pytest.raises(ssl.SSLError):
            server.read(9)
    assert server.close_output()  # the alert that says why


def test_a_peer_that_sends_records_without_content_is_cut_off() -> None:
    # Session tickets stand for key updates, which Python's module cannot send.
    client, server = shaken(server=server_context(tickets=200))
    tickets = server.encrypt(b"a")
    assert len(tickets) > MAX_EMPTY + 1
    client.feed(tickets[:1000])
    assert client.read(1) is None
    client.feed(tickets[1000:MAX_EMPTY])
    assert (client.read(1), client.drained, client.input_ended) == (None, True, False)
    client.feed(tickets[MAX_EMPTY : MAX_EMPTY + 1])
    for _ in range(2):
        with pytest.raises(ConnectionAbortedError, match=r"^the peer sends records without content$"):
            client.read(1)
    assert (client.drained, client.input_ended) == (False, True)


def test_records_without_content_are_counted_from_the_last_content_on() -> None:
    context = ssl.create_default_context(cadata=authority().cert_pem.bytes().decode())
    context.post_handshake_auth = True
    context.options |= 1 << 32  # SSL_OP_NO_TX_CERTIFICATE_COMPRESSION, since OpenSSL 3.2
    authority().issue_cert(*(f"{number}.example.org" for number in range(1500))).configure_cert(context)
    asking = asking_context()
    asking.verify_mode = ssl.CERT_OPTIONAL
    client, server = shaken(context, asking)
    server.feed(client.encrypt(b"a"))
    assert server.read(9) == b"a"
    server.tls.verify_client_post_handshake()
    client.feed(server.encrypt(b"b"))
    assert client.read(9) == b"b"
    certificate = client.encrypt(b"c")
    assert len(certificate) > MAX_EMPTY + 1
    server.feed(certificate[:MAX_EMPTY])
    assert server.read(9) is None
    server.feed(certificate[MAX_EMPTY : MAX_EMPTY + 1])
    with pytest.raises(ConnectionAbortedError):
        server.read(9)


def test_a_peer_that_requests_answers_and_does_not_read_them_is_cut_off() -> None:
    _, server = shaken()
    server._outgoing.write(bytes(MAX_UNSAID))  # as OpenSSL does
    assert server.read(1) is None
    server._outgoing.write(b"x")
    with pytest.raises(ConnectionAbortedError, match=r"^the peer requests answers and does not read them$"):
        server.read(1)
