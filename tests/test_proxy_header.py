"""PROXY headers: the cases of the specification's text, and what a careless reader takes for one."""

from __future__ import annotations

import itertools
import re
import socket

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from caas_trio import ProxyHeader, ProxyHeaderError, ProxyHeaderParser, Tlv, encode_proxy_header
from caas_trio.core.proxy_header import MAX_HEADER, Address, crc32c

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
INET = bytes([192, 0, 2, 7, 192, 0, 2, 1, 0xDC, 0x04, 0, 25])
INET6 = socket.inet_pton(socket.AF_INET6, "2001:db8::7") + socket.inet_pton(socket.AF_INET6, "2001:db8::1")
UNIX = b"/run/client".ljust(108, b"\0") + b"\0LINUX".ljust(108, b"\0")

V4 = (("192.0.2.7", 56324), ("192.0.2.1", 25))
V6 = (("2001:db8::7", 56324), ("2001:db8::1", 25))


def block(command: int, kind: int, rest: bytes, length: int | None = None) -> bytes:
    """Return a header of version 2, whatever sense it makes."""
    size = len(rest) if length is None else length
    return SIGNATURE + bytes([command, kind]) + size.to_bytes(2, "big") + rest


def tlv(kind: int, value: bytes, length: int | None = None) -> bytes:
    """Return a TLV, whatever sense it makes."""
    return bytes([kind]) + (len(value) if length is None else length).to_bytes(2, "big") + value


def summed(header: bytes, at: int) -> bytes:
    """Return a header with its checksum in its place."""
    return header[:at] + crc32c(header).to_bytes(4, "big") + header[at + 4 :]


def read(data: bytes) -> tuple[ProxyHeader | None, int]:
    """Return what a parser makes of some bytes, and how many of them it takes."""
    parser = ProxyHeaderParser()
    taken = parser.feed(data)
    return parser.header, taken


RIGHT = {
    "PROXY TCP4 192.0.2.7 192.0.2.1 56324 25": ProxyHeader(1, *V4),
    "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535": ProxyHeader(
        1, ("255.255.255.255", 65535), ("255.255.255.255", 65535)
    ),
    "PROXY TCP4 0.0.0.0 0.0.0.0 0 0": ProxyHeader(1, ("0.0.0.0", 0), ("0.0.0.0", 0)),  # noqa: S104
    "PROXY TCP6 2001:db8::7 2001:DB8::1 56324 25": ProxyHeader(1, *V6),
    "PROXY TCP6 2001:0db8:0000:0000:0000:0000:0000:0007 2001:db8:0:0::0:1 56324 25": ProxyHeader(1, *V6),
    "PROXY TCP6 :: ::1 0 1": ProxyHeader(1, ("::", 0), ("::1", 1)),
    "PROXY TCP6 ::ffff:192.0.2.7 ::ffff:c000:201 56324 25": ProxyHeader(
        1, ("::ffff:192.0.2.7", 56324), ("::ffff:192.0.2.1", 25)
    ),
    f"PROXY TCP6 {':'.join(['ffff'] * 8)} {':'.join(['ffff'] * 8)} 65535 65535": ProxyHeader(
        1, (":".join(["ffff"] * 8), 65535), (":".join(["ffff"] * 8), 65535)
    ),
    "PROXY UNKNOWN": ProxyHeader(1),
    "PROXY UNKNOWN ": ProxyHeader(1),
    f"PROXY UNKNOWN {'x' * 91}": ProxyHeader(1),
    "PROXY UNKNOWN 01.2.3.4 \0\xff\n\r": ProxyHeader(1),
    f"PROXY UNKNOWN {':'.join(['ffff'] * 8)} {':'.join(['ffff'] * 8)} 65535 65535": ProxyHeader(1),
}


@pytest.mark.parametrize("line", RIGHT)
def test_a_line_is_read_to_its_crlf(line: str) -> None:
    data = line.encode("latin-1") + b"\r\n"
    assert read(data) == (RIGHT[line], len(data))
    assert read(data + b"\nPROXY \r\n") == (RIGHT[line], len(data))


NOT_ONE = "nothing that begins like one"
NO_LINE = "not a line of version 1"
NO_ADDRESS = "an invalid address"
NO_PORT = "an invalid port"

