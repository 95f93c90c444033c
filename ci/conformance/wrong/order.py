"""ORDER and SAY broken, one at a time."""

from __future__ import annotations

import contextlib
import socket
import time
from dataclasses import replace

from ci.conformance.reference import PROMPT, Conversation, Settings

from .registry import EITHER_FIRST, ONCE, SERVER_FIRST, wrong

#: What a client that talks early needs at most to do so.
EARLY = 0.05


@wrong("ORDER-1", SERVER_FIRST, declared={"first": "client"})
class GreetsUnasked(Conversation):
    """The server says its prompt although the client is to begin."""


@wrong("ORDER-1")
class AnswersEachRead(Conversation):
    """Each read is answered at once, a line or not: the classic raw-socket server."""

    def answer(self, data: bytes) -> tuple[bytes, bool]:
        return self.serve(data), False


@wrong("ORDER-1", ONCE)
class AnswersEachReadOnce(Conversation):
    """The same in a server of one line per connection, if the line has three bytes so far."""

    def answer(self, data: bytes) -> tuple[bytes, bool]:
        return (data.upper(), True) if data.upper() == b"HEL" else super().answer(data)


@wrong("ORDER-2", Settings(first="client"), declared={"first": "server"})
class NeverGreets(Conversation):
    """There is no prompt: both sides wait for each other."""


@wrong("ORDER-2", SERVER_FIRST)
class GreetsTheFirstLine(Conversation):
    """The prompt comes only when the client has said something."""

    def begin(self) -> None:
        with contextlib.suppress(OSError):
            self.sock.recv(1, socket.MSG_PEEK)
        super().begin()


@wrong("ORDER-3", SERVER_FIRST)
class GreetsTwice(Conversation):
    """The prompt comes twice."""

    def begin(self) -> None:
        super().begin()
        super().begin()


@wrong("ORDER-3", SERVER_FIRST)
class GreetsEveryLine(Conversation):
    """The prompt comes again behind every reply."""

    def serve(self, data: bytes) -> bytes:
        return data.upper() + self.settings.prompt


@wrong("ORDER-3", replace(SERVER_FIRST, prompt=b"Enter some text, please:\n"), declared={"prompt": PROMPT})
class GreetsOtherwise(Conversation):
    """The prompt is not the declared one."""


@wrong("ORDER-4", SERVER_FIRST)
class DropsEarlyInput(Conversation):
    """Input before the prompt is dropped."""

    def begin(self) -> None:
        time.sleep(EARLY)
        with contextlib.suppress(BlockingIOError):
            self.sock.recv(65536, socket.MSG_DONTWAIT)
        super().begin()


@wrong("ORDER-4", SERVER_FIRST)
class GreetsOnlyThePatient(Conversation):
    """A client that has spoken already gets no prompt."""

    def begin(self) -> None:
        self.sock.settimeout(EARLY)
        try:
            spoken = self.sock.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            spoken = b""
        self.sock.settimeout(None)
        if not spoken:
            super().begin()


@wrong("ORDER-5", Settings(first="client"), declared={"first": "either"})
class WaitsForEver(Conversation):
    """A client that stays silent never sees a prompt."""


@wrong("ORDER-5", EITHER_FIRST)
class GreetsTheSilentTwice(Conversation):
    """A client that stays silent sees the prompt twice."""

    def say(self, data: bytes) -> None:
        super().say(data * 2 if data == self.settings.prompt else data)


@wrong("ORDER-5", EITHER_FIRST)
class GreetsTheSilentAgain(Conversation):
    """A client that was greeted sees the prompt again behind its first reply."""

    greeted = False

    def say(self, data: bytes) -> None:
        again = self.settings.prompt if self.greeted else b""
        self.greeted = data == self.settings.prompt
        super().say(data + again)


@wrong("ORDER-6", SERVER_FIRST, declared={"first": "either"})
class GreetsEverybody(Conversation):
    """A client that speaks first sees the prompt all the same."""


@wrong("ORDER-7", SERVER_FIRST)
class IgnoresTheHasty(Conversation):
    """A client that ends its input at once gets no prompt."""

    def begin(self) -> None:
        self.sock.settimeout(EARLY)
        try:
            ended = self.sock.recv(1, socket.MSG_PEEK) == b""
        except TimeoutError:
            ended = False
        self.sock.settimeout(None)
        if not ended:
            super().begin()


@wrong("ORDER-8")
class AnswersOutOfOrder(Conversation):
    """Of many lines in one read, the last one is answered first."""

    def answer(self, data: bytes) -> tuple[bytes, bool]:
        replies, last = super().answer(data)
        lines = replies.splitlines(keepends=True)
        if len(lines) > 500:
            lines = [lines[-1], *lines[:-1]]
        return b"".join(lines), last


@wrong("ORDER-8")
class LosesPipelinedLines(Conversation):
    """Of many lines in one read, those beyond the thousandth are lost."""

    def answer(self, data: bytes) -> tuple[bytes, bool]:
        replies, last = super().answer(data)
        return b"".join(replies.splitlines(keepends=True)[:1000]), last


@wrong("SAY-1", replace(SERVER_FIRST, prompt=b"READY\n"))
class Shouts(Conversation):
    """The prompt is all capitals, so it looks like a reply."""


@wrong("SAY-1", SERVER_FIRST)
class GreetsWithoutLf(Conversation):
    """The prompt does not end its line."""

    def say(self, data: bytes) -> None:
        super().say(data.removesuffix(b"\n") if data == self.settings.prompt else data)
