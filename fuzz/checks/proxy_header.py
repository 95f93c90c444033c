"""PROXY headers, compared with a second implementation, which reads from left to right, a byte at a time.

The first byte of an input says how the rest is cut (once into a few pieces, once into single bytes from
somewhere on), and whether length and checksum are put right first, as no fuzzer can guess them. The second
byte says which size it is padded to, at and beside the bounds. 0xFF as the first byte begins values
separated by more such bytes: a header to be written.
"""

from __future__ import annotations

import binascii
import socket
from typing import Final, NamedTuple

from caas_trio.core.errors import ProxyHeaderError
from caas_trio.core.proxy_encoding import encode_proxy_header
from caas_trio.core.proxy_header import Address, ProxyHeader, ProxyHeaderParser, Tlv

from .chunks import cut, hand_over
from .reasons import PROXY_HEADER

MODULES: Final = ("caas_trio.core.proxy_header", "caas_trio.core.proxy_encoding")

_VALUES: Final = 0xFF
_MENDED: Final = 0x80
#: So many bytes at a time come one by one, which keeps the rate up.
_DRIPS: Final = 8
_MAX_HEADER: Final = 4096
_MAX_LINE: Final = 107
#: The sizes that inputs are padded to; by the second byte, of which most values mean none.
_SIZES: Final = (
    *range(_MAX_LINE - 1, _MAX_LINE + 2),
    *range(_MAX_HEADER - 1, _MAX_HEADER + 2),
    *(16 + size for size in (12, 36, 216)),
)
_SIGNATURE: Final = binascii.unhexlify("0d0a0d0a000d0a515549540a")
_BEGINNINGS: Final = (
    b"PROXY TCP4 ",
    b"PROXY TCP6 ",
    b"PROXY UNKNOWN ",
    b"PROXY UNKNOWN\r\n",
    _SIGNATURE + b"\x20",
    _SIGNATURE + b"\x21",
)
_ADDRESSES: Final = {1: 12, 2: 36, 3: 216}
_DIGITS: Final = frozenset(b"0123456789")
_LETTERS: Final = {4: _DIGITS | {ord(".")}, 6: _DIGITS | frozenset(b"abcdefABCDEF:.")}


class _Told(NamedTuple):
    """The expected result: after how many bytes there is a verdict, and the header; neither before."""

    at: int | None = None
    header: ProxyHeader | None = None


def check(data: bytes) -> None:
    """Read bytes, or write a header out of values."""
    if not data:
        return
    choice, rest = data[0], data[2:]
    if choice == _VALUES:
        _write(data[1:].split(b"\xff"))
        return
    size = data[1] if len(data) > 1 else 0
    if 0 < size <= len(_SIZES):
        rest = _padded(rest, _SIZES[size - 1])
    if choice & _MENDED:
        rest = _mended(rest)
    told = _told(rest)
    _read([rest], told, choice)
    _read(_dripping(rest, (choice >> 2 & 31) * _DRIPS), told, choice)
    _read(cut(rest, choice % 4), told, choice)
    if 0 < size <= len(_SIZES):
        _read(_dripping(rest, len(rest) - _DRIPS), told, choice)
    if told.header is not None:
        written = encode_proxy_header(told.header)
        assert _told(written) == _Told(len(written), told.header), f"{told.header} became {written!r}"


def _read(pieces: list[bytes], told: _Told, memory: int) -> None:
    """Feed pieces, and hold what comes of them against what is due."""
    parser = ProxyHeaderParser()
    fed = taken = 0
    for piece in pieces:
        complete = parser.header is not None
        try:
            taken += hand_over(parser.feed, piece, memory % 3)
        except ProxyHeaderError as error:
            assert told.header is None, f"refused, and is {told.header}: {error}"
            assert told.at is not None, f"refused too early, after {fed + len(piece)}: {error}"
            assert fed < told.at <= fed + len(piece), f"refused after {fed + len(piece)}, not {told.at}"
            assert PROXY_HEADER.fullmatch(error.reason), f"no reason is {error.reason!r}"
            return
        fed += len(piece)
        assert complete or taken <= fed, f"took {taken} bytes of {fed}"
        assert told.at is None or told.header is not None or fed < told.at, f"not refused at {told.at}"
        assert parser.header is not None or taken == fed, "a byte of the header was left"
        over = told.header is not None and fed >= (told.at or 0)
        assert (parser.header is not None) is over, f"after {fed}: {parser.header}"
    assert parser.header == told.header, f"read {parser.header} instead of {told.header}"
    if told.header is not None:
        assert taken == told.at, f"took {taken} bytes of {told.at}"
        parser.end_of_input()
        return
    try:
        parser.end_of_input()
    except ProxyHeaderError as error:
        assert PROXY_HEADER.fullmatch(error.reason), f"no reason is {error.reason!r}"
        return
    raise AssertionError("the end came too early, and nothing was said")