WRONG = {
    "X": NOT_ONE,
    "\r\nP": NOT_ONE,
    "p": NOT_ONE,
    "PROXY  ": NOT_ONE,
    "PROXY TCP5": NOT_ONE,
    "PROXY UD": NOT_ONE,
    "PROXY TCP4\t": NOT_ONE,
    "PROXY UNKNOWNS": NOT_ONE,
    "PROXY UNKNOWN\n": NOT_ONE,
    "PROXY UNKNOWN\r\r": NOT_ONE,
    f"PROXY UNKNOWN {'x' * 93}": "no CRLF within 107 bytes",
    f"PROXY UNKNOWN {'x' * 92}\r": "no CRLF within 107 bytes",
    "PROXY TCP4  ": NO_LINE,
    "PROXY TCP4 1.2.3.4  ": NO_LINE,
    "PROXY TCP4 1.2.3.4 1.2.3.4  ": NO_LINE,
    "PROXY TCP4 1.2.3.4 1.2.3.4 1 \r": NO_LINE,
    "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n": NO_LINE,
    "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r1": NO_LINE,
    "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 ": NO_LINE,
    "PROXY TCP4 1.2.3.4 1.2.3.4 1\r": NO_LINE,
    "PROXY TCP4 1.2.3.4 1.2.3.4 1 000002": NO_LINE,
    "PROXY TCP4 255.255.255.2555": NO_LINE,
    "PROXY TCP4 1.2.3.\x34 1.2.3.4 1 2\x00": NO_LINE,
    "PROXY TCP4 :": NO_LINE,
    "PROXY TCP4 1.2.3.4/": NO_LINE,
    "PROXY TCP6 ::1%": NO_LINE,
    "PROXY TCP6 ::g": NO_LINE,
    "PROXY TCP6 [": NO_LINE,
    "PROXY TCP4 \xb9": NO_LINE,
    "PROXY TCP4 1.2.3.4 1.2.3.4 +": NO_LINE,
    "PROXY TCP4 1.2.3.4 1.2.3.4 1_": NO_LINE,
    "PROXY TCP4 1.2.3.4 1.2.3.4 -": NO_LINE,
    "PROXY TCP4 1.2.3.4 1.2.3.4 1 \xb2": NO_LINE,
    "PROXY TCP4 1.2.3.4 1.2.3 1 2\r\n": NO_ADDRESS,
    "PROXY TCP4 1.2.3.4.5 1.2.3.4 1 2\r\n": NO_ADDRESS,
    "PROXY TCP4 01.2.3.4 1.2.3.4 1 2\r\n": NO_ADDRESS,
    "PROXY TCP4 1.2.3.4 1.2.3.00 1 2\r\n": NO_ADDRESS,
    "PROXY TCP4 256.2.3.4 1.2.3.4 1 2\r\n": NO_ADDRESS,
    "PROXY TCP4 1.2..4 1.2.3.4 1 2\r\n": NO_ADDRESS,
    "PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n": NO_ADDRESS,
    "PROXY TCP6 1:2:3:4:5:6:7 ::1 1 2\r\n": NO_ADDRESS,
    "PROXY TCP6 1:2:3:4:5:6:7:8:9 ::1 1 2\r\n": NO_ADDRESS,
    "PROXY TCP6 1::2::3 ::1 1 2\r\n": NO_ADDRESS,
    "PROXY TCP6 1:2:3:4::5:6:7:8 ::1 1 2\r\n": NO_ADDRESS,
    "PROXY TCP6 :1:2:3:4:5:6:7 ::1 1 2\r\n": NO_ADDRESS,
    "PROXY TCP6 00001:: ::1 1 2\r\n": NO_ADDRESS,
    "PROXY TCP6 ::01.2.3.4 ::1 1 2\r\n": NO_ADDRESS,
    "PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n": NO_PORT,
    "PROXY TCP4 1.2.3.4 1.2.3.4 1 99999\r\n": NO_PORT,
    "PROXY TCP4 1.2.3.4 1.2.3.4 080 2\r\n": NO_PORT,
    "PROXY TCP4 1.2.3.4 1.2.3.4 1 00\r\n": NO_PORT,
}


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_line_is_refused_at_the_first_wrong_byte(line: str) -> None:
    data = line.encode("latin-1")
    assert read(data[:-1]) == (None, len(data) - 1)
    with pytest.raises(ProxyHeaderError) as caught:
        read(data)
    assert caught.value.reason == WRONG[line]
    with pytest.raises(ProxyHeaderError):
        read(data + b"more\r\n")


