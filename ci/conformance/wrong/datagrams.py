"""DGRAM broken, one at a time."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from ci.conformance.reference import Server, Settings

from .registry import wrong

#: ip(7); the socket module names it since Python 3.14.
IP_RECVERR = 11


class Datagrams(Server):
    """A right server whose reply to a datagram can be overridden."""

    def reply(self, data: bytes) -> bytes:
        """Return the reply to a datagram."""
        return data.upper()

    def answer_datagram(self, data: bytes, sender: Any) -> None:
        self.sock.sendto(self.reply(data), sender)


@wrong("DGRAM-1", scheme="udp")
class AnswersTheFirstLine(Datagrams):
    """Only the first line of a datagram comes back."""

    def reply(self, data: bytes) -> bytes:
        return data.upper().partition(b"\n")[0] + (b"\n" if b"\n" in data else b"")


@wrong("DGRAM-1", scheme="udp")
class TerminatesDatagrams(Datagrams):
    """A datagram without an LF gets one."""

    def reply(self, data: bytes) -> bytes:
        return data.upper() + (b"\n" if data and not data.endswith(b"\n") else b"")


@wrong("DGRAM-1", scheme="udp")
class RepliesLower(Datagrams):
    """Nothing is raised."""

    def reply(self, data: bytes) -> bytes:
        return data


@wrong("DGRAM-2", scheme="udp")
class AnswersTwice(Datagrams):
    """Every reply comes twice."""

    def answer_datagram(self, data: bytes, sender: Any) -> None:
        super().answer_datagram(data, sender)
        super().answer_datagram(data, sender)


@wrong("DGRAM-2", scheme="unixgram")
class PromptsDatagrams(Datagrams):
    """A prompt comes before every reply."""

    def answer_datagram(self, data: bytes, sender: Any) -> None:
        self.sock.sendto(self.settings.prompt, sender)
        super().answer_datagram(data, sender)


@wrong("DGRAM-3", scheme="udp")
class ComplainsOfNothing(Datagrams):
    """An empty datagram gets an error message."""

    def reply(self, data: bytes) -> bytes:
        return data.upper() or b"error: nothing to do\n"


@wrong("DGRAM-4", scheme="udp")
class AnswersTheLastSender(Datagrams):
    """Replies to senders that give a number go to the first of them."""

    first: Any = None

    def answer_datagram(self, data: bytes, sender: Any) -> None:
        if data.startswith(b"sender"):
            self.first = self.first or sender
            sender = self.first
        super().answer_datagram(data, sender)


@wrong("DGRAM-5", scheme="udp")
class ReadsEightKilobytes(Datagrams):
    """What is beyond 8192 bytes is lost, as with `socketserver.UDPServer`."""

    def reply(self, data: bytes) -> bytes:
        return data[:8192].upper()


@wrong("DGRAM-6", scheme="unixgram", jobs=1)
class DiesOfTheGone(Datagrams):
    """A reply that cannot be delivered ends the server."""

    def serve_datagrams(self) -> None:
        while True:
            data, sender = self.sock.recvfrom(65536)
            if sender is not None:
                self.answer_datagram(data, sender)


@wrong("DGRAM-6", scheme="udp", jobs=1)
class DiesOfTheUnreachable(DiesOfTheGone):
    """The same over UDP, where the kernel tells of it at another call."""

    def serve_datagrams(self) -> None:
        self.sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        super().serve_datagrams()


@wrong("DGRAM-7", scheme="unixgram")
class RenamesItsSocket(Datagrams):
    """Its socket is renamed once it is bound, but the kernel goes on using the name that it was bound to."""

    def __init__(self, endpoint: str, settings: Settings) -> None:
        super().__init__(f"{endpoint}.new", settings)
        self.endpoint = endpoint
        path = Path(endpoint.partition(":")[2])
        Path(f"{path}.new").rename(path)
