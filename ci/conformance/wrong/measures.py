"""LIMIT broken again: in what is counted, in the notice, and in what follows it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ci.conformance.reference import Conversation, Settings

from .bases import ByLine, Impatient
from .registry import DISCARD, REJECT, STREAMED, variant, wrong


def _length(self: Conversation) -> int:
    """Return how many bytes of the line are there, before its LF."""
    return len(self.pending.removesuffix(b"\n"))


#: Wrong in what counts as too long: the clause, the name, the story, and whether a line is.
_TOO_LONG: list[tuple[str, str, str, Settings, Callable[[Any, int], bool]]] = [
    (
        "LIMIT-1",
        "RefusesTheSecondAtTheLimit",
        "Behind another line, one at the limit is refused.",
        DISCARD,
        lambda self, length: length > 100 - (self.number > 0),
    ),
    (
        "LIMIT-1",
        "CountsTabsAsFour",
        "A tab counts as four bytes.",
        REJECT,
        lambda self, length: length + 3 * self.pending.count(b"\t") > 100,
    ),
    (
        "LIMIT-2",
        "MeasuresThreeLines",
        "Behind three lines anything goes.",
        DISCARD,
        lambda self, length: length > (100 if self.number < 3 else 100_000),
    ),
    (
        "LIMIT-2",
        "TakesTheSecondBeyond",
        "Behind another line, one of a byte too many is taken.",
        REJECT,
        lambda self, length: length > 100 + (self.number > 0),
    ),
    (
        "LIMIT-3",
        "CountsCharacters",
        "Characters are counted, not bytes.",
        DISCARD,
        lambda self, length: (
            length > 100 and len(self.pending.decode(errors="ignore").removesuffix("\n")) > 100
        ),
    ),
    (
        "LIMIT-3",
        "ForgivesTrailingBlanks",
        "Blanks before the LF are not counted.",
        REJECT,
        lambda self, length: (
            len(self.pending.rstrip(b" \t\n") if self.pending.endswith(b"\n") else self.pending) > 100
        ),
    ),
    (
        "LIMIT-3",
        "ForgivesNuls",
        "NULs are not counted.",
        DISCARD,
        lambda self, length: length - self.pending.count(b"\0") > 100,
    ),
    (
        "LIMIT-3",
        "ForgivesInnerCrs",
        "CRs are not counted, unless they are at the end.",
        REJECT,
        lambda self, length: length - self.pending.removesuffix(b"\n").rstrip(b"\r").count(b"\r") > 100,
    ),
    (
        "LIMIT-4",
        "WaitsForTheSecondLf",
        "Behind another line, the notice waits for the LF.",
        DISCARD,
        lambda self, length: length > 100 and (not self.number or self.pending.endswith(b"\n")),
    ),
    (
        "LIMIT-4",
        "WaitsInTheMiddle",
        "The notice waits until there are 120 bytes, or an LF.",
        REJECT,
        lambda self, length: length > (100 if self.pending.endswith(b"\n") else 120),
    ),
]


class _Measuring(ByLine):
    """Says at the end what it should have said before of a tail that is too long."""

    def answer_tail(self) -> bytes:
        return self.notice() if len(self.pending) > self.settings.max_line else super().answer_tail()


for _clause, _name, _story, _settings, _too_long in _TOO_LONG:
    variant(_clause, _name, _story, _settings, base=_Measuring, too_long=_too_long)
variant(
    "LIMIT-1",
    "RefusesTheTailAtTheLimit",
    "A last line at the limit without a terminator is refused.",
    DISCARD,
    answer_tail=lambda self: self.notice() if len(self.pending) == 100 else Conversation.answer_tail(self),
)


@wrong("LIMIT-2", DISCARD)
class TakesOneMoreInPieces(Conversation):
    """A line that comes in three reads or more may have a byte more."""

    reads = 0

    def answer(self, data: bytes) -> tuple[bytes, bool]:
        self.reads = self.reads + 1 if self.pending else 1
        return super().answer(data)

    def too_long(self, length: int) -> bool:
        return length > 100 + (self.reads > 2 and self.pending.endswith(b"\n") and length == 101)


class _Naming(Conversation):
    """Names a number in its notice."""

    def answer_oversize(self, *, complete: bool) -> bytes:
        self.length = _length(self)
        return super().answer_oversize(complete=complete)

    length = 0
    notices = 0

    def named(self) -> int:
        """Return the number."""
        return self.settings.max_line

    def notice(self) -> bytes:
        return b"error: line longer than %d bytes\n" % self.named()

    def is_last(self, piece: bytes, reply: bytes) -> bool:
        return self.settings.oversize == "reject" and reply.startswith(b"error")


variant(
    "LIMIT-5",
    "NamesTheLength",
    "The notice names what came, less one.",
    REJECT,
    base=_Naming,
    named=lambda self: self.length - 1 if self.length else 100,
)
variant(
    "LIMIT-5",
    "NamesTheLengthAndGoesOn",
    "The same where the conversation goes on.",
    DISCARD,
    base=_Naming,
    named=lambda self: max(self.length - 1, 100),
)


@wrong("LIMIT-5", DISCARD)
class NamesAnotherNext(_Naming):
    """The second notice names another number."""

    def answer_oversize(self, *, complete: bool) -> bytes:
        self.notices += 1
        return super().answer_oversize(complete=complete)

    def named(self) -> int:
        return self.settings.max_line + (self.notices > 1)


class _Mixed(Conversation):
    """Sends replies and notices of one read in another order, or not all of them."""

    def answer(self, data: bytes) -> tuple[bytes, bool]:
        replies, last = super().answer(data)
        before, notice, after = replies.partition(self.notice())
        return self.mixed(before, notice, after) if notice else replies, last

    def mixed(self, before: bytes, notice: bytes, after: bytes) -> bytes:
        """Return what is sent."""
        return before + notice + after


variant(
    "LIMIT-6",
    "AnswersTheLastBefore",
    "Of the lines before an oversize one only the last ten are answered.",
    REJECT,
    base=_Mixed,
    mixed=lambda _, before, notice, after: b"".join(before.splitlines(keepends=True)[-10:]) + notice + after,
)
variant(
    "LIMIT-6",
    "NoticesAheadOfMany",
    "The notice comes ahead of more than 200 bytes of replies.",
    DISCARD,
    base=_Mixed,
    mixed=lambda _, before, notice, after: (
        before + notice + after if len(before) < 200 else notice + before + after
    ),
)


@wrong("LIMIT-7", REJECT)
class SaysGoodbyeLater(Conversation):
    """Half a second behind the notice comes a good-bye."""

    def end(self) -> None:
        if self.skipped:
            time.sleep(0.5)
            self.say(b"goodbye\n")
        super().end()

    skipped = False

    def answer_oversize(self, *, complete: bool) -> bytes:
        self.skipped = True
        return super().answer_oversize(complete=complete)


@wrong("LIMIT-7", REJECT)
class GoesOnLater(Conversation):
    """Input that comes with the oversize line is dropped, and the conversation goes on."""

    def answer(self, data: bytes) -> tuple[bytes, bool]:
        replies, last = super().answer(data)
        self.skipping = self.skipping or (last and not data.endswith(b"\n"))
        return replies, False


@wrong("LIMIT-7", REJECT)
class StaysAfterRejecting(Conversation):
    """Behind the notice nothing is answered, and nothing ended, until the client ends its input."""

    rejected = False

    def answer(self, data: bytes) -> tuple[bytes, bool]:
        if self.rejected:
            return b"", False
        replies, self.rejected = super().answer(data)
        return replies, False

    def answer_tail(self) -> bytes:
        return b"" if self.rejected else super().answer_tail()


class _Skipping(Conversation):
    """Knows how much of an oversize line it has skipped."""

    skipped = 0

    def answer_piece(self, piece: bytes) -> bytes:
        was = self.skipping
        reply = super().answer_piece(piece)
        self.skipped = self.skipped + len(piece) if was else 0
        return reply + (self.again(complete=piece.endswith(b"\n")) if was else b"")

    def again(self, *, complete: bool) -> bytes:
        """Return what comes behind the notice."""
        return b""


variant(
    "LIMIT-9",
    "NoticesLongLinesTwice",
    "At the end of a line of 60 times the limit there is another notice.",
    DISCARD,
    base=_Skipping,
    again=lambda self, complete: self.notice() if complete and self.skipped > 6000 else b"",
)
variant(
    "LIMIT-9",
    "NoticesAtTheLf",
    "If the LF of an oversize line comes later and alone, there is another notice.",
    DISCARD,
    base=_Skipping,
    again=lambda self, complete: self.notice() if complete and self.skipped == 1 else b"",
)
variant(
    "LIMIT-11",
    "NoticesLongTailsAgain",
    "An oversize tail of twice the limit gets another notice.",
    DISCARD,
    base=_Skipping,
    answer_tail=lambda self: (
        self.notice() if self.skipping and self.skipped > 100 else Conversation.answer_tail(self)
    ),
)
variant(
    "LIMIT-11",
    "AnswersTheTailsRest",
    "What comes of an oversize tail after its notice is answered at the end.",
    DISCARD,
    base=_Skipping,
    answer_tail=lambda self: b"REST" if self.skipping and self.skipped else Conversation.answer_tail(self),
)


@wrong("LIMIT-9", DISCARD)
class NoticesAgainLater(Impatient):
    """A client that is silent within an oversize line gets the notice again."""

    def is_waiting(self) -> bool:
        return self.skipping

    def silence(self) -> None:
        self.say(self.notice())


class _Streaming(Conversation):
    """Knows how much of an oversize line it has answered."""

    streamed = 0

    def answer_piece(self, piece: bytes) -> bytes:
        reply = super().answer_piece(piece)
        self.streamed = self.streamed + len(reply) if self.streaming else 0
        return self.piece(reply) if self.streaming else reply

    def piece(self, reply: bytes) -> bytes:
        """Return the reply to a piece of an oversize line."""
        return reply


variant(
    "LIMIT-10",
    "StreamsSixteenLimits",
    "Of a line beyond 16 times the limit the rest is lost.",
    STREAMED,
    base=_Streaming,
    run={"limited": True},
    piece=lambda self, reply: reply if self.streamed < 16_000 else b"",
)


@wrong("LIMIT-10", STREAMED, limited=True)
class LosesStreamedTails(Conversation):
    """An oversize line without a terminator loses its last bytes."""

    held = b""

    def answer(self, data: bytes) -> tuple[bytes, bool]:
        replies, last = super().answer(data)
        replies, self.held = self.held + replies, b""
        if self.streaming:
            replies, self.held = replies[:-1], replies[-1:]
        return replies, last
