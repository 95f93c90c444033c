"""PROXY: a header before everything else, where one is declared; as in haproxy's doc/proxy-protocol.txt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from caas_trio.conformance import cuts
from caas_trio.conformance.case import Case, Script
from caas_trio.conformance.cuts import WHOLE, Cut
from caas_trio.conformance.oracle import Part, replies
from caas_trio.conformance.profile import Need, Profile
from caas_trio.conformance.script import (
    Connect,
    EndInput,
    Expect,
    ExpectEnd,
    ExpectRefusal,
    Pause,
    Send,
    Silence,
    Step,
)
from caas_trio.core.session import First

from .common import proof, served
from .watching import WATCH_S

_PIECES: Final = ("PROXY-2.in-pieces/thirds",)
#: What is said before the header is there is said to those who are refused as well.
_SILENT: Final = ("PROXY-3.all-but-one-byte/whole",)
_SILENT_LATE: Final = (*_SILENT, "PROXY-3.nothing/whole", "PROXY-3.all-but-one-byte-late/whole")
_QUIET: Final = 0.3
_PROXIED: Final = (Need.STREAM, Need.PROXIED)
_V1: Final = (Need.STREAM, Need.PROXY_1)
_V2: Final = (Need.STREAM, Need.PROXY_2)

#: A header of version 1 without an end might be waited for up to its longest.
_ENOUGH: Final = b"n" * 107 + b"\n"
_LINE: Final = b"BEHIND A PROXY\n"
_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_INET: Final = b"\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x00\x19"
_INET6: Final = (b"\x20\x01\x0d\xb8" + bytes(11) + b"\x07") * 2 + b"\xdc\x04\x00\x19"
_INET6_PORTS: Final = (b"\xff" * 16) * 2 + b"\xff\xff\x00\x00"
_UNIX: Final = b"/run/client".ljust(108, b"\0") + b"/run/server".ljust(108, b"\0")
_LOCAL: Final = 0x20
_PROXY: Final = 0x21
#: Over `_block(_PROXY, 0x11, _INET + 03 00 04 and the sum)`, as section 2.2.3 says.
_CHECKSUM: Final = b"\x03\x00\x04" + b"\x0b\xc9\xf7\x04"
_LONGEST: Final = b"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"


def _block(command: int, family: int, rest: bytes, length: int | None = None) -> bytes:
    """Return a header of version 2, right or wrong."""
    size = len(rest) if length is None else length
    return _SIGNATURE + bytes([command, family]) + size.to_bytes(2, "big") + rest


def _due(profile: Profile, data: bytes) -> tuple[Part, ...]:
    """Return what is due to a client that has said everything at once."""
    prompt = (profile.prompt,) if profile.first is First.SERVER else ()
    return (*prompt, *replies(data, profile))


def _served(header: bytes = b"", cut: Cut = WHOLE) -> Script:
    """Return the script that sends a header and a line at once and receives the reply."""

    def script(profile: Profile) -> Iterator[Step]:
        # In pieces it may take so long that a server which lets either side begin has begun.
        yield Connect(greet=profile.first is First.EITHER, bare=True)
        yield Send((header or profile.header) + _LINE, cut)
        yield Expect(_due(profile, _LINE))
        yield from proof(profile)

    return script


def _silent(profile: Profile) -> Iterator[Step]:
    yield Connect(greet=False, bare=True)
    yield Send(profile.header[:-1])
    yield Silence(2 * _QUIET)
    yield Send(profile.header[-1:] + _LINE)
    yield Expect(_due(profile, _LINE))


def _refused(sent: bytes) -> Script:
    """Return the script that sends what is no header, enough of it to see that, and is refused."""

    def script(_: Profile) -> Iterator[Step]:
        yield Connect(greet=False, bare=True)
        yield Send(sent + _ENOUGH)
        yield ExpectRefusal()

    return script


def _late_look(sent: Callable[[bytes], bytes]) -> Script:
    """Return the script in which the header stays behind for a while, and nothing is said meanwhile."""

    def script(profile: Profile) -> Iterator[Step]:
        begun = sent(profile.header)
        yield Connect(greet=False, bare=True)
        if begun:
            yield Send(begun)
        yield Silence(WATCH_S)
        yield Send(profile.header[len(begun) :] + _LINE)
        yield Expect(_due(profile, _LINE))

    return script


def _and_a_tail(data: bytes) -> Script:
    """Return the script in which header, input and its end come at once."""

    def script(profile: Profile) -> Iterator[Step]:
        yield Connect(greet=profile.first is First.EITHER, bare=True)
        yield Send(profile.header + data)
        yield EndInput()
        prompt = (profile.prompt,) if profile.first is First.SERVER else ()
        yield Expect((*prompt, *replies(data, profile, ended=True)))
        yield ExpectEnd()

    return script


def _part_behind(profile: Profile) -> Iterator[Step]:
    """Half a line comes with the header, and the other half later."""
    yield Connect(greet=profile.first is First.EITHER, bare=True)
    yield Send(profile.header + b"HALF A LI")
    yield Pause(0.05)
    yield Send(b"NE\n")
    yield Expect(_due(profile, b"HALF A LINE\n"))


def _headers_again(profile: Profile) -> Iterator[Step]:
    """A second header is a line like any other."""
    yield Connect()
    yield from served(profile, b"ONE\n")
    yield from served(profile, b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 25\r\n")
    yield from served(profile, b"PROXY UNKNOWN\r\n")
    yield from served(profile, _SIGNATURE + b"\x21\x11\n")


def _ended(begun: int) -> Script:
    """Return the script that ends the input after the first `begun` bytes of the header."""

    def script(profile: Profile) -> Iterator[Step]:
        yield Connect(greet=False, bare=True)
        if begun:
            yield Send(profile.header[:begun])
        yield EndInput()
        yield ExpectRefusal()

    return script


_RIGHT_LINES: Final = {
    "ipv6": b"PROXY TCP6 2001:db8::7 2001:DB8:0:0:0:0:0:1 56324 25\r\n",
    "longest-ipv6": b"PROXY TCP6 %s %s 65535 65535\r\n" % (_LONGEST, _LONGEST),
    "least-ports": b"PROXY TCP4 255.255.255.255 0.0.0.0 0 0\r\n",
    "most-ports": b"PROXY TCP4 1.2.3.4 100.20.3.249 65535 65535\r\n",
    "ipv6-shortest": b"PROXY TCP6 :: ::1 1 9\r\n",
    "ipv6-of-ipv4": b"PROXY TCP6 ::ffff:192.0.2.7 2001:db8::198.51.100.1 1024 80\r\n",
}
_RIGHT_BLOCKS: Final = {
    "ipv6": _block(_PROXY, 0x21, _INET6),
    "udp": _block(_PROXY, 0x12, _INET),
    "unix": _block(_PROXY, 0x31, _UNIX),
    "tlvs": _block(_PROXY, 0x11, _INET + b"\x02\x00\x0bexample.org\x04\x00\x00\xe0\x01\x00" + b"\n" * 256),
    "ipv6-udp": _block(_PROXY, 0x22, _INET6_PORTS),
    "unix-datagram": _block(_PROXY, 0x32, _UNIX),
    "unspecified": _block(_PROXY, 0x00, b""),
    "unspecified-with-a-block": _block(_PROXY, 0x00, bytes(range(30))),
    "noop": _block(_PROXY, 0x11, _INET + b"\x04\x00\x00"),
    "long-tlvs": _block(_PROXY, 0x11, _INET + b"\x04\x05\xa4" + b"\n" * 1444),
    "long-tlvs-of-ipv6": _block(_PROXY, 0x21, _INET6 + (b"\xe0\x00\xff" + b"P" * 255) * 5),
    "checksum": _block(_PROXY, 0x11, _INET + _CHECKSUM),
}
_LOCALS: Final = {
    "local": _block(_LOCAL, 0x00, b""),
    "local-with-a-block": _block(_LOCAL, 0x11, _INET),
    "local-of-no-family": _block(_LOCAL, 0xFF, b"\n\n"),
    "local-of-ipv6": _block(_LOCAL, 0x21, _INET6),
    "local-with-one-byte": _block(_LOCAL, 0x11, b"\n"),
    "local-with-a-long-block": _block(_LOCAL, 0x00, b"\r\n" * 500),
}
_UNKNOWN: Final = {
    "unknown": b"PROXY UNKNOWN\r\n",
    "unknown-ignored": b"PROXY UNKNOWN 01.2.3.4 anything goes\r\n",
    "unknown-with-blanks": b"PROXY UNKNOWN   \r\n",
    "unknown-like-tcp4": b"PROXY UNKNOWN 192.0.2.7 198.51.100.1 56324 25\r\n",
    "unknown-longest": b"PROXY UNKNOWN %s %s 65535 65535\r\n" % (_LONGEST, _LONGEST),
}


def _line(source: bytes, port: bytes, protocol: bytes = b"TCP4", end: bytes = b"\r\n") -> bytes:
    return b"PROXY %s %s 198.51.100.1 %s 25%s" % (protocol, source, port, end)


_HOST: Final = b"192.0.2.7"
_WRONG_LINES: Final = {
    "lower-case": _line(_HOST, b"56324").lower(),
    "other-protocol": _line(_HOST, b"56324", b"UDP4"),
    "two-spaces": _line(_HOST, b" 56324"),
    "tab": _line(_HOST, b"56324", b"TCP4\t"),
    "no-port": b"PROXY TCP4 192.0.2.7 198.51.100.1 56324\r\n",
    "one-field-more": _line(_HOST, b"56324 25"),
    "lf": _line(_HOST, b"56324", end=b"\n"),
    "cr": _line(_HOST, b"56324", end=b"\r"),
    "port-65536": _line(_HOST, b"65536"),
    "port-with-sign": _line(_HOST, b"+5"),
    "port-with-zero": _line(_HOST, b"080"),
    "port-with-underscore": _line(_HOST, b"1_0"),
    "port-in-other-digits": _line(_HOST, "\u0665".encode()),
    "ipv4-with-zero": _line(b"192.00.2.7", b"56324"),
    "ipv4-short": _line(b"192.0.7", b"56324"),
    "ipv4-256": _line(b"192.0.2.256", b"56324"),
    "ipv6-in-tcp4": _line(b"::1", b"56324"),
    "ipv4-in-tcp6": _line(_HOST, b"56324", b"TCP6"),
    "not-ascii": _line(b"192.0.2.\xff", b"56324"),
    "tcp4-lower-case": b"PROXY tcp4 192.0.2.7 198.51.100.1 56324 25\r\n",
    "proxy-lower-case": b"proxy TCP4 192.0.2.7 198.51.100.1 56324 25\r\n",
    "blank-in-front": b" " + _line(_HOST, b"56324"),
    "blank-behind": _line(_HOST, b"56324", end=b" \r\n"),
    "tab-behind": _line(_HOST, b"56324", end=b"\t\r\n"),
    "nul-behind": _line(_HOST, b"56324", end=b"\0\r\n"),
    "cr-cr-lf": _line(_HOST, b"56324", end=b"\r\r\n"),
    "lf-in-front": b"\n" + _line(_HOST, b"56324"),
    "tcp": _line(_HOST, b"56324", b"TCP"),
    "tcp5": _line(_HOST, b"56324", b"TCP5"),
    "no-protocol": b"PROXY 192.0.2.7 198.51.100.1 56324 25\r\n",
    "nothing-behind": b"PROXY\r\n",
    "no-blank": b"PROXYTCP4 192.0.2.7 198.51.100.1 56324 25\r\n",
    "port-99999": _line(_HOST, b"99999"),
    "port-long": _line(_HOST, b"00056324"),
    "port-negative": _line(_HOST, b"-1"),
    "port-hex": _line(_HOST, b"0x19"),
    "port-empty": _line(_HOST, b""),
    "second-port-65536": b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 65536\r\n",
    "ipv4-hex": _line(b"0xc0.0.2.7", b"56324"),
    "ipv4-one-number": _line(b"3221225991", b"56324"),
    "ipv4-long": _line(b"192.0.2.7.1", b"56324"),
    "second-ipv4-256": b"PROXY TCP4 192.0.2.7 198.51.100.256 56324 25\r\n",
    "host-name": _line(b"localhost", b"56324"),
    "ipv6-two-gaps": b"PROXY TCP6 2001::db8::7 ::1 56324 25\r\n",
    "ipv6-in-brackets": b"PROXY TCP6 [2001:db8::7] [::1] 56324 25\r\n",
    "ipv6-with-five-digits": b"PROXY TCP6 2001:0db80::7 ::1 56324 25\r\n",
    "http": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "without-end": b"PROXY UNKNOWN " + b"x" * 200,
}
_WRONG_BLOCKS: Final = {
    "version-3": _block(0x31, 0x11, _INET),
    "no-command": _block(0x22, 0x11, _INET),
    "no-family": _block(_PROXY, 0x41, _INET),
    "no-transport": _block(_PROXY, 0x13, _INET),
    "shorter-than-ipv4": _block(_PROXY, 0x11, _INET[:-1]),
    "shorter-than-ipv6": _block(_PROXY, 0x21, _INET),
    "version-0": _block(0x01, 0x11, _INET),
    "command-15": _block(0x2F, 0x11, _INET),
    "family-15": _block(_PROXY, 0xF1, _INET),
    "transport-15": _block(_PROXY, 0x1F, _INET),
    "empty-ipv4": _block(_PROXY, 0x11, b""),
    "shorter-than-unix": _block(_PROXY, 0x31, _UNIX[:-1]),
    "signature-later": b"\r\n" + _block(_PROXY, 0x11, _INET),
    "wrong-signature": _SIGNATURE[:-1] + _block(_PROXY, 0x11, _INET)[len(_SIGNATURE) :],
}
_CONTRADICTIONS: Final = {
    "checksum-of-other-bytes": _block(_PROXY, 0x11, b"\xc0\x00\x02\x08" + _INET[4:] + _CHECKSUM),
    "tlv-far-over-the-end": _block(_PROXY, 0x11, _INET + b"\x04\xff\xffx"),
    "one-byte-of-a-tlv": _block(_PROXY, 0x21, _INET6 + b"\x04"),
    "wrong-checksum": _block(_PROXY, 0x11, _INET + b"\x03\x00\x04" + bytes(4)),
    "short-checksum": _block(_PROXY, 0x11, _INET + b"\x03\x00\x02" + bytes(2)),
    "tlv-over-the-end": _block(_PROXY, 0x11, _INET + b"\x04\x00\x02x"),
    "half-a-tlv": _block(_PROXY, 0x11, _INET + b"\x04\x00"),
}


def _each(clause: str, version: str, headers: dict[str, bytes], *, refused: bool = False) -> Iterator[Case]:
    """Yield a case for each header: it is served, or else refused."""
    for name, header in headers.items():
        script = _refused(header) if refused else _served(header)
        needs, after = _V1 if version == "v1" else _V2, _SILENT if refused else ()
        yield Case(clause, f"{version}-{name}", script, needs=needs, after=after)


#: What of a header a client may have sent, and no more.
_BEGUN: Final[dict[str, Callable[[bytes], bytes]]] = {
    "nothing": lambda _: b"",
    "one-byte": lambda header: header[:1],
    "signature": lambda header: header[:12],
    "all-but-one-byte-late": lambda header: header[:-1],
}

CASES: Final = (
    *(
        Case("PROXY-3", name, _late_look(begun), needs=_PROXIED, after=_PIECES, idle=True)
        for name, begun in _BEGUN.items()
    ),
    Case("PROXY-1", "with-a-tail", _and_a_tail(b"TAIL"), needs=_PROXIED),
    Case("PROXY-1", "with-a-line-and-its-end", _and_a_tail(b"ONE\n"), needs=_PROXIED),
    Case("PROXY-1", "with-an-empty-line", _and_a_tail(b"\n"), needs=_PROXIED),
    Case("PROXY-1", "with-part-of-a-line", _part_behind, needs=_PROXIED),
    Case("PROXY-1", "header-as-a-line", _headers_again, needs=(*_PROXIED, Need.CONVERSATION)),
    Case("PROXY-1", "with-a-line", _served(), needs=_PROXIED),
    *_each("PROXY-1", "v1", _RIGHT_LINES),
    *_each("PROXY-1", "v2", _RIGHT_BLOCKS),
    Case("PROXY-2", "in-pieces", _served(cut=cuts.BYTE), cuts.BYTE.name, _PROXIED),
    Case("PROXY-2", "in-pieces", _served(cut=cuts.at(1, "first-byte")), "first-byte", _PROXIED),
    Case("PROXY-2", "in-pieces", _served(cut=cuts.THIRDS), cuts.THIRDS.name, _PROXIED),
    Case("PROXY-3", "all-but-one-byte", _silent, needs=_PROXIED, after=_PIECES),
    *_each("PROXY-4", "v2", _LOCALS),
    *_each("PROXY-5", "v1", _UNKNOWN),
    Case("PROXY-6", "no-header", _refused(_LINE), needs=_PROXIED, after=_SILENT),
    Case("PROXY-6", "nothing", _ended(0), needs=_PROXIED, after=_SILENT_LATE),
    Case("PROXY-6", "half-a-header", _ended(20), needs=_PROXIED, after=_SILENT_LATE),
    *_each("PROXY-6", "v1", _WRONG_LINES, refused=True),
    *_each("PROXY-6", "v2", _WRONG_BLOCKS, refused=True),
    *_each("PROXY-7", "v2", _CONTRADICTIONS, refused=True),
)
