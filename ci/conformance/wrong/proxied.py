"""PROXY broken, one at a time."""

from __future__ import annotations

import socket

from ci.conformance.proxying import LONGEST_LINE, Headers
from ci.conformance.reference import Conversation

from .registry import PROXIED_1, PROXIED_2, PROXIED_FIRST, wrong


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
    """A header that tells more than addresses is refused."""

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
    def family_is_known(self, family: int) -> bool:  # noqa: ARG002 - it is not looked at
        return True


@wrong("PROXY-6", PROXIED_2)
class TakesAnyFamily(Conversation):
    """A header of version 2 may tell of a family that does not exist."""

    headers = _OfAnyFamily


class _Trusting(Headers):
    def tlvs_are_right(self, block: bytes, family: int) -> bool:  # noqa: ARG002 - they are not looked at
        return True


@wrong("PROXY-7", PROXIED_2)
class BelievesEveryTlv(Conversation):
    """What stands behind the addresses is skipped, and the checksum with it."""

    headers = _Trusting
