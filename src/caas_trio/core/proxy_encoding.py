"""Writing PROXY headers: `encode_proxy_header`, for proxies, and for tests against one.

No I/O, no clock, no trio.
"""

from __future__ import annotations

import ipaddress

from .proxy_header import (
    ADDRESSES,
    CHECKSUM,
    CRC32C,
    DGRAM,
    FIXED,
    INET,
    INET6,
    LOCAL,
    MAX_HEADER,
    MAX_PORT,
    PROXY,
    SIGNATURE,
    STREAM,
    TLV,
    UNIX,
    Address,
    ProxyHeader,
    Tlv,
    checksum_of,
    host_text,
    path_of,
)


def encode_proxy_header(header: ProxyHeader) -> bytes:
    """Return the bytes that `ProxyHeaderParser` reads back as this header.

    Hosts are written as `ipaddress` does, without a zone.

    Raises:
        ValueError: the header's version cannot express this.
    """
    if header.version == 1:
        return _encode_line(header)
    if header.version == 2:  # noqa: PLR2004
        return _encode_block(header)
    raise ValueError(f"there is no version {header.version}")


def _encode_line(header: ProxyHeader) -> bytes:
    source, destination = header.source, header.destination
    if header.local or header.datagram or header.tlvs or header.checksum:
        raise ValueError("version 1 has TCP addresses only, and no TLVs")
    if source is None and destination is None:
        return b"PROXY UNKNOWN\r\n"
    if not isinstance(source, tuple) or not isinstance(destination, tuple):
        raise ValueError("version 1 needs two hosts with their ports, or neither")  # noqa: TRY004
    family, packed = _pack(source, destination)
    hosts = [host_text(each) for each in ADDRESSES[family].unpack(packed)[:2]]
    protocol = "TCP4" if family == INET else "TCP6"
    return f"PROXY {protocol} {' '.join(hosts)} {source[1]} {destination[1]}\r\n".encode()


def _encode_block(header: ProxyHeader) -> bytes:
    command = LOCAL if header.local else PROXY
    if header.source is None and header.destination is None:
        if header.datagram or header.tlvs or header.checksum:
            raise ValueError("what follows the addresses needs addresses")
        return FIXED.pack(SIGNATURE, command, 0, 0)
    if header.local or header.source is None or header.destination is None:
        raise ValueError("a header has two addresses, or none, and LOCAL has none")
    family, packed = _pack(header.source, header.destination)
    block = packed + b"".join(map(_encode_tlv, header.tlvs))
    if header.checksum:
        block += TLV.pack(CRC32C, CHECKSUM.size) + bytes(CHECKSUM.size)
    if FIXED.size + len(block) > MAX_HEADER:
        raise ValueError(f"the header is longer than {MAX_HEADER} bytes")
    kind = family * 16 + (DGRAM if header.datagram else STREAM)
    encoded = FIXED.pack(SIGNATURE, command, kind, len(block)) + block
    if header.checksum:
        at = len(encoded) - CHECKSUM.size
        encoded = encoded[:at] + checksum_of(encoded, at)
    return encoded


def _encode_tlv(tlv: Tlv) -> bytes:
    if tlv.type == CRC32C or not 0 <= tlv.type < 256 or len(tlv.value) > MAX_HEADER:  # noqa: PLR2004
        raise ValueError(f"{tlv} cannot be sent")
    return TLV.pack(tlv.type, len(tlv.value)) + tlv.value


def _pack(source: Address, destination: Address) -> tuple[int, bytes]:
    """Return the family of two addresses, and both in its layout.

    Raises:
        ValueError: they are not of one family, or no addresses.
    """
    if isinstance(source, bytes) and isinstance(destination, bytes):
        packed = ADDRESSES[UNIX].pack(source, destination)
        if [path_of(packed[:108]), path_of(packed[108:])] != [source, destination]:
            raise ValueError("a Unix path has at most 108 bytes, and NUL at its front only")
        return UNIX, packed
    if isinstance(source, bytes) or isinstance(destination, bytes):
        raise ValueError("the addresses are not of one family")  # noqa: TRY004
    hosts = [ipaddress.ip_address(host) for host, _ in (source, destination)]
    versions = {host.version for host in hosts}
    if len(versions) > 1:
        raise ValueError("the addresses are not of one family")
    if not all(0 <= port <= MAX_PORT for _, port in (source, destination)):
        raise ValueError(f"a port is not between 0 and {MAX_PORT}")
    family = INET if versions == {4} else INET6
    return family, ADDRESSES[family].pack(hosts[0].packed, hosts[1].packed, source[1], destination[1])
