"""CLOSE broken, one at a time, beside what `conduct` has."""

from __future__ import annotations

import contextlib
import socket
import struct
import time

from ci.conformance.reference import Conversation, Settings

from .bases import ByLine, Impatient
from .registry import ONCE, REJECT, variant, wrong


def _reset(self: Conversation) -> None:
    """End with a reset, behind the replies."""
    time.sleep(0.1)
    self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class _EndedEarly(Conversation):
    """Notices the end of input while it still owes replies, if all of it came at once."""

    def answer(self, data: bytes) -> tuple[bytes, bool]:
        replies, last = super().answer(data)
        if len(data) > 2000:
            return replies, last
        self.sock.settimeout(0.02)
        with contextlib.suppress(TimeoutError):
            if not self.sock.recv(1, socket.MSG_PEEK):
                replies = self.owed(replies)
        self.sock.settimeout(None)
        return replies, last

    def owed(self, replies: bytes) -> bytes:
        """Return what is still sent."""
        return replies


variant(
    "CLOSE-1",
    "OwesTwenty",
    "A client that has ended its input gets twenty replies at most.",
    base=_EndedEarly,
    owed=lambda _, replies: b"".join(replies.splitlines(keepends=True)[:20]),
)
variant(
    "CLOSE-1",
    "OwesAllButTheLast",
    "A client that has ended its input does not get the reply to its last whole line, if there were others.",
    base=_EndedEarly,
    owed=lambda _, replies: (
        b"".join(replies.splitlines(keepends=True)[:-1]) if replies.count(b"\n") > 1 else replies
    ),
)


@wrong("CLOSE-2", ONCE)
class ClosesUnread(Conversation):
    """Behind its one reply the server closes, whatever else the client has sent: that makes a reset."""

    def read(self) -> bytes:
        data = self.sock.recv(256, socket.MSG_PEEK)
        return self.sock.recv(data.find(b"\n") + 1 or 256)

    def end(self) -> None:
        time.sleep(0.02)


class _Resetting(ByLine):
    """Ends some conversations with a reset."""

    def end(self) -> None:
        if self.resets():
            _reset(self)
        else:
            super().end()

    def resets(self) -> bool:
        """Return whether this one is."""
        return False


variant(
    "CLOSE-2",
    "ResetsTheTalkative",
    "After 50 lines the conversation ends with a reset.",
    base=_Resetting,
    resets=lambda self: self.number >= 50,
)
variant(
    "CLOSE-2",
    "ResetsTheSilent",
    "A client without a line is reset at the end.",
    base=_Resetting,
    resets=lambda self: self.number == 0,
)


@wrong("CLOSE-2", REJECT)
class LingersForAMoment(Conversation):
    """After a notice the server reads on for a twentieth of a second only."""

    def end(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)
        self.sock.settimeout(0.05)
        with contextlib.suppress(TimeoutError):
            self.sock.recv(65536)


class _Staying(ByLine):
    """Does not end some conversations."""

    def end(self) -> None:
        if self.stays():
            time.sleep(20)
        super().end()

    def stays(self) -> bool:
        """Return whether this is one."""
        return False


variant(
    "CLOSE-3",
    "StaysWithTheSilent",
    "A client that ends its input without a word sees no end.",
    base=_Staying,
    stays=lambda self: self.number == 0,
)
variant(
    "CLOSE-3",
    "StaysWithTheTalkative",
    "After 50 lines the output stays open.",
    base=_Staying,
    stays=lambda self: self.number >= 50,
)


class _Ending(ByLine):
    """Ends a conversation by itself, behind the replies to what came in one read."""

    ending = False
    turns = 0

    def answer(self, data: bytes) -> tuple[bytes, bool]:
        self.turns += 1
        replies, last = super().answer(data)
        return replies, last or self.ending

    def reply(self, data: bytes) -> bytes:
        self.ending = self.ending or self.ends(data)
        return super().reply(data)

    def ends(self, line: bytes) -> bool:
        """Return whether it ends with this line."""
        return False


for _name, _story, _ends in (
    (
        "EndsAfterAHundredLines",
        "After a hundred lines the conversation ends.",
        lambda self, _: self.number > 100,
    ),
    ("EndsAfterThirtyReads", "After thirty reads the conversation ends.", lambda self, _: self.turns > 30),
    (
        "TakesQuit",
        "A line `quit` ends the conversation.",
        lambda _, line: line.lower() == b"quit\n",
    ),
    ("EndsAtEot", "A line of one EOT ends the conversation.", lambda _, line: line == b"\x04\n"),
):
    variant("CLOSE-4", _name, _story, base=_Ending, ends=_ends)


@wrong("CLOSE-4")
class EndsTheIdle(Impatient):
    """A client that is silent for a second and a half behind its first line is let go."""

    seconds = 1.5

    def is_waiting(self) -> bool:
        return self.heard

    def silence(self) -> None:
        self.sock.shutdown(socket.SHUT_RDWR)


@wrong("CLOSE-5", ONCE)
class AnswersTheSecondLater(Conversation):
    """A second line that comes within half a second of the reply is answered too."""

    def end(self) -> None:
        self.sock.settimeout(0.5)
        with contextlib.suppress(TimeoutError):
            self.say(self.serve(self.sock.recv(65536)))
        super().end()


@wrong("CLOSE-5", ONCE)
class CountsNoEmptyLine(Conversation):
    """An empty line is answered, and does not count as the one line."""

    def is_last(self, piece: bytes, reply: bytes) -> bool:
        return reply != b"\n" and super().is_last(piece, reply)


@wrong("CLOSE-5", ONCE)
class StaysAfterOne(Conversation):
    """Behind the one reply nothing is answered, and nothing ended, until the client ends its input."""

    def end(self) -> None:
        while self.sock.recv(65536):
            pass
        super().end()


variant(
    "CLOSE-5",
    "GoesOn",
    "A server of one line per connection answers them all.",
    Settings(),
    run={"declared": {"once": True}},
)