def _dripping(data: bytes, start: int) -> list[bytes]:
    """Cut data so that some bytes come one at a time, from a place on."""
    end = start + _DRIPS
    drops = [data[at : at + 1] for at in range(start, min(end, len(data)))]
    return [piece for piece in (data[:start], *drops, data[end:]) if piece]


def _told(data: bytes) -> _Told:
    """Return what these bytes are."""
    begun = next((each for each in _BEGINNINGS if data.startswith(each)), None)
    if begun is None:
        right = max(n for each in _BEGINNINGS for n in range(len(each)) if data[:n] == each[:n])
        return _Told() if right == len(data) else _Told(right + 1)
    if begun.startswith(_SIGNATURE):
        return _told_block(data)
    if begun.startswith(b"PROXY UNKNOWN"):
        return _told_unknown(data)
    return _told_line(data, 4 if begun == _BEGINNINGS[0] else 6)


def _told_unknown(data: bytes) -> _Told:
    for at in range(len(b"PROXY UNKNOWN"), _MAX_LINE):
        if at >= len(data):
            return _Told()
        if data[at - 1 : at + 1] == b"\r\n":
            return _Told(at + 1, ProxyHeader(1))
    return _Told(_MAX_LINE)


def _told_line(data: bytes, family: int) -> _Told:
    fields = [b""]
    at = len(_BEGINNINGS[0])
    while at < len(data):
        byte = data[at]
        at += 1
        allowed, limit = (_LETTERS[family], 15 if family == 4 else 39) if len(fields) < 3 else (_DIGITS, 5)
        if byte in allowed and len(fields[-1]) < limit:
            fields[-1] += bytes([byte])
        elif byte == ord(" ") and fields[-1] and len(fields) < 4:
            fields.append(b"")
        elif byte == ord("\r") and fields[-1] and len(fields) == 4:
            if at == len(data):
                return _Told()
            return _told_addresses(fields, family, at + 1) if data[at] == ord("\n") else _Told(at + 1)
        else:
            return _Told(at)
    return _Told()


def _told_addresses(fields: list[bytes], family: int, at: int) -> _Told:
    kind = socket.AF_INET if family == 4 else socket.AF_INET6
    ends: list[Address] = []
    for host, port in ((fields[0], fields[2]), (fields[1], fields[3])):
        try:
            packed = socket.inet_pton(kind, host.decode())
        except OSError:
            return _Told(at)
        if str(int(port)) != port.decode() or int(port) > 65535:
            return _Told(at)
        ends.append((_host(packed), int(port)))
    return _Told(at, ProxyHeader(1, ends[0], ends[1]))


def _told_block(data: bytes) -> _Told:
    local = data[12] == 0x20
    family, transport = (data[13] >> 4, data[13] & 15) if len(data) > 13 else (0, 0)
    if not local and not (family <= 3 and transport <= 2):
        return _Told(14)
    if len(data) < 16:
        return _Told()
    size = data[14] * 256 + data[15]
    need = 0 if local or not transport else _ADDRESSES.get(family, 0)
    if size < need or 16 + size > _MAX_HEADER:
        return _Told(16)
    if len(data) < 16 + size:
        return _Told()
    if not need:
        return _Told(16 + size, ProxyHeader(2, local=local))
    return _told_ends(data[: 16 + size], need)


