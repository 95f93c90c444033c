r"""The PROXY protocol, versions 1 and 2: whom a proxy connects for, sent before anything else.

    PROXY TCP4 192.0.2.7 192.0.2.1 56324 25\r\n          version 1
    \r\n\r\n\0\r\nQUIT\n !\x11 length addresses TLVs     version 2

As in haproxy's doc/proxy-protocol.txt of 2026-04-27, whose sections are cited. The header is read to the
letter: "any sequence which does not exactly match the protocol must be discarded" (2.1). Where
the text leaves a choice:

* An IPv6 address may end in dotted digits, since haproxy itself writes an IPv4 client of an IPv6 address so.
* A `::` is taken wherever it stands for zeroes, not for the most of them only: the address is the same.
* A version 2 header is at most `MAX_HEADER` bytes long; the length field would allow 65551.
* For LOCAL the block is discarded, "including the family which is ignored" (2.2); so it is for an
  unspecified family or transport, which does not tell where addresses end.
* TLVs are passed on unread, except the checksum (2.2.3), which is verified. There is one at most.

Raises `ProxyHeaderError`; anything else that escapes `ProxyHeaderParser` is a bug.

No I/O, no clock, no trio.
"""

from __future__ import annotations

import ipaddress
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from .buffering import Chunk
from .errors import ProxyHeaderError

#: The longest header that is read, of either version. nginx has the same bound.
MAX_HEADER: Final = 4096
#: Section 2.1: the longest line of version 1, its CRLF included.
_MAX_LINE: Final = 107

SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
LOCAL: Final = b"\x20"
PROXY: Final = b"\x21"
STREAM: Final = 1
DGRAM: Final = 2
CRC32C: Final = 3
MAX_PORT: Final = 65535

#: The fixed part of version 2: the signature, version and command, family and transport, and how long the
#: rest is.
FIXED: Final = struct.Struct("!12scBH")
#: Where family and transport are.
_KIND: Final = slice(13, 14)
#: The addresses of version 2, by family.
INET: Final = 1
INET6: Final = 2
UNIX: Final = 3
ADDRESSES: Final = {
    INET: struct.Struct("!4s4sHH"),
    INET6: struct.Struct("!16s16sHH"),
    UNIX: struct.Struct("!108s108s"),
}
TLV: Final = struct.Struct("!BH")
CHECKSUM: Final = struct.Struct("!I")

Address: TypeAlias = tuple[str, int] | bytes
"""As the socket module has it: host and port, or the path of a Unix socket (abstract: behind a NUL)."""


class Tlv(NamedTuple):
    """A type and a value, as section 2.2 registers them."""

    type: int
    value: bytes


@dataclass(frozen=True)
class ProxyHeader:
    """The content of a PROXY header.

    Attributes:
        version: 1 or 2.
        source: the client's address; None if the header gives none, as with UNKNOWN and LOCAL: then
            the connection's own addresses count.
        destination: the address that the client connected to; None in the same cases.
        local: whether the proxy connects for itself, as for a health check.
        datagram: whether the client came by UDP or by Unix datagrams.
        tlvs: the further fields of version 2, in order, without the checksum.
        checksum: whether there is one; it has been verified.
    """

    version: int
    source: Address | None = None
    destination: Address | None = None
    local: bool = False
    datagram: bool = False
    tlvs: tuple[Tlv, ...] = ()
    checksum: bool = False


