"""PROXY headers for the right server: read as blocking code reads, nothing shared with the package."""

from __future__ import annotations

import ipaddress
import re
import socket

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LONGEST_LINE = 107
LONGEST_BLOCK = 4096
SIZES = {1: 12, 2: 36, 3: 216}


class Headers:
    """Takes the header off the front of a connection's input; a wrong server overrides a method."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def take(self) -> bool:
        """Return whether there was a right header; behind it nothing has been read."""
        first = self.read(1)
        if first == b"P":
            return self.take_line(first)
        return self.take_block(first)

    def read(self, size: int) -> bytes:
        """Return `size` bytes, or fewer at the end of input."""
        data = b""
        while len(data) < size and (more := self.sock.recv(size - len(data))):
            data += more
        return data

    def take_line(self, line: bytes) -> bool:
        """Take a header of version 1."""
        while not self.ends(line):
            byte = self.read(1)
            line += byte
            if not byte or len(line) > LONGEST_LINE or not b"PROXY ".startswith(line[:6]):
                return False
        return len(line) <= LONGEST_LINE and self.line_is_right(line)

    def ends(self, line: bytes) -> bool:
        """Return whether a line is complete."""
        return line.endswith(b"\r\n")

    def line_is_right(self, line: bytes) -> bool:
        """Return whether a complete line is a header."""
        word, *fields = line.removesuffix(b"\r\n").removeprefix(b"PROXY ").split(b" ")
        if word == b"UNKNOWN":
            return self.unknown_is_served()
        if word not in (b"TCP4", b"TCP6") or len(fields) != 4:
            return False
        hosts_are = all(self.host_is_right(field, 4 if word == b"TCP4" else 6) for field in fields[:2])
        return hosts_are and all(map(self.port_is_right, fields[2:]))

    def unknown_is_served(self) -> bool:
        """Return whether a client without an address is served."""
        return True

    def host_is_right(self, text: bytes, version: int) -> bool:
        """Return whether a text is an address."""
        try:
            return ipaddress.ip_address(text.decode("ascii")).version == version
        except ValueError:
            return False

    def port_is_right(self, text: bytes) -> bool:
        """Return whether a text is a port."""
        return bool(re.fullmatch(rb"0|[1-9][0-9]{0,4}", text)) and int(text) <= 65535

    def take_block(self, block: bytes) -> bool:
        """Take a header of version 2."""
        while len(block) < 16:
            byte = self.read(1)
            block += byte
            if not byte or not SIGNATURE.startswith(block[:12]):
                return False
        command, family = block[12], block[13]
        length = int.from_bytes(block[14:16], "big")
        if command not in (0x20, 0x21) or length > LONGEST_BLOCK - 16:
            return False
        if command == 0x21 and not (self.family_is_known(family) and length >= self.size(family)):
            return False
        block += self.read(length)
        if command == 0x20:
            return self.local_is_served()
        return len(block) == 16 + length and (not self.size(family) or self.tlvs_are_right(block, family))

    def family_is_known(self, family: int) -> bool:
        """Return whether there are such a family and transport."""
        return family >> 4 <= 3 and family & 15 <= 2

    def size(self, family: int) -> int:
        """Return how many bytes the addresses take."""
        return SIZES.get(family >> 4, 0) if family & 15 else 0

    def local_is_served(self) -> bool:
        """Return whether the proxy itself is served."""
        return True

    def tlvs_are_right(self, block: bytes, family: int) -> bool:
        """Return whether what stands behind the addresses makes sense."""
        at = 16 + self.size(family)
        while at + 3 <= len(block):
            size = int.from_bytes(block[at + 1 : at + 3], "big")
            value = block[at + 3 : at + 3 + size]
            if block[at] == 3 and value != checksum(block[: at + 3] + bytes(4) + block[at + 7 :]):
                return False
            at += 3 + size
        return at == len(block)


def checksum(data: bytes) -> bytes:
    """Return the CRC-32C of RFC 4960 appendix B, bit by bit."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    return (register ^ 0xFFFFFFFF).to_bytes(4, "big")
