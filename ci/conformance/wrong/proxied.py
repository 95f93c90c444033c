"""PROXY broken, one at a time."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import Any

from ci.conformance.proxying import LONGEST_LINE, SIGNATURE, Headers
from ci.conformance.reference import READ_SIZE, Conversation, Settings

from .registry import PROXIED_1, PROXIED_2, PROXIED_FIRST, variant, wrong


class _OfIpv4(Headers):
    def host_is_right(self, text: bytes, version: int) -> bool:
        return version == 4 and super().host_is_right(text, version)


@wrong("PROXY-1", PROXIED_1)
class TakesIpv4Only(Conversation):
    """Clients that came by IPv6 are turned away."""

    headers = _OfIpv4


class _WithoutTlvs(Headers):
    def tlvs_are_right(self, block: bytes, family: int) -> bool:
        return len(block) == 16 + self.size(family)


@wrong("PROXY-1", PROXIED_2)
class TakesNoTlvs(Conversation):
    """A header with more than addresses is refused."""

    headers = _WithoutTlvs


class _AtOnce(Headers):
    def take(self) -> bool:
        data = self.sock.recv(LONGEST_LINE, socket.MSG_PEEK)
        return data.startswith(b"P") and b"\r\n" in data and super().take()


@wrong("PROXY-2", PROXIED_1)
class WantsTheHeaderAtOnce(Conversation):
    """A header whose first read is not all of it is no header."""

    headers = _AtOnce


@wrong("PROXY-3", PROXIED_FIRST)
class GreetsTheProxy(Conversation):
    """The prompt is said before the header is read, as with Twisted's `haproxy:` endpoint."""

    def run(self) -> None:
        self.say(self.settings.prompt)
        super().run()

    def begin(self) -> None:
        return


class _ForClients(Headers):
    def local_is_served(self) -> bool:
        return False


@wrong("PROXY-4", PROXIED_2)
class RefusesHealthChecks(Conversation):
    """A proxy that comes for itself is turned away."""

    headers = _ForClients


class _WithAddress(Headers):
    def unknown_is_served(self) -> bool:
        return False


@wrong("PROXY-5", PROXIED_1)
class RefusesTheUnknown(Conversation):
    """A client without an address is turned away."""

    headers = _WithAddress


class _Lenient(Headers):
    def port_is_right(self, text: bytes) -> bool:
        try:
            return 0 <= int(text.decode()) <= 65535
        except ValueError:
            return False


@wrong("PROXY-6", PROXIED_1)
class TakesWhatIntTakes(Conversation):
    """A port is whatever `int` makes a number of."""

    headers = _Lenient


class _ByLf(Headers):
    def ends(self, line: bytes) -> bool:
        return line.endswith(b"\n") and (line.endswith(b"\r\n") or not line.startswith(b"PROXY UNKNOWN"))

    def line_is_right(self, line: bytes) -> bool:
        return super().line_is_right(line.rstrip(b"\r\n"))


@wrong("PROXY-6", PROXIED_1)
class EndsHeadersByLf(Conversation):
    """A header may end with LF alone."""

    headers = _ByLf


class _Guessing(Headers):
    def take(self) -> bool:
        first = self.sock.recv(1, socket.MSG_PEEK)
        return (first not in (b"", b"P", b"p")) or super().take()


@wrong("PROXY-6", PROXIED_1)
class GuessesWhetherThereIsAHeader(Conversation):
    """A client that sends none is served all the same: any client may make up an address."""

    headers = _Guessing


class _OfAnyFamily(Headers):
    def family_is_known(self, family: int) -> bool:
        return True


@wrong("PROXY-6", PROXIED_2)
class TakesAnyFamily(Conversation):
    """A header of version 2 may tell of a family that does not exist."""

    headers = _OfAnyFamily


class _Trusting(Headers):
    def tlvs_are_right(self, block: bytes, family: int) -> bool:
        return True


@wrong("PROXY-7", PROXIED_2)
class BelievesEveryTlv(Conversation):
    """The bytes behind the addresses are skipped, and the checksum with them."""

    headers = _Trusting


def _headers(name: str, base: type[Headers] = Headers, **members: Any) -> type[Headers]:
    return type(name, (base,), members)


def _with_headers(breaks: str, name: str, story: str, settings: Settings, **members: Any) -> None:
    """Register a server that is wrong in how it reads the header."""
    variant(breaks, name, story, settings, headers=_headers(f"{name}Headers", **members))