def _told_ends(header: bytes, need: int) -> _Told:
    end, family = len(header), header[13] >> 4
    half = (need - 4) // 2 if family < 3 else 108
    packed = header[16 : 16 + half], header[16 + half : 16 + 2 * half]
    ports = [int.from_bytes(header[at : at + 2], "big") for at in (16 + 2 * half, 18 + 2 * half)]
    ends: list[Address] = [
        (_host(each), port) if family < 3 else _path(each) for each, port in zip(packed, ports, strict=True)
    ]
    tlvs = _told_tlvs(header, 16 + need)
    if tlvs is None:
        return _Told(end)
    kept = tuple(Tlv(kind, value) for kind, value, _ in tlvs if kind != 3)
    summed = len(kept) < len(tlvs)
    datagram = header[13] & 15 == 2
    return _Told(end, ProxyHeader(2, ends[0], ends[1], datagram=datagram, tlvs=kept, checksum=summed))


def _told_tlvs(header: bytes, at: int) -> list[tuple[int, bytes, int]] | None:
    """Return type, value and place of what stands behind the addresses; None if something is wrong."""
    tlvs = []
    while at < len(header):
        size = int.from_bytes(header[at + 1 : at + 3], "big")
        value = header[at + 3 : at + 3 + size]
        if at + 3 > len(header) or len(value) < size:
            return None
        tlvs.append((header[at], value, at + 3))
        at += 3 + size
    sums = [(value, place) for kind, value, place in tlvs if kind == 3]
    for value, place in sums:
        zeroed = header[:place] + bytes(4) + header[place + 4 :]
        if len(value) != 4 or value != _crc32c(zeroed).to_bytes(4, "big"):
            return None
    return tlvs


def _divided(byte: int) -> int:
    """Divide a byte by the polynomial of RFC 4960 appendix B, bit by bit as it is defined."""
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    return byte


_DIVIDED: Final = tuple(map(_divided, range(256)))


def _crc32c(data: bytes) -> int:
    register = 0xFFFFFFFF
    for byte in data:
        register = _DIVIDED[(register ^ byte) & 0xFF] ^ register >> 8
    return register ^ 0xFFFFFFFF


def _host(packed: bytes) -> str:
    """Return an address as the machine writes it, in the one form that all Pythons write too."""
    if len(packed) == 4:
        return socket.inet_ntop(socket.AF_INET, packed)
    text = socket.inet_ntop(socket.AF_INET6, packed)
    if "." in text and not text.startswith("::ffff:"):  # an IPv4 address of the old, compatible kind
        high, low = (packed[at] * 256 + packed[at + 1] for at in (12, 14))
        return f"::{high:x}:{low:x}"
    return text


def _path(padded: bytes) -> bytes:
    if padded[0] == 0:
        return padded.rstrip(b"\0")
    return padded[: (padded + b"\0").index(b"\0")]


def _padded(data: bytes, size: int) -> bytes:
    """Fill a header up: version 2 with a TLV that says nothing, a line before its end."""
    missing = size - len(data)
    if missing <= 0:
        return data
    if not data.startswith(_SIGNATURE):
        end = len(data) - 2 * data.endswith(b"\r\n")
        return data[:end] + b"p" * missing + data[end:]
    data = data.ljust(16, b"\0")[:size]
    missing = size - len(data)
    return data + (b"\4" + (missing - 3).to_bytes(2, "big") if missing >= 3 else b"").ljust(missing, b"\0")


def _mended(data: bytes) -> bytes:
    """Correct the length of a header of version 2 that has all its bytes, and its first checksum."""
    if not data.startswith(_SIGNATURE) or not 16 <= len(data) < 16 + (1 << 16):
        return data
    data = data[:14] + (len(data) - 16).to_bytes(2, "big") + data[16:]
    at = 16 + _ADDRESSES.get(data[13] >> 4, 0)
    while at + 3 <= len(data):
        size = int.from_bytes(data[at + 1 : at + 3], "big")
        if data[at] == 3 and size == 4 and at + 7 <= len(data):
            zeroed = data[: at + 3] + bytes(4) + data[at + 7 :]
            return zeroed[: at + 3] + _crc32c(zeroed).to_bytes(4, "big") + data[at + 7 :]
        at += 3 + size
    return data


