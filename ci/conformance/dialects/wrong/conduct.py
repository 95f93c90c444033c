"""HALF, QUIET, IDLE and QUIT broken, one at a time."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import time

from caas_trio.conformance.dialects.dialect import Ends
from ci.conformance.dialects.protocols import FINGER, MEMCACHED, SMTP
from ci.conformance.dialects.registry import BOTH, altered, variant, wrong
from ci.conformance.dialects.serving import READ_SIZE, Conversation

# HALF


class SeesTheEnd(Conversation):
    """Notices the end of input while it still owes replies, if all of it came at once."""

    def say(self, data: bytes) -> None:
        self.sock.settimeout(0.02)
        ended = False
        with contextlib.suppress(OSError, ValueError):  # over TLS nothing can be looked at
            ended = not self.sock.recv(1, socket.MSG_PEEK)
        self.sock.settimeout(None)
        super().say(self.owed(data) if ended else data)

    def owed(self, _: bytes) -> bytes:
        """Return what is still sent."""
        return b""


wrong("HALF-1")(SeesTheEnd)
variant(
    "HALF-1",
    "OwesTwo",
    "A client that has ended its input gets the first two lines of what it is owed.",
    base=SeesTheEnd,
    owed=lambda _, data: b"".join(data.splitlines(keepends=True)[:2]),
)
variant(
    "HALF-2",
    "StaysAtTheEnd",
    "Does not end its output when the client ends its input.",
    finish=lambda self: None if self.last else time.sleep(20),
)
variant(
    "HALF-3",
    "AnswersTheTail",
    "Takes a tail for a request.",
    SMTP,
    finish=lambda self: self.say(self.reply(self.pending)) if self.pending and not self.last else None,
)
variant(
    "HALF-3",
    "AnswersTheTailToo",
    "Takes a tail for a request.",
    MEMCACHED,
    finish=lambda self: self.say(self.reply(self.pending)) if self.pending and not self.last else None,
    run={"ends": Ends(tail_is_request=False)},
)


# QUIET and IDLE


@wrong("QUIET-1")
class SpeaksUpWhenQuiet(Conversation):
    """Says something to a client that is quiet for a second."""

    def read(self) -> bytes:
        self.sock.settimeout(1.1)
        with contextlib.suppress(TimeoutError):
            return self.sock.recv(READ_SIZE)
        self.say(b"still there?\r\n")
        return super().read()


@wrong("QUIET-2")
class LeavesTheQuiet(Conversation):
    """Ends the conversation with a client that is quiet for a second."""

    idle_s = 1.05


variant("IDLE-1", "WaitsForEver", "Never ends a quiet conversation.", run={"idle_s": 2.0})
variant("IDLE-1", "LeavesEarly", "Ends a quiet conversation too early.", run={"idle_s": 8.0}, idle_s=3.0)
variant("IDLE-2", "WaitsForTheEnd", "Waits for the end of a line for ever.", run={"line_s": 1.0})


# QUIT

_WORDS = (b"QUIT", b"quit", b"quit\r")
variant(
    "QUIT-1",
    "LeavesWithoutAWord",
    "Ends without its reply.",
    SMTP,
    **altered(lambda _, line, reply: b"" if line in _WORDS else reply),
)
variant(
    "QUIT-1",
    "LeavesWithAnError",
    "Ends with another reply.",
    SMTP,
    **altered(lambda _, line, reply: b"500 no\r\n" if line in _WORDS else reply),
)
variant(
    "QUIT-1",
    "LeavesWithAWord",
    "Says something where nothing is due.",
    MEMCACHED,
    **altered(lambda _, line, reply: b"BYE\r\n" if line in _WORDS else reply),
)


def _reset(self: Conversation) -> None:
    """End with a reset, behind the replies."""
    time.sleep(0.1)
    self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


variant("QUIT-2", "Resets", "Ends with a reset.", *BOTH, FINGER, end=_reset)


@wrong("QUIT-3")
class AnswersBehindTheEnd(Conversation):
    """Answers what comes behind the end in the same read."""

    def end(self) -> None:
        if self.last:
            self.say(b"".join(self.reply(line) for line in self.lines()))
        super().end()


@wrong("QUIT-4")
class LeavesInputUnread(Conversation):
    """Leaves unread what is behind the end, so that a reset follows."""

    def read(self) -> bytes:
        if isinstance(self.sock, ssl.SSLSocket):
            return super().read()
        self.sock.settimeout(None)
        head = self.sock.recv(READ_SIZE, socket.MSG_PEEK)
        for word in (b"QUIT\r\n", b"quit\r\n"):
            place = head.find(word)
            if place >= 0:
                head = head[: place + len(word)]
        return self.sock.recv(len(head))

    def end(self) -> None:
        time.sleep(0.05)


variant(
    "QUIT-5",
    "StaysAfterTheEnd",
    "Does not end its output behind the reply to the end.",
    *(*BOTH, FINGER),
    end=lambda self: time.sleep(20) if self.last else Conversation.end(self),
)
