"""REPLY, GREET, CUT and PIPE broken, one at a time."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

from caas_trio.conformance.dialects.dialect import Greeting, Pattern, Reply
from ci.conformance.dialects.protocols import FINGER, MEMCACHED, SMTP
from ci.conformance.dialects.registry import BOTH, STEADY, UNKNOWN, altered, variant, wrong
from ci.conformance.dialects.serving import READ_SIZE, Conversation

# REPLY


@wrong("REPLY-1")
class AnswersLate(Conversation):
    """Answers a request when the next one comes."""

    kept = b""

    def reply(self, line: bytes) -> bytes:
        answer, self.kept = self.kept, super().reply(line)
        return answer


variant(
    "REPLY-1",
    "AnswersWithAnError",
    "Answers the steady request with an error.",
    **altered(lambda self, _, reply: UNKNOWN[0] if reply == STEADY[self.protocol.dialect] else reply),
)


@wrong("REPLY-2")
class LeavesAtTheUnknown(Conversation):
    """Ends the conversation at an unknown request."""

    def reply(self, line: bytes) -> bytes:
        reply = super().reply(line)
        if reply not in UNKNOWN or len(line) > 20:
            return reply
        self.last = self.block is None and line.upper() in (b"XYZZY", b"XYZZY\r")
        return b"" if self.last else reply


variant(
    "REPLY-2",
    "IgnoresTheUnknown",
    "Says nothing to an unknown request.",
    **altered(lambda _, line, reply: b"" if line.strip().upper() == b"XYZZY" else reply),
)
variant(
    "REPLY-2",
    "AcceptsTheUnknown",
    "Answers an unknown request as if it knew it.",
    **altered(
        lambda self, line, reply: STEADY[self.protocol.dialect] if line.strip().upper() == b"XYZZY" else reply
    ),
)
variant(
    "REPLY-3",
    "EndsLinesWithLf",
    "Ends each of its lines with a bare LF.",
    say=lambda self, data: Conversation.say(self, data.replace(b"\r\n", b"\n")),
)
variant(
    "REPLY-3",
    "EndsErrorsWithLf",
    "Ends the reply to an unknown request with a bare LF.",
    say=lambda self, data: Conversation.say(
        self, data.replace(b"unknown\r\n", b"unknown\n").replace(b"ERROR\r\n", b"ERROR\n")
    ),
)

# GREET


@wrong("GREET-1", SMTP)
class GreetsWhenSpokenTo(Conversation):
    """Sends its greeting behind the first bytes that come."""

    def greet(self) -> None:
        self.sock.recv(1, socket.MSG_PEEK)
        super().greet()


variant("GREET-1", "GreetsWithAnError", "Greets with 554.", SMTP, greet=lambda self: self.say(b"554 no\r\n"))
variant(
    "GREET-2",
    "GreetsTwice",
    "Sends its greeting, and sends it again.",
    SMTP,
    greet=lambda self: self.say(self.protocol.greeting * 2),
)


@wrong("GREET-2", SMTP)
class GreetsTheQuiet(Conversation):
    """Sends its greeting again to a client that is quiet for half a second behind its first request."""

    answered = 0

    def read(self) -> bytes:
        if self.answered == 1:
            self.sock.settimeout(0.45)
            with contextlib.suppress(TimeoutError):
                data = self.sock.recv(READ_SIZE)
                self.sock.settimeout(None)
                return data
            self.say(self.protocol.greeting)
            self.answered += 1
        return super().read()

    def reply(self, line: bytes) -> bytes:
        self.answered += 1
        return super().reply(line)


variant(
    "GREET-3",
    "GreetsUnasked",
    "Greets, where the client should begin.",
    MEMCACHED,
    greet=lambda self: self.say(b"VERSION 1\r\n"),
)


@wrong("GREET-4", SMTP, greeting=Greeting(Reply(Pattern("220[ -]"), Pattern("220 ")), early=True))
class DropsTheEarly(Conversation):
    """Drops what comes before its greeting."""

    def greet(self) -> None:
        self.sock.settimeout(0.05)
        with contextlib.suppress(TimeoutError):
            self.sock.recv(READ_SIZE)
        self.sock.settimeout(None)
        super().greet()


# CUT


@wrong("CUT-1")
class ForgetsPieces(Conversation):
    """Drops what a read leaves of a line."""

    def take(self, data: bytes) -> None:
        super().take(data)
        if not self.skipping:
            self.pending = b""


@wrong("CUT-1")
class LosesTheSplitEnd(Conversation):
    """Does not see an end of a line that came in two reads."""

    def take(self, data: bytes) -> None:
        if self.pending.endswith(b"\r") and data.startswith(b"\n"):
            data = b" " + data[1:]
        super().take(data)


@wrong("CUT-1")
class DropsAThirdPiece(Conversation):
    """Drops a line that comes in more than two reads."""

    pieces = 0

    def take(self, data: bytes) -> None:
        self.pieces = self.pieces + 1 if self.pending else 1
        if self.pieces > 2 and not self.skipping and len(self.pending) < 100:
            self.pending = b"?"
        super().take(data)


@wrong("CUT-2", *BOTH, FINGER)
class AnswersTheQuiet(Conversation):
    """Takes what has come for a line once nothing comes for a while."""

    def read(self) -> bytes:
        if not self.pending or self.skipping:
            return super().read()
        self.sock.settimeout(0.2)
        try:
            return self.sock.recv(READ_SIZE)
        except TimeoutError:
            return self.protocol.end


# PIPE


@wrong("PIPE-1")
class AnswersOneOfARead(Conversation):
    """Answers the first line of a read and drops the others."""

    def lines(self) -> Iterator[bytes]:
        for number, line in enumerate(super().lines()):
            if not number or self.block is not None:
                yield line


@wrong("PIPE-1")
class AnswersTenOfARead(Conversation):
    """Answers at most ten lines of a read and drops the others."""

    def lines(self) -> Iterator[bytes]:
        for number, line in enumerate(super().lines()):
            if number < 10:
                yield line


@wrong("PIPE-1")
class AnswersTheLastTwice(Conversation):
    """Answers the last of more than two lines of a read twice."""

    def take(self, data: bytes) -> None:
        said = data.count(b"\n") > 2 and self.pending == b"" and self.block is None
        super().take(data)
        if said and not self.last and b"STARTTLS" not in data:
            self.say(STEADY[self.protocol.dialect])


@wrong("PIPE-1", MEMCACHED)
class AnswersBackwards(Conversation):
    """Answers the lines of a read from the last to the first, but for those before the end."""

    def take(self, data: bytes) -> None:
        if b"quit" in data or b"set" in data or data.count(b"\n") < 3:
            super().take(data)
            return
        self.pending += data
        self.say(b"".join(reversed([self.reply(line) for line in self.lines()])))