class ProxyHeaderParser:
    """Reads one header, however it is cut into chunks.

    Its verdict depends on the bytes alone. It is given as early as the protocol lets it: for bytes
    that begin no header at the first that is wrong, for addresses once all of them are there.

    Attributes:
        header: the header; None until it is complete.
    """

    __slots__ = ("_received", "header")

    def __init__(self) -> None:
        self.header: ProxyHeader | None = None
        self._received = b""

    def feed(self, chunk: Chunk) -> int:
        """Take in what one read gave; return how many bytes at its front belong to the header.

        That is all of them while `header` is None, and none once it was complete before. What
        belongs to the header is copied; the rest is the connection's.

        Raises:
            ProxyHeaderError: this is no header; so is whatever is fed after it.
        """
        if self.header is not None:
            return 0
        held = len(self._received)
        self._received = (self._received + bytes(chunk))[:MAX_HEADER]
        complete = _read(self._received)
        if complete is None:
            return len(chunk)
        self.header, length = complete
        return length - held

    def end_of_input(self) -> None:
        """Note that nothing more will come.

        Raises:
            ProxyHeaderError: the header is not complete.
        """
        if self.header is None:
            raise ProxyHeaderError("the input ended before it was complete")


_Complete: TypeAlias = tuple[ProxyHeader, int]


def _read(data: bytes) -> _Complete | None:
    """Return the header at the front of `data` and its length; None if its end is still to come."""
    for beginning, read in _READERS.items():
        if data.startswith(beginning):
            return read(data)
    if not any(beginning.startswith(data) for beginning in _READERS):
        raise ProxyHeaderError("nothing that begins like one")
    return None


def _shape(beginning: bytes, address: bytes) -> re.Pattern[bytes]:
    """Return what a line of version 1 looks like, whole or so far: exactly one space between two fields."""
    port = rb"[0-9]{0,5}"
    pattern = rb"%s%s(?:_%s(?:_%s(?:_%s(?:(?<! )\r\n?)?)?)?)?" % (beginning, address, address, port, port)
    return re.compile(pattern.replace(b"_", rb"(?<! ) "))


_TCP4: Final = _shape(b"PROXY TCP4 ", rb"[0-9.]{0,15}")
_TCP6: Final = _shape(b"PROXY TCP6 ", rb"[0-9A-Fa-f:.]{0,39}")
_PORT: Final = re.compile("0|[1-9][0-9]{0,4}")


def _read_tcp4(data: bytes) -> _Complete | None:
    return _read_tcp(data, _TCP4, ipaddress.IPv4Address)


def _read_tcp6(data: bytes) -> _Complete | None:
    return _read_tcp(data, _TCP6, ipaddress.IPv6Address)


def _read_tcp(
    data: bytes,
    shape: re.Pattern[bytes],
    family: type[ipaddress.IPv4Address | ipaddress.IPv6Address],
) -> _Complete | None:
    """Read a line with addresses, once its CRLF is there, which section 2.1 says to wait for."""
    end = data.find(b"\n") + 1
    line = data[:end] if end else data
    if not shape.fullmatch(line):
        raise ProxyHeaderError("not a line of version 1")
    if not end:
        return None
    _, _, source, destination, source_port, destination_port = line.decode().split()
    try:
        hosts = [host_text(family(text).packed) for text in (source, destination)]
    except ValueError:
        raise ProxyHeaderError("an invalid address") from None
    ports = [int(port) for port in (source_port, destination_port) if _PORT.fullmatch(port)]
    if len(ports) < len(hosts) or max(ports) > MAX_PORT:
        raise ProxyHeaderError("an invalid port")
    return ProxyHeader(1, (hosts[0], ports[0]), (hosts[1], ports[1])), end


def _read_unknown(data: bytes) -> _Complete | None:
    """Read a line without addresses: all before the CRLF is ignored (2.1)."""
    line, crlf, _ = data[:_MAX_LINE].partition(b"\r\n")
    if crlf:
        return ProxyHeader(1), len(line + crlf)
    if len(data) >= _MAX_LINE:
        raise ProxyHeaderError(f"no CRLF within {_MAX_LINE} bytes")
    return None


def _read_local(data: bytes) -> _Complete | None:
    end = _end_of_block(data, least=0)
    return None if end is None else (ProxyHeader(2, local=True), end)


