"""LIMIT broken, one at a time."""

from __future__ import annotations

from ci.conformance.reference import Conversation, Settings

from .registry import DISCARD, REJECT, wrong


@wrong("LIMIT-1", DISCARD)
class CountsTheLf(Conversation):
    """A line at the limit is refused, since its LF is counted as well."""

    def too_long(self, length: int) -> bool:
        return length >= self.settings.max_line


@wrong("LIMIT-1", REJECT)
class CountsReads(Conversation):
    """A line at the limit is refused if its LF comes in a read of its own."""

    def answer(self, data: bytes) -> tuple[bytes, bool]:
        full = len(self.pending) == self.settings.max_line and data.startswith(b"\n")
        return (self.notice(), True) if full else super().answer(data)


@wrong("LIMIT-2", DISCARD)
class CountsToOneMore(Conversation):
    """A line with one byte too many is answered."""

    def too_long(self, length: int) -> bool:
        return length > self.settings.max_line + 1


@wrong("LIMIT-2", REJECT)
class LooksForTheLfFirst(Conversation):
    """The limit counts only while the LF is not there: a whole line in one read is never too long."""

    def answer_piece(self, piece: bytes) -> bytes:
        if not self.pending and not self.skipping and piece.endswith(b"\n"):
            return self.serve(piece)
        return super().answer_piece(piece)


@wrong("LIMIT-3", DISCARD)
class ForgivesTheCr(Conversation):
    """The CR of a CRLF is not counted."""

    def too_long(self, length: int) -> bool:
        return super().too_long(length - self.pending.endswith(b"\r\n"))


@wrong("LIMIT-4", DISCARD)
class WaitsForTheLf(Conversation):
    """The notice comes only when the oversize line is complete."""

    def too_long(self, length: int) -> bool:
        return self.pending.endswith(b"\n") and super().too_long(length)

    def answer_tail(self) -> bytes:
        return self.notice() if super().too_long(len(self.pending)) else super().answer_tail()


@wrong("LIMIT-5", DISCARD)
class RoundsTheLimit(Conversation):
    """The notice names another limit."""

    def notice(self) -> bytes:
        return b"error: line longer than %d bytes\n" % (self.settings.max_line + 1)


@wrong("LIMIT-5", REJECT)
class ExplainsItself(Conversation):
    """The notice has other words."""

    def notice(self) -> bytes:
        return b"500 line too long, sorry\n"


@wrong("LIMIT-6", REJECT)
class ForgetsWhatCameBefore(Conversation):
    """The lines before the oversize one are not answered if they came in the same read."""

    def answer(self, data: bytes) -> tuple[bytes, bool]:
        replies, last = super().answer(data)
        return (self.notice(), True) if last else (replies, last)


@wrong("LIMIT-6", DISCARD)
class NoticesFirst(Conversation):
    """The notice comes ahead of the replies to what came before."""

    def answer(self, data: bytes) -> tuple[bytes, bool]:
        replies, last = super().answer(data)
        before, notice, after = replies.partition(self.notice())
        return notice + before + after, last


@wrong("LIMIT-7", REJECT)
class GoesOnAfterRejecting(Conversation):
    """Lines behind a rejected one are answered."""

    def is_last(self, piece: bytes, reply: bytes) -> bool:
        del piece, reply
        return False


@wrong("LIMIT-7", REJECT)
class RejectsTwice(Conversation):
    """The notice is followed by a good-bye."""

    def end(self) -> None:
        self.say(b"goodbye\n" if self.skipped else b"")
        super().end()

    skipped = False

    def notice(self) -> bytes:
        self.skipped = True
        return super().notice()

    def is_last(self, piece: bytes, reply: bytes) -> bool:
        del piece
        return reply == super().notice()


@wrong("LIMIT-8", DISCARD)
class AnswersTheRest(Conversation):
    """The rest of an oversize line, after its notice, is answered as a line of its own."""

    def answer_oversize(self, *, complete: bool) -> bytes:
        del complete
        self.take()
        return self.notice()


@wrong("LIMIT-8", DISCARD)
class EatsTheNextLine(Conversation):
    """The line behind an oversize one is skipped too."""

    def answer_oversize(self, *, complete: bool) -> bytes:
        reply = super().answer_oversize(complete=complete)
        self.skipping = True
        return reply


@wrong("LIMIT-8", REJECT, declared={"oversize": "discard"})
class EndsInsteadOfDiscarding(Conversation):
    """The conversation ends with the notice."""


@wrong("LIMIT-8", DISCARD)
class NeverResumes(Conversation):
    """After an oversize line that came in pieces nothing is answered any more."""

    def answer_piece(self, piece: bytes) -> bytes:
        return b"" if self.skipping else super().answer_piece(piece)


@wrong("LIMIT-9", DISCARD)
class RepeatsTheNotice(Conversation):
    """There is a notice again for each further limit's worth of the same line."""

    skipped = 0

    def answer_piece(self, piece: bytes) -> bytes:
        reply = super().answer_piece(piece)
        self.skipped = self.skipped + len(piece) if self.skipping else 0
        if self.skipped > 3 * self.settings.max_line:
            self.skipped = 0
            return self.notice()
        return reply


@wrong("LIMIT-9", DISCARD)
class NoticesOnce(Conversation):
    """Only the first oversize line of a connection gets a notice."""

    noticed = False

    def answer_oversize(self, *, complete: bool) -> bytes:
        reply = super().answer_oversize(complete=complete)
        first, self.noticed = not self.noticed, True
        return reply if first else b""


@wrong("LIMIT-10", Settings(max_line=1000), limited=True)
class CutsStreamedLines(Conversation):
    """With `stream`, what is beyond the limit is lost."""

    def answer_oversize(self, *, complete: bool) -> bytes:
        line = self.take()
        self.skipping = not complete
        return self.serve(line[: self.settings.max_line] + b"\n")


@wrong("LIMIT-10", Settings(max_line=1000), limited=True)
class TerminatesPieces(Conversation):
    """With `stream`, each piece of a long line is answered as a line."""

    def answer_oversize(self, *, complete: bool) -> bytes:
        line = self.take()
        pieces = [line[start : start + 1000] for start in range(0, len(line), 1000)]
        self.streaming = not complete
        return b"\n".join(map(self.serve, pieces))


@wrong("LIMIT-11", DISCARD)
class NoticesTheTailAgain(Conversation):
    """An oversize last line gets another notice at the end of input."""

    def answer_tail(self) -> bytes:
        return self.notice() if self.skipping else super().answer_tail()
