"""`HandshakeGate`: whole messages pass, claims command nothing, and what passes is what came."""

from __future__ import annotations

import itertools
import ssl
import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caas_trio import HandshakeFailed
from caas_trio.core.handshakegate import MAX_HANDSHAKE, HandshakeGate

from .certificates import HOST, client_context, server_certificate, server_context

RETRY = b"\x16\x03\x03\x00\x2e\x02\x00\x00\x2a\x03\x03" + bytes.fromhex(
    "cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c"
)
ANSWER = b"\x16\x03\x03\x00\x04\x02\x00\x00\x00"
CIPHERS_CHANGED = b"\x14\x03\x03\x00\x01\x01"


def record(payload: bytes, kind: int = 22, version: bytes = b"\x03\x01") -> bytes:
    return bytes([kind]) + version + struct.pack("!H", len(payload)) + payload


def message(kind: int, body: bytes, claimed: int | None = None) -> bytes:
    return bytes([kind]) + (len(body) if claimed is None else claimed).to_bytes(3, "big") + body


def hello(*extensions: int, session: bytes = b"", content: bytes = b"x") -> bytes:
    block = b"".join(struct.pack("!HH", kind, len(content)) + content for kind in extensions)
    body = b"\x03\x03" + bytes(32) + bytes([len(session)]) + session + b"\x00\x02\x13\x01\x01\x00"
    return message(1, body + struct.pack("!H", len(block)) + block)


HELLO = record(hello())


def real_hello(*, tickets: bool, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2) -> bytes:
    """Return what OpenSSL says first."""
    context = ssl.create_default_context()
    context.minimum_version = version
    if not tickets:
        context.options |= ssl.OP_NO_TICKET
    outgoing = ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=HOST).do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("cut", [1, 4, 5, 8, 9, 40, len(HELLO) - 1])
def test_nothing_passes_before_the_hello_is_whole(cut: int) -> None:
    gate = HandshakeGate()
    assert (gate.speaks_tls, gate.offers_ticket) == (False, False)
    assert gate.feed(HELLO[:cut]) == b""
    assert gate.feed(HELLO[cut:]) == HELLO
    assert gate.speaks_tls
    assert gate.room == MAX_HANDSHAKE - len(HELLO)


def test_a_hello_may_come_in_as_many_records_as_it_has_bytes() -> None:
    whole = b"".join(record(bytes([byte])) for byte in hello(35))
    gate = HandshakeGate()
    assert gate.feed(whole[:-1]) == b""
    assert gate.feed(whole[-1:]) == whole
    assert gate.offers_ticket


@pytest.mark.parametrize("said", [b"hello\r\n", b"\x80" * 20, b"\x17\x03\x01\x00\x05hello"])
def test_other_protocols_pass_at_once(said: bytes) -> None:
    gate = HandshakeGate()
    assert gate.feed(said) == said
    assert gate.feed(b"more") == b"more"
    assert not gate.speaks_tls


@pytest.mark.parametrize(
    "said",
    [
        record(b"hello"),
        record(message(2, b"", 0xFFFFFF)),
        b"\x16\x02\x00\x00\x05",
        b"\x16\x03\x01\x40\x01",
    ],
    ids=["no message", "a message of the server", "version 2", "too long a record"],
)
def test_invalid_records_pass_at_once_for_openssl_to_refuse(said: bytes) -> None:
    assert HandshakeGate().feed(said) == said


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"\x16\x03\x01\x00\x04\x01\x02\x00\x00", "a message longer than 16384 bytes"),
        (record(message(1, b"", 16385)), "a message longer than 16384 bytes"),
        (b"\x16\x03\x01\x00\x00", "an empty record"),
        (b"\x16\x03\x01\x40\x00", None),
        (HELLO[:9] + b"", None),
        (record(message(1, b"", 16384)), None),
    ],
)
def test_a_claimed_length_allocates_nothing(said: bytes, reason: str | None) -> None:
    gate = HandshakeGate()
    if reason is None:
        assert gate.feed(said) == b""
    else:
        with pytest.raises(HandshakeFailed, match=f"^no TLS handshake: {reason}$"):
            gate.feed(said)


def test_after_the_hello_nothing_passes_before_the_answer() -> None:
    gate = HandshakeGate()
    flight = record(message(11, b"certificates") + message(16, b"key")) + CIPHERS_CHANGED + b"\x16..."
    assert gate.feed(HELLO + flight) == HELLO
    assert gate.answered(ANSWER) == flight
    assert gate.feed(b"encrypted") == b"encrypted"


