"""SERVE and FRAME broken again: for some lengths, contents and moments."""

from __future__ import annotations

import re
from collections.abc import Callable

from ci.conformance.reference import Conversation

from .bases import ByLine, Impatient
from .registry import variant, wrong

_LONG = 80


def _capitals(data: bytes, end: int) -> bytes:
    return data[:end].upper() + data[end:]


def _first_high(line: bytes) -> int:
    return next((at for at, byte in enumerate(line) if byte > 127), len(line))


#: Wrong in what they make of a line: the clause, the name, the story, and the reply to a line.
_REPLIES: list[tuple[str, str, str, Callable[[bytes], bytes]]] = [
    (
        "SERVE-1",
        "RaisesSixtyFour",
        "What is beyond 64 bytes is not raised.",
        lambda line: _capitals(line, 64),
    ),
    (
        "SERVE-1",
        "RaisesUntilAHighByte",
        "Behind a byte above 127 nothing is raised.",
        lambda line: _capitals(line, _first_high(line)),
    ),
    ("SERVE-2", "StripsLeadingBlanks", "Blanks in front are lost.", lambda line: line.upper().lstrip(b" \t")),
    (
        "SERVE-2",
        "DropsTheMark",
        "A byte order mark in front is lost.",
        lambda line: line.upper().removeprefix(b"\xef\xbb\xbf"),
    ),
    (
        "SERVE-2",
        "Rubs",
        "A backspace rubs out what is before it.",
        lambda line: re.sub(rb"[^\n]\x08", b"", line.upper()),
    ),
    (
        "SERVE-2",
        "ForgetsTheEighthBit",
        "Behind 200 bytes the eighth bit is lost.",
        lambda line: line[:200].upper() + bytes(byte & 127 for byte in line[200:]).upper(),
    ),
    (
        "FRAME-1",
        "DropsTrailingNuls",
        "NULs at the end are lost.",
        lambda line: re.sub(rb"\0+(?=\n$)", b"", line.upper()),
    ),
    (
        "FRAME-1",
        "DropsTheLeadingCr",
        "A CR in front is lost.",
        lambda line: line.upper().removeprefix(b"\r") if len(line) > 2 else line.upper(),
    ),
    (
        "FRAME-2",
        "EatsCrOfLongLines",
        "A CRLF behind 80 bytes becomes LF.",
        lambda line: line.upper() if len(line) < _LONG else line.upper().replace(b"\r\n", b"\n"),
    ),
    (
        "FRAME-7",
        "WrapsAt256",
        "The length is kept in a byte.",
        lambda line: b"\n" if line[-1:] == b"\n" and len(line) in range(256, 9000, 256) else line.upper(),
    ),
    (
        "FRAME-7",
        "LosesOneOf512",
        "A line of 512 bytes is lost.",
        lambda line: b"" if len(line) == 512 else line.upper(),
    ),
    (
        "FRAME-7",
        "CutsAt700",
        "What is beyond 700 bytes is lost.",
        lambda line: line.upper() if len(line) < 701 else line[:700].upper() + b"\n",
    ),
]
for _clause, _name, _story, _reply in _REPLIES:
    variant(_clause, _name, _story, serve=lambda _, data, reply=_reply: reply(data))


@wrong("SERVE-1")
class RaisesAHundredLines(ByLine):
    """From the hundred-and-first line on nothing is raised."""

    def reply(self, data: bytes) -> bytes:
        return data.upper() if self.number <= 100 else data


class _Framing(Conversation):
    """Other bytes end a line too; what they end is answered at once."""

    ends = b""

    def answer(self, data: bytes) -> tuple[bytes, bool]:
        replies, last = super().answer(data)
        at = max(map(self.pending.rfind, (self.ends[n : n + 1] for n in range(len(self.ends)))))
        if last or at < 0:
            return replies, last
        line = bytes(self.pending[: at + 1])
        del self.pending[: at + 1]
        return replies + self.serve(line), False


for _name, _story, _ends in (
    ("FramesAtCr", "A bare CR ends a line.", b"\r"),
    ("FramesAtVtAndFf", "A VT or an FF ends a line.", b"\v\f"),
    ("FramesAtNul", "A NUL ends a line.", b"\0"),
    ("FramesAtNel", "A byte 85 ends a line.", b"\x85"),
):
    variant("FRAME-1", _name, _story, base=_Framing, ends=_ends)


