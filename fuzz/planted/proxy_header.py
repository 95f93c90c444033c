"""Bugs in proxy_header."""

from __future__ import annotations

from typing import Final

from .bug import Bug

BUGS: Final = (
    Bug(
        "a PROXY port may begin with zeros",
        "proxy_header",
        '_PORT: Final = re.compile("0|[1-9][0-9]{0,4}")',
        '_PORT: Final = re.compile("[0-9]{1,5}")',
    ),
    Bug(
        "a PROXY port 65536 is accepted",
        "proxy_header",
        "MAX_PORT: Final = 65535",
        "MAX_PORT: Final = 65536",
    ),
    Bug(
        "what int() takes for a port is one",
        "proxy_header",
        'port = rb"[0-9]{0,5}"',
        'port = rb"[0-9+_]{0,5}"',
    ),
    Bug(
        "two spaces count as one",
        "proxy_header",
        'pattern.replace(b"_", rb"(?<! ) ")',
        'pattern.replace(b"_", rb" {1,2}")',
    ),
    Bug(
        "a line may end with LF alone",
        "proxy_header",
        "(?:(?<! )\\r\\n?)?",
        "(?:(?<! )\\r?\\n?)?",
    ),
    Bug(
        "an address of the other family is taken",
        "proxy_header",
        "return _read_tcp(data, _TCP4, ipaddress.IPv4Address)",
        "return _read_tcp(data, _TCP6, ipaddress.ip_address)",
    ),
    Bug(
        "a wrong address raises a foreign exception",
        "proxy_header",
        "except ValueError:\n        raise ProxyHeaderError",
        "except KeyError:\n        raise ProxyHeaderError",
    ),
    Bug(
        "the line of an unknown protocol has no bound",
        "proxy_header",
        "if len(data) >= _MAX_LINE:",
        "if len(data) >= MAX_HEADER:",
    ),
    Bug(
        "the line of an unknown protocol may have 108 bytes",
        "proxy_header",
        "_MAX_LINE: Final = 107",
        "_MAX_LINE: Final = 108",
    ),
    Bug(
        "UNKNOWN ends at the first LF",
        "proxy_header",
        'end = data.find(b"\\r\\n", 0, _MAX_LINE) + 2',
        'end = (data.find(b"\\n", 0, _MAX_LINE) or 0) + 1 + (b"\\n" in data)',
    ),
    Bug(
        "an unknown transport is taken",
        "proxy_header",
        "if family > UNIX or transport > DGRAM:",
        "if family > UNIX:",
    ),
    Bug(
        "the addresses of a short header are read behind it",
        "proxy_header",
        "if length < least:",
        "if length < 0:",
    ),
    Bug(
        "the length of a header has no bound",
        "proxy_header",
        "if end > MAX_HEADER:",
        "if end > 2**17:",
    ),
    Bug(
        "LOCAL is taken for a client's connection",
        "proxy_header",
        "(ProxyHeader(2, local=True), end)",
        "(ProxyHeader(2), end)",
    ),
    Bug(
        "a TLV may run over the end",
        "proxy_header",
        "if at + length > len(header):",
        "if at + length > len(header) + 1:",
    ),
    Bug(
        "half a TLV is overlooked",
        "proxy_header",
        'if at + TLV.size > len(header):\n            raise ProxyHeaderError("a TLV that is cut off")',
        "if at + TLV.size > len(header):\n            break",
    ),
    Bug(
        "a checksum is not looked at",
        "proxy_header",
        "if length != CHECKSUM.size or value != checksum_of(header, at):",
        "if length != CHECKSUM.size:",
    ),
    Bug(
        "the checksum is over its own value",
        "proxy_header",
        "header[:at] + bytes(CHECKSUM.size) + header[at + CHECKSUM.size :]",
        "header",
    ),
    Bug(
        "the source's port is the destination's",
        "proxy_header",
        "(host_text(source), ports[0]) if ports",
        "(host_text(source), ports[1]) if ports",
    ),
    Bug(
        "an abstract Unix address is lost",
        "proxy_header",
        'return padded.rstrip(b"\\0") if padded.startswith(b"\\0") else',
        "return",
    ),
    Bug(
        "more is taken than the header",
        "proxy_header",
        "return length - held",
        "return len(chunk)",
    ),
    Bug(
        "what was fed before counts again",
        "proxy_header",
        "return length - held",
        "return length",
    ),
    Bug(
        "a header of just the most bytes is refused",
        "proxy_header",
        "if end > MAX_HEADER:",
        "if end >= MAX_HEADER:",
    ),
    Bug(
        "the last port is refused",
        "proxy_header",
        "max(ports) > MAX_PORT",
        "max(ports) >= MAX_PORT",
    ),
    Bug(
        "an empty TLV at the end is refused",
        "proxy_header",
        "if at + TLV.size > len(header):",
        "if at + TLV.size >= len(header):",
    ),
    Bug(
        "a line of just the most bytes is refused",
        "proxy_header",
        'data.find(b"\\r\\n", 0, _MAX_LINE)',
        'data.find(b"\\r\\n", 0, _MAX_LINE - 1)',
    ),
    Bug(
        "a header of a byte more than the addresses is all that is read",
        "proxy_header",
        "return end if len(data) >= end else None",
        "return end if len(data) >= end or len(data) == MAX_HEADER - 1 else None",
    ),
)