def _read_proxy(data: bytes) -> _Complete | None:
    family, transport = divmod(int.from_bytes(data[_KIND]), 16)  # of nothing, while it is still to come: 0
    if family > UNIX or transport > DGRAM:
        raise ProxyHeaderError("an unknown address family or transport")
    layout = ADDRESSES[family] if family and transport else None
    end = _end_of_block(data, least=layout.size if layout else 0)
    if end is None:
        return None
    if layout is None:
        return ProxyHeader(2), end
    source, destination, *ports = layout.unpack_from(data, FIXED.size)
    tlvs, checksum = _tlvs(data[:end], FIXED.size + layout.size)
    return ProxyHeader(
        2,
        (host_text(source), ports[0]) if ports else path_of(source),
        (host_text(destination), ports[1]) if ports else path_of(destination),
        datagram=transport == DGRAM,
        tlvs=tlvs,
        checksum=checksum,
    ), end


#: How a header may begin, and what reads it from there on.
_READERS: Final[dict[bytes, Callable[[bytes], _Complete | None]]] = {
    b"PROXY TCP4 ": _read_tcp4,
    b"PROXY TCP6 ": _read_tcp6,
    b"PROXY UNKNOWN ": _read_unknown,
    b"PROXY UNKNOWN\r\n": _read_unknown,
    SIGNATURE + LOCAL: _read_local,
    SIGNATURE + PROXY: _read_proxy,
}


def _end_of_block(data: bytes, least: int) -> int | None:
    """Return the length of a version 2 header; None if it is not all there."""
    if len(data) < FIXED.size:
        return None
    _, _, _, length = FIXED.unpack_from(data)
    if length < least:
        raise ProxyHeaderError("shorter than its addresses")
    end = FIXED.size + int(length)
    if end > MAX_HEADER:
        raise ProxyHeaderError(f"longer than {MAX_HEADER} bytes")
    return end if len(data) >= end else None


def _tlvs(header: bytes, at: int) -> tuple[tuple[Tlv, ...], bool]:
    """Return what stands behind the addresses of a header, and whether a checksum was among it."""
    tlvs = []
    checksum = False
    while at < len(header):
        if at + TLV.size > len(header):
            raise ProxyHeaderError("a TLV that is cut off")
        kind, length = TLV.unpack_from(header, at)
        at += TLV.size
        if at + length > len(header):
            raise ProxyHeaderError("a TLV that is cut off")
        value = header[at : at + length]
        if kind == CRC32C:
            if checksum:  # one is what 2.2.3 speaks of, and each costs a look at every byte
                raise ProxyHeaderError("a second checksum")
            if length != CHECKSUM.size or value != checksum_of(header, at):
                raise ProxyHeaderError("a wrong checksum")
            checksum = True
        else:
            tlvs.append(Tlv(kind, value))
        at += length
    return tuple(tlvs), checksum


def host_text(packed: bytes) -> str:
    """Return an address as text, an IPv4 one in an IPv6 one as sockets write it."""
    address = ipaddress.ip_address(packed)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(address) if mapped is None else f"::ffff:{mapped}"


def path_of(padded: bytes) -> bytes:
    """Return the path of a Unix socket as the socket module has it, without what fills it up."""
    return padded.rstrip(b"\0") if padded.startswith(b"\0") else padded.partition(b"\0")[0]


def checksum_of(header: bytes, at: int) -> bytes:
    """Return the checksum of a header whose checksum stands at `at` and counts as zero (2.2.3)."""
    return CHECKSUM.pack(crc32c(header[:at] + bytes(CHECKSUM.size) + header[at + CHECKSUM.size :]))


def _crc32c_step(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value


_CRC32C_STEPS: Final = tuple(map(_crc32c_step, range(256)))


def crc32c(data: bytes) -> int:
    """Return the CRC-32C of some bytes, as in RFC 4960 appendix B."""
    register = 0xFFFFFFFF
    for byte in data:
        register = register >> 8 ^ _CRC32C_STEPS[(register ^ byte) & 0xFF]
    return register ^ 0xFFFFFFFF