def _write(values: list[bytes]) -> None:
    """Write a header out of values: flags, two addresses with their ports, TLVs."""
    flags, *rest = [*values, *[b""] * 5]
    bits = int.from_bytes(flags[:2], "big")
    addresses = [_address(*rest[n : n + 2], unix=bool(bits & 1 << n)) for n in (0, 2)]
    header = ProxyHeader(
        version=bits >> 4 & 3,
        source=addresses[0],
        destination=addresses[1],
        local=bool(bits & 0x100),
        datagram=bool(bits & 0x200),
        checksum=bool(bits & 0x400),
        tlvs=tuple(Tlv(each[0] - (bits >> 11), each[1:]) for each in rest[4:] if each),
    )
    objection = _objection(header)
    try:
        written = encode_proxy_header(header)
    except ValueError as error:
        assert objection, f"{header} was refused: {error}"
        assert str(error).startswith(objection), f"refused for {error!r} instead of {objection!r}"
        return
    assert not objection, f"{header} was written, although {objection}"
    told = _told(written)
    assert told.at == len(written), f"{header} became {written!r}"
    hosts = [address for address in addresses if isinstance(address, tuple)]
    if all("%" not in host and _is_plain(host) for host, _ in hosts):
        assert told.header == header, f"{header} became {told.header}"


def _objection(header: ProxyHeader) -> str:
    """Return how the reason begins why a header cannot be written; "" if it can."""
    ends = header.source, header.destination
    more = header.datagram or header.checksum or bool(header.tlvs)
    if header.version not in {1, 2}:
        return f"there is no version {header.version}"
    if header.version == 1:
        if header.local or more:
            return "version 1 has TCP addresses only, and no TLVs"
        if ends != (None, None) and not all(isinstance(end, tuple) for end in ends):
            return "version 1 needs two hosts with their ports, or neither"
    if ends == (None, None):
        return "what follows the addresses needs addresses" if more else ""
    if header.local or None in ends:
        return "a header has two addresses, or none, and LOCAL has none"
    return _objection_to_ends(*(end for end in ends if end is not None)) or _objection_to_tlvs(header)


def _objection_to_ends(*ends: Address) -> str:
    paths = [end for end in ends if isinstance(end, bytes)]
    hosts = [end for end in ends if isinstance(end, tuple)]
    if len(paths) == 1:
        return "the addresses are not of one family"
    for path in paths:
        if len(path) > 108 or (path.endswith(b"\0") if path[:1] == b"\0" else b"\0" in path):
            return "a Unix path has at most 108 bytes, and NUL at its front only"
    families = [_family(host) for host, _ in hosts]
    if None in families:
        return f"{hosts[families.index(None)][0]!r} does not appear to be"
    if len(set(families)) > 1:
        return "the addresses are not of one family"
    return "" if all(port in range(65536) for _, port in hosts) else "a port is not between 0 and 65535"


def _objection_to_tlvs(header: ProxyHeader) -> str:
    size = 7 * header.checksum
    for tlv in header.tlvs:
        if tlv.type not in {*range(256)} - {3} or len(tlv.value) > _MAX_HEADER:
            return f"{tlv} cannot be sent"
        size += 3 + len(tlv.value)
    match header.source:
        case (host, _):
            ends = _ADDRESSES[2 if ":" in host else 1]
        case _:
            ends = _ADDRESSES[3]
    return f"the header is longer than {_MAX_HEADER} bytes" if 16 + ends + size > _MAX_HEADER else ""


def _family(host: str) -> int | None:
    """Return the family of an address, which may have a zone in IPv6; None if it is none."""
    plain, percent, zone = host.partition("%")
    family = socket.AF_INET6 if ":" in plain else socket.AF_INET
    if percent and (family == socket.AF_INET or not zone or "%" in zone):
        return None
    try:
        socket.inet_pton(family, plain)
    except (OSError, ValueError):
        return None
    return family


def _address(where: bytes, port: bytes, *, unix: bool) -> Address | None:
    if unix:
        return where
    return (where.decode("latin-1"), int.from_bytes(port[:3], "big", signed=True)) if where else None


def _is_plain(host: str) -> bool:
    """Whether an address is written as `_host` writes it."""
    kind = socket.AF_INET6 if ":" in host else socket.AF_INET
    return _host(socket.inet_pton(kind, host)) == host