_with_headers(
    "PROXY-1",
    "TakesNoUnix",
    "Addresses of Unix sockets are refused.",
    PROXIED_2,
    family_is_known=lambda self, family: family >> 4 < 3 and Headers.family_is_known(self, family),
)
_with_headers(
    "PROXY-1",
    "TakesShortBlocks",
    "A header of more than a thousand bytes is refused.",
    PROXIED_2,
    tlvs_are_right=lambda self, block, family: (
        len(block) < 1000 and Headers.tlvs_are_right(self, block, family)
    ),
)


class _AnyLine(Conversation):
    """Takes a header for one wherever it comes."""

    def serve(self, data: bytes) -> bytes:
        return b"" if data.startswith(b"PROXY TCP") else data.upper()


@wrong("PROXY-1", PROXIED_1)
class TakesMoreHeaders(_AnyLine):
    """A line that looks like a header is taken for one, wherever it comes."""


@wrong("PROXY-1", PROXIED_2)
class LosesWhatFollows(Conversation):
    """A part of a line in one segment with the header is lost."""

    def begin(self) -> None:
        with contextlib.suppress(BlockingIOError):
            data = self.sock.recv(READ_SIZE, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            if b"\n" not in data:
                self.sock.recv(READ_SIZE)
        super().begin()


class _Speaking(Conversation):
    """Says something when a header is late."""

    seconds = 1.0
    enough = 1

    def run(self) -> None:
        begun = time.monotonic()
        while not self.is_there():
            if time.monotonic() - begun > self.seconds:
                self.say(self.words())
                break
            time.sleep(0.01)
        super().run()

    def is_there(self) -> bool:
        """Return whether enough of the header is there, or the input has ended without one."""
        with contextlib.suppress(BlockingIOError):
            begun = self.sock.recv(LONGEST_LINE, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            return not begun or len(begun) > self.enough
        return False

    def words(self) -> bytes:
        """Return what is said."""
        return b"error: where is the header?\n"


variant(
    "PROXY-3",
    "AsksForTheHeader",
    "A client whose header takes a second gets an error line.",
    PROXIED_1,
    base=_Speaking,
    enough=10,
)
variant(
    "PROXY-3",
    "AsksForTheRest",
    "A client whose header is not complete after a second gets an error line.",
    PROXIED_2,
    base=_Speaking,
    enough=len(SIGNATURE) + 15,
)


@wrong("PROXY-3", PROXIED_FIRST)
class GreetsAtTheSignature(Conversation):
    """The prompt is said as soon as the signature is there."""

    def run(self) -> None:
        with contextlib.suppress(OSError):
            while 0 < len(self.sock.recv(16, socket.MSG_PEEK)) < 12:
                time.sleep(0.005)
        self.say(self.settings.prompt)
        super().run()

    def begin(self) -> None:
        return


class _Looking(Headers):
    """Looks at the command, the family and the length before the header is taken."""

    def take_block(self, block: bytes) -> bool:
        while len(head := self.sock.recv(15, socket.MSG_PEEK)) < 15:
            if not head or not SIGNATURE.startswith(block + head[:11]):
                return super().take_block(block)
            time.sleep(0.002)
        local, family, length = head[11] == 0x20, head[12], head[13] << 8 | head[14]
        return super().take_block(block) and not (local and self.refuses(family, length))

    def refuses(self, family: int, length: int) -> bool:
        """Return whether a LOCAL header is refused."""
        return False


@wrong("PROXY-4", PROXIED_2)
class WantsAddressesOfAll(Conversation):
    """A proxy that comes for itself is served only with a block."""

    headers = _headers("NoBlock", _Looking, refuses=lambda _, family, length: not length)


@wrong("PROXY-4", PROXIED_2)
class WantsAFamilyOfAll(Conversation):
    """A proxy that comes for itself is served only if its family exists."""

    headers = type(
        "_", (_Looking,), {"refuses": lambda self, family, length: not self.family_is_known(family)}
    )


_with_headers(
    "PROXY-6",
    "TakesLowerCase",
    "The protocol may be in small letters.",
    PROXIED_1,
    line_is_right=lambda self, line: Headers.line_is_right(self, line.replace(b"tcp", b"TCP")),
)
_with_headers(
    "PROXY-6",
    "StripsTheLine",
    "Blanks at the end of a header do not count.",
    PROXIED_1,
    line_is_right=lambda self, line: Headers.line_is_right(self, line.rstrip(b" \t\r\n") + b"\r\n"),
)
