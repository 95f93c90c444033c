"""CLOSE broken, one at a time, beside what `conduct` has."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import time

from ci.conformance.reference import Conversation, Settings

from .bases import ByLine, Impatient, Unread
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


@wrong("CLOSE-1", jobs=1)
class DropsWhatIsUnread(Unread):
    """A client that has ended its input and does not read for a second loses what it is owed."""

    seconds = 1.0

    def begins_to_wait(self) -> None:
        watch = select.poll()
        watch.register(self.sock, select.POLLRDHUP)
        if watch.poll(0):
            raise TimeoutError


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
    """Ends a conversation by itself, behind the replies."""

    def answer(self, data: bytes) -> tuple[bytes, bool]:
        replies, last = super().answer(data)
        return replies, last or self.ends(data)

    def ends(self, data: bytes) -> bool:
        """Return whether now is the time."""
        return False


variant(
    "CLOSE-4",
    "EndsAfterAHundredLines",
    "After a hundred lines the conversation ends.",
    base=_Ending,
    ends=lambda self, _: self.number > 100,
)
variant(
    "CLOSE-4",
    "EndsAfterTenInTurn",
    "After ten lines that came alone the conversation ends.",
    base=_Ending,
    alone=0,
    ends=lambda self, data: vars(self).update(alone=self.alone + (data.count(b"\n") == 1)) or self.alone > 10,
)
variant(
    "CLOSE-4",
    "TakesQuit",
    "A line `quit` ends the conversation.",
    base=_Ending,
    ends=lambda _, data: b"quit\n" in data.lower(),
)
variant(
    "CLOSE-4",
    "EndsAtEot",
    "A line of one EOT ends the conversation.",
    base=_Ending,
    ends=lambda _, data: b"\n\x04\n" in b"\n" + data,
)
variant(
    "CLOSE-4",
    "EndsAtAnEmptyLine",
    "An empty line behind another one ends the conversation, as a head in HTTP.",
    base=_Ending,
    ends=lambda self, data: self.number > 1 and data == b"\n",
)


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

    def answer(self, data: bytes) -> tuple[bytes, bool]:
        replies, last = super().answer(data)
        if last:
            self.say(replies)
            self.sock.settimeout(0.5)
            with contextlib.suppress(TimeoutError):
                replies = self.serve(self.sock.recv(65536))
            self.sock.settimeout(None)
        return (replies if not last or replies.count(b"\n") else b""), last


@wrong("CLOSE-5", ONCE)
class CountsNoEmptyLine(Conversation):
    """An empty line is answered, and does not count as the one line."""

    def is_last(self, piece: bytes, reply: bytes) -> bool:
        return piece != b"\n" and super().is_last(piece, reply)


variant(
    "CLOSE-5",
    "StaysAfterOne",
    "Behind the one reply nothing is answered, and nothing ended, until the client ends.",
    ONCE,
    end=lambda self: (self.sock.settimeout(10), self.sock.recv(65536), Conversation.end(self)),
)
variant(
    "CLOSE-5",
    "GoesOn",
    "A server of one line per connection answers them all.",
    Settings(),
    run={"declared": {"once": True}},
)
