"""ORDER and SAY broken again: late, for some clients, and for some lines."""

from __future__ import annotations

import contextlib
import select
import socket
import time

from ci.conformance.reference import PROMPT, Conversation, Settings

from .bases import ByLine, Impatient, Numbered
from .order import EARLY
from .registry import DISCARD, EITHER_FIRST, REJECT, SERVER_FIRST, variant, wrong


class _Nagging(Impatient):
    """Says something to a client that is silent; the other way of being silent may be asked for."""

    words = b"are you still there?\n"
    within_a_line = False

    def is_waiting(self) -> bool:
        return bool(self.pending) or not self.within_a_line

    def silence(self) -> None:
        self.say(self.words)


variant(
    "ORDER-1", "Nags", "A client that is silent for a second is asked whether it is there.", base=_Nagging
)
variant("ORDER-1", "NagsLate", "The same after two seconds.", base=_Nagging, seconds=2.0, words=b"yes?\n")
variant(
    "ORDER-1",
    "NagsWithinALine",
    "A client that stops in the middle of a line for a second is asked for the rest.",
    base=_Nagging,
    within_a_line=True,
)
variant(
    "ORDER-1",
    "GreetsTheSilent",
    "A client that is silent for a second gets a prompt, where none is declared.",
    Settings(first="either", prompt_delay=1.0),
    run={"declared": {"first": "client"}},
)


@wrong("ORDER-1")
class AnswersLongParts(Conversation):
    """Of a line that is not complete, 600 bytes are answered as soon as they are there."""

    def answer(self, data: bytes) -> tuple[bytes, bool]:
        replies, last = super().answer(data)
        return (replies + self.serve(self.take()) if len(self.pending) >= 600 else replies), last


@wrong("ORDER-2", SERVER_FIRST)
class GreetsEveryThird(Numbered):
    """Each third client has to speak before it gets the prompt."""

    def begin(self) -> None:
        if self.client % 3 == 0:
            self.sock.recv(1, socket.MSG_PEEK)
        super().begin()


variant(
    "ORDER-3",
    "GreetsAgain",
    "A client that is silent for a second gets the prompt again.",
    SERVER_FIRST,
    base=_Nagging,
    words=PROMPT,
)


@wrong("ORDER-3", SERVER_FIRST)
class GreetsEveryTenthLine(ByLine):
    """The prompt comes again behind every tenth reply."""

    def reply(self, data: bytes) -> bytes:
        return data.upper() + (b"" if self.number % 10 else self.settings.prompt)


variant(
    "ORDER-3",
    "GreetsAtTheEnd",
    "The prompt comes again when the client has ended its input.",
    SERVER_FIRST,
    answer_tail=lambda self: Conversation.answer_tail(self) + self.settings.prompt,
)


@wrong("ORDER-3", SERVER_FIRST)
class NumbersItsClients(Numbered):
    """Each third client gets its number."""

    def begin(self) -> None:
        self.say(self.settings.prompt if self.client % 3 else b"Enter some data, client %d:\n" % self.client)