BLOCKS = {
    "TCP over IPv4": (block(0x21, 0x11, INET), ProxyHeader(2, *V4)),
    "UDP over IPv4": (block(0x21, 0x12, INET), ProxyHeader(2, *V4, datagram=True)),
    "TCP over IPv6": (block(0x21, 0x21, INET6 + INET[8:]), ProxyHeader(2, *V6)),
    "UDP over IPv6": (block(0x21, 0x22, INET6 + INET[8:]), ProxyHeader(2, *V6, datagram=True)),
    "Unix stream": (block(0x21, 0x31, UNIX), ProxyHeader(2, b"/run/client", b"\0LINUX")),
    "Unix datagram": (block(0x21, 0x32, bytes(216)), ProxyHeader(2, b"", b"", datagram=True)),
    "a whole Unix path": (block(0x21, 0x31, b"x" * 216), ProxyHeader(2, b"x" * 108, b"x" * 108)),
    "unspecified": (block(0x21, 0x00, b""), ProxyHeader(2)),
    "unspecified, and a block": (block(0x21, 0x00, b"\x03\xff"), ProxyHeader(2)),
    "unspecified family": (block(0x21, 0x01, b"abc"), ProxyHeader(2)),
    "unspecified transport": (block(0x21, 0x10, b"abc"), ProxyHeader(2)),
    "LOCAL": (block(0x20, 0x00, b""), ProxyHeader(2, local=True)),
    "LOCAL, and a block": (block(0x20, 0x11, b"abc"), ProxyHeader(2, local=True)),
    "LOCAL, of no known family": (block(0x20, 0xFF, b""), ProxyHeader(2, local=True)),
    "TLVs": (
        block(0x21, 0x11, INET + tlv(2, b"example.org") + tlv(4, b"") + tlv(0xE0, bytes(300))),
        ProxyHeader(2, *V4, tlvs=(Tlv(2, b"example.org"), Tlv(4, b""), Tlv(0xE0, bytes(300)))),
    ),
    "a checksum": (
        summed(block(0x21, 0x11, INET + tlv(3, bytes(4)) + tlv(5, b"id")), 31),
        ProxyHeader(2, *V4, tlvs=(Tlv(5, b"id"),), checksum=True),
    ),
    "as long as may be": (
        block(0x21, 0x11, INET + tlv(4, bytes(4065))),
        ProxyHeader(2, *V4, tlvs=(Tlv(4, bytes(4065)),)),
    ),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_is_read_to_its_length(name: str) -> None:
    data, header = BLOCKS[name]
    assert read(data[:-1]) == (None, len(data) - 1)
    assert read(data) == (header, len(data))
    assert read(data + b"\r\n") == (header, len(data))


CUT = "a TLV that is cut off"
SUM = "a wrong checksum"

WRONG_BLOCKS = {
    "a version to come": (SIGNATURE + b"\x31", NOT_ONE),
    "no version": (SIGNATURE + b"\x01", NOT_ONE),
    "no command": (SIGNATURE + b"\x22", NOT_ONE),
    "no signature": (SIGNATURE[:-1] + b"\r", NOT_ONE),
    "no family": (SIGNATURE + b"\x21\x41", "an unknown address family or transport"),
    "no transport": (SIGNATURE + b"\x21\x13", "an unknown address family or transport"),
    "IPv4 in eleven bytes": (block(0x21, 0x11, b"", 11), "shorter than its addresses"),
    "IPv6 in twelve bytes": (block(0x21, 0x21, b"", 12), "shorter than its addresses"),
    "Unix in 215 bytes": (block(0x21, 0x32, b"", 215), "shorter than its addresses"),
    "longer than may be": (block(0x21, 0x11, b"", MAX_HEADER - 15), "longer than 4096 bytes"),
    "longer than may be, and LOCAL": (block(0x20, 0x00, b"", 0xFFFF), "longer than 4096 bytes"),
    "a TLV without a length": (block(0x21, 0x11, INET + b"\x04"), CUT),
    "a TLV with half a length": (block(0x21, 0x11, INET + tlv(4, b"") + b"\x04\x00"), CUT),
    "a TLV over the end": (block(0x21, 0x11, INET + tlv(4, b"ab", 3)), CUT),
    "a wrong checksum": (block(0x21, 0x11, INET + tlv(3, b"1234")), SUM),
    "a short checksum": (block(0x21, 0x11, INET + tlv(3, b"123")), SUM),
    "two checksums": (summed(block(0x21, 0x11, INET + 2 * tlv(3, bytes(4))), 31), "a second checksum"),
}


@pytest.mark.parametrize("name", WRONG_BLOCKS)
def test_a_wrong_block_is_refused_at_the_first_wrong_byte(name: str) -> None:
    data, reason = WRONG_BLOCKS[name]
    assert read(data[:-1]) == (None, len(data) - 1)
    with pytest.raises(ProxyHeaderError) as caught:
        read(data)
    assert caught.value.reason == reason
    with pytest.raises(ProxyHeaderError):
        read(data + bytes(70000))


def test_the_checksum_is_crc32c() -> None:
    assert crc32c(b"") == 0
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4


def test_a_complete_header_takes_no_more_bytes() -> None:
    parser = ProxyHeaderParser()
    assert parser.feed(memoryview(b"PROXY UNKNOWN\r\nPROXY")) == 15
    assert parser.feed(b"PROXY TCP4") == 0
    parser.end_of_input()
    assert parser.header == ProxyHeader(1)


@pytest.mark.parametrize("begun", [b"", b"PROXY TCP4 ", SIGNATURE])
def test_a_truncated_header_is_refused(begun: bytes) -> None:
    parser = ProxyHeaderParser()
    assert parser.feed(begun) == len(begun)
    with pytest.raises(ProxyHeaderError, match="the input ended before it was complete"):
        parser.end_of_input()


def test_after_an_error_every_call_raises_it() -> None:
    parser = ProxyHeaderParser()
    for chunk in (b"GET / HTTP/1.1\r\n", b"", b"PROXY UNKNOWN\r\n"):
        with pytest.raises(ProxyHeaderError, match=NOT_ONE):
            parser.feed(chunk)


PORTS = st.integers(0, 65535)
INET_ADDRESSES = st.tuples(st.ip_addresses(v=4).map(str), PORTS)
# Written as `ipaddress` does, which spells IPv4 in IPv6 in a way of each Python.
INET6_ADDRESSES = st.tuples(
    st.ip_addresses(v=6).map(str).filter(lambda text: not text.startswith("::ffff:")), PORTS
)
UNIX_ADDRESSES = st.builds(
    bytes.__add__,
    st.sampled_from([b"", b"/", b"\0a"]),
    st.binary(max_size=106).map(lambda path: path.replace(b"\0", b"1")),
).filter(lambda path: path[:1] != b"\0" or len(path) > 1)
TLVS = st.lists(
    st.builds(Tlv, st.integers(0, 255).filter(lambda kind: kind != 3), st.binary(max_size=40)), max_size=4
).map(tuple)


def pairs(
    addresses: st.SearchStrategy[tuple[str, int]] | st.SearchStrategy[bytes],
) -> st.SearchStrategy[tuple[Address, Address]]:
    return st.tuples(addresses, addresses)


HEADERS = st.one_of(
    st.one_of(pairs(INET_ADDRESSES), pairs(INET6_ADDRESSES)).map(lambda pair: ProxyHeader(1, *pair)),
    st.builds(
        lambda pair, **others: ProxyHeader(2, *pair, **others),
        st.one_of(pairs(INET_ADDRESSES), pairs(INET6_ADDRESSES), pairs(UNIX_ADDRESSES)),
        datagram=st.booleans(),
        tlvs=TLVS,
        checksum=st.booleans(),
    ),
    st.sampled_from([ProxyHeader(1), ProxyHeader(2), ProxyHeader(2, local=True)]),
)


@given(HEADERS, st.binary(max_size=20))
def test_a_header_round_trips(header: ProxyHeader, rest: bytes) -> None:
    data = encode_proxy_header(header)
    assert read(data + rest) == (header, len(data))


@given(HEADERS, st.data())
def test_a_changed_byte_never_passes_a_checksum(header: ProxyHeader, data: st.DataObject) -> None:
    encoded = bytearray(encode_proxy_header(header))
    at = data.draw(st.integers(0, len(encoded) - 1))
    encoded[at] ^= data.draw(st.integers(1, 255))
    try:
        found, _ = read(bytes(encoded))
    except ProxyHeaderError:
        return
    # It is the checksum that is no longer there, or the length says that more will come.
    assert not header.checksum or found is None or not found.checksum


#: Headers, right and wrong, and what may be put in their place.
PIECES = [
    *(line.encode("latin-1") for line in [*RIGHT, *WRONG]),
    *(data for data, _ in [*BLOCKS.values(), *WRONG_BLOCKS.values()]),
]
INPUTS = st.one_of(
    st.binary(max_size=40),
    st.builds(bytes.__add__, st.sampled_from(PIECES), st.binary(max_size=30)),
    st.builds(lambda piece, rest: piece + b"\r\n" + rest, st.sampled_from(PIECES), st.binary(max_size=3)),
    st.builds(lambda header, rest: encode_proxy_header(header) + rest, HEADERS, st.binary(max_size=9)),
)


@given(INPUTS, st.data())
@example(b"PROXY UNKNOWN\r\n", None)
def test_the_verdict_does_not_depend_on_the_cuts(data: bytes, drawn: st.DataObject | None) -> None:
    cuts = range(len(data)) if drawn is None else drawn.draw(st.sets(st.integers(0, len(data)), max_size=5))
    edges = [0, *sorted(cuts), len(data)]
    parser, taken = ProxyHeaderParser(), 0
    try:
        for start, end in itertools.pairwise(edges):
            taken += parser.feed(bytearray(data[start:end]))
    except ProxyHeaderError as error:
        with pytest.raises(ProxyHeaderError, match=f"{error}$"):
            read(data)
    else:
        assert (parser.header, taken) == read(data)


TCP_ONLY = "version 1 has TCP addresses only, and no TLVs"
TWO_HOSTS = "version 1 needs two hosts with their ports, or neither"
TWO_ADDRESSES = "a header has two addresses, or none, and LOCAL has none"
NO_ADDRESSES = "what follows the addresses needs addresses"
FAMILIES = "the addresses are not of one family"
PORT = "a port is not between 0 and 65535"
UNIX_PATH = "a Unix path has at most 108 bytes, and NUL at its front only"
TOO_LONG = "the header is longer than 4096 bytes"
HIGHEST, ZERO = ("1.2.3.4", 65535), ("1.2.3.4", 0)

UNSAYABLE = [
    (ProxyHeader(3), "there is no version 3"),
    (ProxyHeader(0), "there is no version 0"),
    (ProxyHeader(1, local=True), TCP_ONLY),
    (ProxyHeader(1, *V4, datagram=True), TCP_ONLY),
    (ProxyHeader(1, *V4, tlvs=(Tlv(1, b""),)), TCP_ONLY),
    (ProxyHeader(1, *V4, checksum=True), TCP_ONLY),
    (ProxyHeader(1, V4[0], None), TWO_HOSTS),
    (ProxyHeader(1, None, V4[0]), TWO_HOSTS),
    (ProxyHeader(1, b"/a", b"/b"), TWO_HOSTS),
    (ProxyHeader(1, b"/a", V4[0]), TWO_HOSTS),
    (ProxyHeader(1, V4[0], V6[0]), FAMILIES),
    (ProxyHeader(1, V6[0], V4[0]), FAMILIES),
    (ProxyHeader(1, ("localhost", 1), V4[0]), "'localhost' does not appear to be an IPv4 or IPv6 address"),
    (ProxyHeader(1, ("1.2.3.4", 65536), V4[0]), PORT),
    (ProxyHeader(1, V4[0], ("1.2.3.4", 65536)), PORT),
    (ProxyHeader(1, ("1.2.3.4", -1), V4[0]), PORT),
    (ProxyHeader(2, datagram=True), NO_ADDRESSES),
    (ProxyHeader(2, tlvs=(Tlv(1, b""),)), NO_ADDRESSES),
    (ProxyHeader(2, checksum=True), NO_ADDRESSES),
    (ProxyHeader(2, V4[0], None), TWO_ADDRESSES),
    (ProxyHeader(2, None, V4[0]), TWO_ADDRESSES),
    (ProxyHeader(2, *V4, local=True), TWO_ADDRESSES),
    (ProxyHeader(2, V4[0], b"/b"), FAMILIES),
    (ProxyHeader(2, b"/a", V4[0]), FAMILIES),
    (ProxyHeader(2, V4[0], V6[0]), FAMILIES),
    (ProxyHeader(2, b"/a" * 55, b"/b"), UNIX_PATH),
    (ProxyHeader(2, b"/a", b"/b" * 55), UNIX_PATH),
    (ProxyHeader(2, b"/a\0b", b"/b"), UNIX_PATH),
    (ProxyHeader(2, b"/a", b"\0b\0"), UNIX_PATH),
    (ProxyHeader(2, *V4, tlvs=(Tlv(3, b"1234"),)), "Tlv(type=3, value=b'1234') cannot be sent"),
    (ProxyHeader(2, *V4, tlvs=(Tlv(256, b""),)), "Tlv(type=256, value=b'') cannot be sent"),
    (ProxyHeader(2, *V4, tlvs=(Tlv(-1, b""),)), "Tlv(type=-1, value=b'') cannot be sent"),
    (ProxyHeader(2, *V4, tlvs=(Tlv(1, bytes(70000)),)), f"{Tlv(1, bytes(70000))} cannot be sent"),
    (ProxyHeader(2, *V4, tlvs=(Tlv(1, bytes(4066)),)), TOO_LONG),
    (ProxyHeader(2, *V4, tlvs=(Tlv(1, bytes(4096)),)), TOO_LONG),
]


@pytest.mark.parametrize("at", range(len(UNSAYABLE)))
def test_addresses_that_do_not_fit_are_refused(at: int) -> None:
    header, reason = UNSAYABLE[at]
    with pytest.raises(ValueError, match=f"^{re.escape(reason)}$"):
        encode_proxy_header(header)


SAYABLE = {
    "version 1, over IPv4": (
        b"PROXY TCP4 1.2.3.4 1.2.3.4 0 65535\r\n",
        ProxyHeader(1, ZERO, HIGHEST),
    ),
    "version 1, over IPv6": (b"PROXY TCP6 2001:db8::7 2001:db8::1 56324 25\r\n", ProxyHeader(1, *V6)),
    "the lowest and the highest port": (
        block(0x21, 0x11, bytes([1, 2, 3, 4] * 2) + b"\0\0\xff\xff"),
        ProxyHeader(2, ZERO, HIGHEST),
    ),
    "TLVs and a checksum": (
        summed(block(0x21, 0x11, INET + tlv(0, b"a") + tlv(255, b"") + tlv(3, bytes(4))), 38),
        ProxyHeader(2, *V4, tlvs=(Tlv(0, b"a"), Tlv(255, b"")), checksum=True),
    ),
} | {
    name: BLOCKS[name]
    for name in BLOCKS
    if name != "a checksum" and not name.startswith(("unspecified ", "unspecified,", "LOCAL,"))
}


@pytest.mark.parametrize("name", SAYABLE)
def test_a_header_is_written_to_the_byte(name: str) -> None:
    data, header = SAYABLE[name]
    assert encode_proxy_header(header) == data
    assert read(data) == (header, len(data))


def test_the_example_of_the_specification() -> None:
    header = ProxyHeader(1, ("192.168.0.1", 56324), ("192.168.0.11", 443))
    assert encode_proxy_header(header) == b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n"
    assert encode_proxy_header(ProxyHeader(1)) == b"PROXY UNKNOWN\r\n"
    mapped = ProxyHeader(1, ("::ffff:192.0.2.7", 1), ("::ffff:c000:201", 2))
    assert encode_proxy_header(mapped) == b"PROXY TCP6 ::ffff:192.0.2.7 ::ffff:192.0.2.1 1 2\r\n"