def test_later_messages_are_held_until_they_are_whole_too() -> None:
    gate = HandshakeGate()
    gate.feed(HELLO)
    gate.answered(ANSWER)
    first, second = record(message(11, b"") + message(16, b"key")[:3]), record(message(16, b"key")[3:])
    assert gate.feed(first[:-3]) + gate.feed(first[-3:] + second[:-1]) == first[:-3]
    assert gate.feed(second[-1:]) == first[-3:] + second
    with pytest.raises(HandshakeFailed, match=r"^no TLS handshake: a message longer than 32768 bytes$"):
        gate.feed(record(message(11, b"", 102400)))


@pytest.mark.parametrize(("claimed", "fails"), [(32768, False), (32769, True)])
def test_a_later_message_may_be_as_long_as_a_handshake(claimed: int, *, fails: bool) -> None:
    gate = HandshakeGate()
    gate.feed(HELLO)
    gate.answered(ANSWER)
    begun = record(message(11, b"", claimed))
    if fails:
        with pytest.raises(HandshakeFailed):
            gate.feed(begun)
    else:
        assert gate.feed(begun) == b""


def test_a_second_hello_is_measured_like_the_first() -> None:
    gate = HandshakeGate()
    claim = record(message(1, b"", 0x20000))
    assert gate.feed(HELLO + CIPHERS_CHANGED + claim) == HELLO
    with pytest.raises(HandshakeFailed, match=r"^no TLS handshake: a message longer than 16384 bytes$"):
        gate.answered(RETRY)
    gate = HandshakeGate()
    assert gate.feed(HELLO) == HELLO
    assert gate.answered(RETRY) == b""
    assert gate.feed(CIPHERS_CHANGED + HELLO[:-1]) == CIPHERS_CHANGED
    key = record(message(16, b"key"))
    assert gate.feed(HELLO[-1:] + key) == HELLO
    assert gate.answered(ANSWER) == key
    assert gate.feed(record(b"encrypted", 23)) == record(b"encrypted", 23)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("tickets", [False, True])
def test_the_offer_of_a_ticket_is_found(version: ssl.TLSVersion, *, tickets: bool) -> None:
    gate = HandshakeGate()
    said = real_hello(tickets=tickets, version=version)
    assert gate.feed(said) == said
    assert gate.offers_ticket is tickets


def test_a_handshake_is_limited_in_bytes() -> None:
    gate = HandshakeGate()
    assert gate.wanted(1000) == 1000
    gate.feed(HELLO)
    gate.answered(ANSWER)
    while gate.room:
        gate.feed(record(message(11, b"")[: gate.wanted(4)])[: gate.room])
    with pytest.raises(HandshakeFailed, match=r"^no TLS handshake: more than 32768 bytes$"):
        gate.wanted(1)


def test_on_the_client_side_everything_passes() -> None:
    gate = HandshakeGate.open()
    assert gate.answered(HELLO) == b""
    assert gate.feed(record(message(2, b"", 0xFFFFFF))) == record(message(2, b"", 0xFFFFFF))
    assert gate.wanted(40_000) == 40_000
    assert gate.offers_ticket
    assert gate.speaks_tls


@given(st.binary(max_size=80))
def test_a_hello_of_any_bytes_is_read_to_its_end(body: bytes) -> None:
    gate = HandshakeGate()
    said = record(message(1, body))
    assert gate.feed(said) == said


@pytest.mark.parametrize("session", [b"", b"s" * 32])
@pytest.mark.parametrize("content", [b"", b"x"])
def test_only_the_extension_counts(session: bytes, content: bytes) -> None:
    for extensions in ((0, 43, 35), (0, 43)):
        gate = HandshakeGate()
        gate.feed(record(hello(*extensions, session=session, content=content)))
        assert gate.offers_ticket is (35 in extensions)


@given(
    version=st.sampled_from([ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]),
    cuts=st.lists(st.integers(1, 300), min_size=1, max_size=8),
)
def test_the_output_is_the_input_in_any_cut(version: ssl.TLSVersion, cuts: list[int]) -> None:
    gate = HandshakeGate()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_context().wrap_bio(incoming, outgoing, server_side=True)
    context = client_context(version, shown=server_certificate())
    client = context.wrap_bio(to_client, to_server, server_hostname=HOST)
    came = passed = b""
    sizes = itertools.cycle(cuts)
    for _ in range(3):
        with suppress(ssl.SSLWantReadError):
            client.do_handshake()
        while said := to_server.read(next(sizes)):
            came += said
            through = gate.feed(said)
            incoming.write(through)
            passed += through
        with suppress(ssl.SSLWantReadError):
            server.do_handshake()
        answer = outgoing.read()
        to_client.write(answer)
        through = gate.answered(answer)
        incoming.write(through)
        passed += through
    assert server.version() == {771: "TLSv1.2", 772: "TLSv1.3"}[version]
    assert passed == came
