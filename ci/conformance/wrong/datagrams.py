"""DGRAM broken, one at a time."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ci.conformance.reference import Server, Settings

from .registry import variant, wrong

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
    """Bytes beyond 8192 are lost, as with `socketserver.UDPServer`."""

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
    """The same over UDP, where the kernel reports it at another call."""

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


#: Wrong in what they make of a datagram: the clause, the name, the story, and the reply.
_REPLIES: list[tuple[str, str, str, Callable[[bytes], bytes]]] = [
    (
        "DGRAM-1",
        "CutsDatagramsAtNul",
        "A NUL ends a datagram.",
        lambda data: data.upper().partition(b"\0")[0] if len(data) > 300 else data.upper(),
    ),
    (
        "DGRAM-1",
        "StripsDatagrams",
        "Blanks and ends of lines at the end are lost.",
        lambda data: data.upper().rstrip(b" \r\n") + data[len(data.rstrip(b"\n")) :],
    ),
    (
        "DGRAM-1",
        "RaisesFourHundred",
        "What is beyond 400 bytes is not raised.",
        lambda data: data[:400].upper() + data[400:],
    ),
    (
        "DGRAM-3",
        "ComplainsOfGarbage",
        "One byte that is not ASCII gets an error message.",
        lambda data: b"error: not text\n" if len(data) == 1 and data > b"\x7f" else data.upper(),
    ),
    (
        "DGRAM-3",
        "ComplainsOfBlankLines",
        "An LF alone gets an error message.",
        lambda data: b"error: empty line\n" if data == b"\n" else data.upper(),
    ),
    (
        "DGRAM-5",
        "CutsAtSixtyThousand",
        "What is beyond 60000 bytes is lost.",
        lambda data: data[:60_000].upper(),
    ),
    (
        "DGRAM-5",
        "CutsInTheMiddle",
        "What is beyond 20000 bytes is lost, unless there are 65000.",
        lambda data: data.upper() if len(data) > 65_000 else data[:20_000].upper(),
    ),
]
for _clause, _name, _story, _reply in _REPLIES:
    variant(
        _clause,
        _name,
        _story,
        base=Datagrams,
        run={"scheme": "udp"},
        reply=lambda _, data, reply=_reply: reply(data),
    )


@wrong("DGRAM-2", scheme="udp")
class AnswersAgainLater(Datagrams):
    """Every reply comes again after half a second."""

    seconds = 0.5

    def answer_datagram(self, data: bytes, sender: Any) -> None:
        super().answer_datagram(data, sender)
        again = threading.Timer(self.seconds, self.answer_again, (data, sender))
        again.daemon = True
        again.start()

    def answer_again(self, data: bytes, sender: Any) -> None:
        """Send a datagram unasked."""
        with contextlib.suppress(OSError):
            super().answer_datagram(data, sender)


@wrong("DGRAM-2", scheme="unixgram")
class AsksForMore(AnswersAgainLater):
    """A second and a half behind its reply a sender is asked for more."""

    seconds = 1.5

    def answer_again(self, data: bytes, sender: Any) -> None:
        del data
        with contextlib.suppress(OSError):
            self.sock.sendto(b"anything else?\n", sender)


class _Senders(Datagrams):
    """Remembers the senders, the latest last."""

    def __init__(self, endpoint: str, settings: Settings) -> None:
        super().__init__(endpoint, settings)
        self.senders: list[Any] = []

    def answer_datagram(self, data: bytes, sender: Any) -> None:
        self.senders.append(sender)
        for to in self.addressees(sender):
            with contextlib.suppress(OSError):
                super().answer_datagram(data, to)

    def addressees(self, sender: Any) -> list[Any]:
        """Return the address that the reply goes to."""
        return [sender]


variant(
    "DGRAM-4",
    "CopiesTheOneBefore",
    "A reply also goes to whoever asked before.",
    base=_Senders,
    run={"scheme": "udp"},
    addressees=lambda self, sender: [sender, *(to for to in self.senders[-2:-1] if to != sender)],
)
variant(
    "DGRAM-4",
    "CopiesTheFirstOfTheCrowd",
    "A reply also goes to whoever asked five datagrams before.",
    base=_Senders,
    run={"scheme": "unixgram"},
    addressees=lambda self, sender: [sender, *(to for to in self.senders[-6:-5] if to != sender)],
)


@wrong("DGRAM-6", scheme="unixgram", jobs=1)
class SkipsAfterTheGone(Datagrams):
    """The three datagrams behind one whose sender has gone are lost."""

    lost = 0

    def answer_datagram(self, data: bytes, sender: Any) -> None:
        if self.lost:
            self.lost -= 1
            return
        try:
            super().answer_datagram(data, sender)
        except OSError:
            self.lost = 3


@wrong("DGRAM-6", scheme="unixgram", jobs=1)
class TiresOfTheGone(Datagrams):
    """After twenty senders that have left, no client is answered."""

    gone = 0

    def answer_datagram(self, data: bytes, sender: Any) -> None:
        try:
            super().answer_datagram(data if self.gone < 20 else b"", sender)
        except OSError:
            self.gone += 1


class _AnswersFromElsewhere(Datagrams):
    """Replies come from another port."""

    def answer_datagram(self, data: bytes, sender: Any) -> None:
        with socket.socket(self.sock.family, socket.SOCK_DGRAM) as other:
            other.bind("" if self.sock.family == socket.AF_UNIX else ("127.0.0.1", 0))
            other.sendto(self.reply(data), sender)


variant(
    "DGRAM-7",
    "AnswersFromAnotherPort",
    "Replies come from a port of their own.",
    base=_AnswersFromElsewhere,
    run={"scheme": "udp"},
)
variant(
    "DGRAM-7",
    "AnswersFromAnotherName",
    "Replies come from a socket of another name.",
    base=_AnswersFromElsewhere,
    run={"scheme": "unixgram"},
)
variant(
    "DGRAM-7",
    "AnswersLongOnesFromAnotherPort",
    "Replies of more than a hundred bytes come from a port of their own.",
    base=_AnswersFromElsewhere,
    run={"scheme": "udp"},
    answer_datagram=lambda self, data, sender: (
        _AnswersFromElsewhere if len(data) > 100 else Datagrams
    ).answer_datagram(self, data, sender),
)