class _Early(Conversation):
    """Does something to what was said before the prompt."""

    def begin(self) -> None:
        time.sleep(EARLY)
        early = b""
        with contextlib.suppress(BlockingIOError):
            early = self.sock.recv(65536, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        self.sock.recv(self.lost(early), socket.MSG_DONTWAIT) if self.lost(early) else b""
        super().begin()

    def lost(self, early: bytes) -> int:
        """Return how many bytes are lost."""
        return 0


variant(
    "ORDER-4",
    "DropsAnEarlyPart",
    "What came before the prompt is thrown away if it is no whole line.",
    SERVER_FIRST,
    base=_Early,
    lost=lambda _, early: 0 if early.endswith(b"\n") else len(early),
)
variant(
    "ORDER-4",
    "DropsAnEarlyCrowd",
    "Of more than a thousand bytes that came before the prompt, the first line is lost.",
    SERVER_FIRST,
    base=_Early,
    lost=lambda _, early: early.index(b"\n") + 1 if len(early) > 1000 else 0,
)


@wrong("ORDER-4", SERVER_FIRST)
class AnswersBeforeGreeting(Conversation):
    """A client that has spoken already gets its reply, then the prompt."""

    def begin(self) -> None:
        time.sleep(EARLY)
        self.sock.settimeout(0.001)
        with contextlib.suppress(TimeoutError):
            data = self.sock.recv(65536)
            self.say(self.answer(data)[0] if data else b"")
        self.sock.settimeout(None)
        super().begin()


variant(
    "ORDER-5",
    "GreetsTheSilentLater",
    "A client that stays silent behind its prompt sees another one.",
    EITHER_FIRST,
    base=_Nagging,
    words=PROMPT,
    is_waiting=lambda self: self.prompted and not self.heard,
)
variant(
    "ORDER-6",
    "GreetsAfterTheReply",
    "A client that spoke first and is then silent for a second sees the prompt.",
    EITHER_FIRST,
    base=_Nagging,
    words=PROMPT,
    is_waiting=lambda self: self.heard and not self.pending and not self.prompted,
)
variant(
    "ORDER-6",
    "GreetsAtHalfALine",
    "A client that has said half a line and is silent for a second sees the prompt.",
    EITHER_FIRST,
    base=_Nagging,
    words=PROMPT,
    is_waiting=lambda self: bool(self.pending) and not self.prompted,
)
variant(
    "ORDER-6",
    "GreetsTheEmptyLine",
    "An empty line counts as silence.",
    EITHER_FIRST,
    base=ByLine,
    reply=lambda self, line: (
        (self.settings.prompt if (self.number, line) == (1, b"\n") else b"") + line.upper()
    ),
)


@wrong("ORDER-6", EITHER_FIRST)
class GreetsTheTail(Impatient):
    """A client that ends its input behind a tail sees the prompt behind its reply."""

    def is_waiting(self) -> bool:
        return False

    def answer_tail(self) -> bytes:
        tail = super().answer_tail()
        return tail + self.settings.prompt if tail and not self.prompted else tail


class _Ended(Conversation):
    """Looks whether the client has ended its input at once."""

    def begin(self) -> None:
        time.sleep(EARLY)
        watch = select.poll()
        watch.register(self.sock, select.POLLRDHUP)
        self.say(self.hasty_prompt() if watch.poll(0) else self.settings.prompt)

    def hasty_prompt(self) -> bytes:
        """Return the prompt for a client that has."""
        return b""


variant(
    "ORDER-7",
    "IgnoresTheHastyWithALine",
    "A client that ends its input at once gets no prompt, but replies.",
    SERVER_FIRST,
    base=_Ended,
)
variant(
    "ORDER-7",
    "GreetsTheHastyInPart",
    "A client that ends its input at once gets half a prompt.",
    SERVER_FIRST,
    base=_Ended,
    hasty_prompt=lambda self: self.settings.prompt[:9],
)


@wrong("ORDER-7", SERVER_FIRST)
class IgnoresTheSecondHasty(_Ended):
    """The first client that ends its input at once gets a prompt, and the next ones do not."""

    seen = 0

    def hasty_prompt(self) -> bytes:
        IgnoresTheSecondHasty.seen += 1
        return self.settings.prompt if self.seen == 1 else b""


class _Shuffling(Conversation):
    """Answers the lines of one read in another order, or not all of them."""

    def answer(self, data: bytes) -> tuple[bytes, bool]:
        replies, last = super().answer(data)
        return b"".join(self.shuffled(replies.splitlines(keepends=True))), last

    def shuffled(self, replies: list[bytes]) -> list[bytes]:
        """Return what is sent."""
        return replies


variant(
    "ORDER-8",
    "AnswersShortLinesFirst",
    "Of the lines of one read, those of more than 100 bytes are answered last.",
    base=_Shuffling,
    shuffled=lambda _, replies: sorted(replies, key=lambda reply: len(reply) > 100),
)
variant(
    "ORDER-8",
    "DropsRepeats",
    "Of five equal lines in one read the last gets no reply.",
    base=_Shuffling,
    shuffled=lambda _, replies: [
        reply for at, reply in enumerate(replies) if at < 4 or {reply} != set(replies[at - 4 : at])
    ],
)
variant(
    "ORDER-8",
    "SwapsTheNinth",
    "Of nine lines in one read, the last two change places.",
    base=_Shuffling,
    shuffled=lambda _, replies: (
        [*replies[:7], *replies[8:6:-1], *replies[9:]] if len(replies) > 8 else replies
    ),
)
variant(
    "SAY-1",
    "ShoutsTheNotice",
    "The notice is all capitals.",
    DISCARD,
    notice=lambda self: Conversation.notice(self).upper(),
)
variant(
    "SAY-1",
    "NoticesWithoutLf",
    "The notice does not end its line.",
    REJECT,
    notice=lambda self: Conversation.notice(self)[:-1],
)
variant(
    "SAY-1",
    "ShoutsAndEnds",
    "The notice is all capitals, and the last word.",
    REJECT,
    notice=lambda _: b"ERROR\n",
)
