"""FLOW and TIME broken, one at a time."""

from __future__ import annotations

import contextlib
import queue
import select
import socket
import threading
import time

from ci.conformance.reference import READ_SIZE, Conversation, Server, Settings

from .bases import Unread
from .registry import variant, wrong


@wrong("FLOW-1", jobs=1)
class DropsRepliesOnce(Conversation):
    """Replies that a client does not take for a while are dropped, once."""

    lost = False

    def say(self, data: bytes) -> None:
        self.sock.settimeout(None if self.lost else 0.3)
        try:
            super().say(data)
        except TimeoutError:
            self.lost = True
        self.sock.settimeout(None)


@wrong("FLOW-2")
class GivesUpWhenBusy(Conversation):
    """From the fourth MiB of replies on, one in a thousand bytes is lost while more input waits."""

    said = 0

    def say(self, data: bytes) -> None:
        self.said += len(data)
        busy = b"\n" in data and 4 << 20 < self.said < 12 << 20 and select.select([self.sock], [], [], 0)[0]
        super().say(data[:-1] if busy else data)


@wrong("FLOW-3")
class ReadsWithoutEnd(Conversation):
    """The server reads on while its replies pile up."""

    def __init__(self, sock: socket.socket, settings: Settings, server: Server) -> None:
        super().__init__(sock, settings, server)
        self.backlog: queue.Queue[bytes] = queue.Queue()

    def begin(self) -> None:
        self.sender = threading.Thread(target=self.send_all, daemon=True)
        self.sender.start()
        super().begin()

    def send_all(self) -> None:
        """Send what piles up, until an empty entry."""
        with contextlib.suppress(OSError):
            while data := self.backlog.get():
                self.sock.sendall(data)

    def say(self, data: bytes) -> None:
        if data:
            self.backlog.put(data)

    def end(self) -> None:
        self.backlog.put(b"")
        self.sender.join()
        super().end()


@wrong("TIME-1")
class WaitsForTheBeginner(Conversation):
    """While a next line has begun, the replies to those before it are held back, up to a read's worth."""

    held = b""

    def answer(self, data: bytes) -> tuple[bytes, bool]:
        replies, last = super().answer(data)
        self.held += replies
        # Without a bound, reads that all end inside a line would be a firehose taken in whole: FLOW-3 too.
        if self.pending and len(self.held) < READ_SIZE:
            return b"", last
        held, self.held = self.held, b""
        return held, last

    def answer_tail(self) -> bytes:
        return self.held + super().answer_tail()


@wrong("TIME-1")
class AnswersOneReadBehind(Conversation):
    """Of many lines in one read, the last reply is held back until the next read."""

    held = b""

    def answer(self, data: bytes) -> tuple[bytes, bool]:
        replies, last = super().answer(data)
        held, self.held = self.held, b""
        if replies.count(b"\n") > 1:
            cut = replies.rindex(b"\n", 0, -1) + 1
            replies, self.held = replies[:cut], replies[cut:]
        return held + replies, last

    def answer_tail(self) -> bytes:
        return self.held + super().answer_tail()


@wrong("TIME-1", Settings(service="echo"), declared={"service": "echo-bytes"})
class EchoesWholeLines(Conversation):
    """A part of a line is not echoed, although bytes are to be."""


@wrong("TIME-1")
class AnswersAtTheEnd(Conversation):
    """All replies come when the client has ended its input."""

    held = b""

    def answer(self, data: bytes) -> tuple[bytes, bool]:
        replies, last = super().answer(data)
        self.held += replies
        return b"", last

    def answer_tail(self) -> bytes:
        return self.held + super().answer_tail()


@wrong("TIME-2")
class IsQuadratic(Conversation):
    """The time for a line grows with the square of its length; a sleep stands for the work."""

    length = 0

    def answer(self, data: bytes) -> tuple[bytes, bool]:
        self.length += len(data)
        if b"\n" in data:
            time.sleep(min(2.0, 1.5 * (self.length / (8 << 20)) ** 2) if data.count(b"\n") == 1 else 0)
            self.length = 0
        return super().answer(data)


class _Lossy(Unread):
    """Loses something of what a client does not take at once."""

    seconds = 0.3
    waited = False

    def say(self, data: bytes) -> None:
        super().say(self.late(data) if self.waited else data)

    def begins_to_wait(self) -> None:
        self.waited = True

    def late(self, data: bytes) -> bytes:
        """Return what is left of the replies behind a wait."""
        self.waited = False
        return data


@wrong("FLOW-1", jobs=1)
class LosesALineLate(_Lossy):
    """Behind a wait of 0.3 seconds for the client to read, one line is lost."""

    def late(self, data: bytes) -> bytes:
        self.waited = False
        return data[: data.rfind(b"\n", 0, -1) + 1] if data.count(b"\n") > 2 else data


@wrong("FLOW-1", jobs=1)
class RepeatsLate(_Lossy):
    """Behind a wait of 0.3 seconds for the client to read, the next replies come twice."""

    def late(self, data: bytes) -> bytes:
        self.waited = False
        return data + data if data.endswith(b"\n") else data


class _Busy(Conversation):
    """Does something to the replies while more input waits, behind some MiB of them."""

    said = 0

    def say(self, data: bytes) -> None:
        self.said += len(data)
        busy = 2 << 20 < self.said < 7 << 20 and select.select([self.sock], [], [], 0)[0]
        super().say(self.mangled(data) if busy and data.count(b"\n") > 4 else data)

    def mangled(self, data: bytes) -> bytes:
        """Return what is sent."""
        return data


variant(
    "FLOW-2",
    "SwapsWhenBusy",
    "While more input waits, the first two lines of a read change places.",
    base=_Busy,
    mangled=lambda _, data: b"\n".join([*data.split(b"\n")[1::-1], *data.split(b"\n")[2:]]),
)


@wrong("FLOW-2")
class StopsAtTenMib(Conversation):
    """After six MiB of replies the server reads only when the client has taken all it was sent."""

    said = 0

    def say(self, data: bytes) -> None:
        super().say(data)
        self.said += len(data)
        if b"\n" in data and self.said > 6 << 20 and select.select([self.sock], [], [], 0)[0]:
            time.sleep(15)


@wrong("TIME-1")
class HoldsLongReplies(Conversation):
    """The reply to a single line of more than 300 bytes waits for the next read."""

    held = b""

    def answer(self, data: bytes) -> tuple[bytes, bool]:
        replies, last = super().answer(data)
        held, self.held = self.held, b""
        if 300 < len(replies) < 2000 and replies.count(b"\n") == 1:
            replies, self.held = b"", replies
        return held + replies, last

    def answer_tail(self) -> bytes:
        return self.held + super().answer_tail()