@wrong("FRAME-2")
class RemembersTheFirstEnd(ByLine):
    """If the first line ended in LF alone, all replies do."""

    crs = True

    def reply(self, data: bytes) -> bytes:
        if self.number == 1:
            self.crs = data.endswith(b"\r\n")
        return data.upper() if self.crs else data.upper().replace(b"\r\n", b"\n")


@wrong("FRAME-3")
class SkipsTheFourthEmptyLine(Conversation):
    """Of empty lines in a row, those behind the third get no reply."""

    empty = 0

    def serve(self, data: bytes) -> bytes:
        self.empty = self.empty + 1 if data in (b"\n", b"\r\n") else 0
        return b"" if self.empty > 3 else data.upper()


@wrong("FRAME-3")
class SkipsEmptyLinesBehindLongOnes(Conversation):
    """An empty line behind one of more than 100 bytes gets no reply."""

    length = 0

    def serve(self, data: bytes) -> bytes:
        before, self.length = self.length, len(data)
        return b"" if data == b"\n" and before > 100 and not self.streaming else data.upper()


variant(
    "FRAME-4",
    "LosesLongTails",
    "A tail of more than 64 bytes is lost.",
    answer_tail=lambda self: b"" if len(self.pending) > 64 else Conversation.answer_tail(self),
)


@wrong("FRAME-4")
class LosesTailsBehindLines(ByLine):
    """A tail behind ten lines is lost."""

    def answer_tail(self) -> bytes:
        return b"" if self.number >= 10 else super().answer_tail()


@wrong("FRAME-4")
class LosesTheLateTail(Impatient):
    """A tail is lost if the client waits for half a second before it ends its input."""

    seconds = 0.5

    def is_waiting(self) -> bool:
        return bool(self.pending)

    def answer_tail(self) -> bytes:
        return b"" if self.was_silent else super().answer_tail()


@wrong("FRAME-5")
class SaysGoodbye(ByLine):
    """Behind the last reply comes a good-bye, if nothing was left over."""

    def answer_tail(self) -> bytes:
        return super().answer_tail() or (b"goodbye\n" if self.number else b"")


@wrong("FRAME-5")
class AnswersTheLateNothing(Impatient):
    """A client that waits before it ends its input without a word gets an empty line."""

    seconds = 0.4

    def is_waiting(self) -> bool:
        return not self.heard

    def answer_tail(self) -> bytes:
        return super().answer_tail() or (b"\n" if self.was_silent and not self.heard else b"")


@wrong("FRAME-5")
class AnswersTheEndBehindACr(ByLine):
    """Where the last line ended in CRLF, the end of input counts as an empty line."""

    crlf = False

    def reply(self, data: bytes) -> bytes:
        self.crlf = data.endswith(b"\r\n") if data else self.crlf
        return data.upper()

    def answer_tail(self) -> bytes:
        return super().answer_tail() or (b"\r\n" if self.crlf else b"")


@wrong("FRAME-6")
class LosesTheByteBeforeTheEdge(Conversation):
    """Where a read ends just behind 64 bytes of a line, the last of them is lost."""

    def answer(self, data: bytes) -> tuple[bytes, bool]:
        if len(self.pending) == 64:
            del self.pending[-1:]
        return super().answer(data)


@wrong("FRAME-6")
class ForgetsAfterFortyReads(Conversation):
    """A line that comes in more than forty reads loses its beginning."""

    reads = 0

    def answer(self, data: bytes) -> tuple[bytes, bool]:
        self.reads = self.reads + 1 if self.pending else 0
        if self.reads == 40:
            self.pending.clear()
        return super().answer(data)


@wrong("FRAME-6")
class LosesABytePerBuffer(Conversation):
    """Input is read by 4096 bytes; where that is inside a line, the last of them is lost."""

    def read(self) -> bytes:
        data = self.sock.recv(4096)
        return (
            data
            if len(data) < 4096 or self.pending or data.count(b"\n") < 3 or data.endswith(b"\n")
            else data[:-1]
        )
