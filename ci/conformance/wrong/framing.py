"""SERVE and FRAME broken, one at a time."""

from __future__ import annotations

import re

from ci.conformance.reference import Conversation, Settings

from .registry import STRICT, STRICT_DISCARD, wrong


@wrong("SERVE-1")
class Capitalizes(Conversation):
    """Only the first letter is raised."""

    def serve(self, data: bytes) -> bytes:
        return data.capitalize()


@wrong("SERVE-1")
class ForgetsZ(Conversation):
    """The last letter of the alphabet is left out of a hand-written range."""

    def serve(self, data: bytes) -> bytes:
        return bytes(byte - 32 if ord("a") <= byte < ord("z") else byte for byte in data)


@wrong("SERVE-1", Settings(service="echo"))
class EchoesCapitals(Conversation):
    """An echo server that answers in capitals."""

    def serve(self, data: bytes) -> bytes:
        return data.upper()


@wrong("SERVE-2")
class ReadsLatin1(Conversation):
    """Bytes are decoded as Latin-1, so letters with accents are raised too, and some cannot be."""

    def serve(self, data: bytes) -> bytes:
        return data.decode("latin-1").upper().encode("latin-1", errors="replace")


@wrong("SERVE-2")
class ReadsUtf8(Conversation):
    """Bytes are decoded as UTF-8: a sharp s becomes two letters."""

    def serve(self, data: bytes) -> bytes:
        return data.decode(errors="surrogateescape").upper().encode(errors="surrogateescape")


@wrong("SERVE-2")
class ReplacesBrokenUtf8(Conversation):
    """Bytes that are not UTF-8 come back as question marks."""

    def serve(self, data: bytes) -> bytes:
        return data.upper().decode("ascii", errors="replace").replace("\ufffd", "?").encode()


@wrong("SERVE-2")
class StripsBlanks(Conversation):
    """Blanks at the end of a line are lost."""

    def serve(self, data: bytes) -> bytes:
        return re.sub(rb"[ \t]+(?=\n$)", b"", data.upper())


@wrong("SERVE-2")
class SpeaksTelnet(Conversation):
    """Two bytes 255 in a row come back as one, as Telnet writes it."""

    def serve(self, data: bytes) -> bytes:
        return data.upper().replace(b"\xff\xff", b"\xff")


@wrong("SERVE-2")
class ExpandsTabs(Conversation):
    """A tab becomes a space."""

    def serve(self, data: bytes) -> bytes:
        return data.upper().replace(b"\t", b" ")


@wrong("FRAME-1")
class EndsLinesAtCr(Conversation):
    """A CR ends a line too, unless an LF follows."""

    def serve(self, data: bytes) -> bytes:
        return re.sub(rb"\r(?!\n)", b"\n", data.upper())


@wrong("FRAME-1")
class EndsLinesAtNul(Conversation):
    """A NUL ends the scan, as in C."""

    def serve(self, data: bytes) -> bytes:
        head, nul, _ = data.upper().partition(b"\0")
        return head + b"\n" if nul else head


@wrong("FRAME-1")
class SplitsLikeUnicode(Conversation):
    """Everything that `str.splitlines` splits at ends a line."""

    def serve(self, data: bytes) -> bytes:
        return re.sub(rb"[\v\f\x1c-\x1e\x85]", b"\n", data.upper())


@wrong("FRAME-1")
class StopsAtCtrlZ(Conversation):
    """Ctrl-Z ends the line, as in DOS."""

    def serve(self, data: bytes) -> bytes:
        head, mark, _ = data.upper().partition(b"\x1a")
        return head + b"\n" if mark else head


@wrong("FRAME-1")
class ReadsEscapes(Conversation):
    r"""A backslash and an n make a line end."""

    def serve(self, data: bytes) -> bytes:
        return data.upper().replace(b"\\N", b"\n")


@wrong("FRAME-2")
class AnswersWithoutTerminator(Conversation):
    """The reply lacks its LF."""

    def serve(self, data: bytes) -> bytes:
        return data.upper().removesuffix(b"\n")


@wrong("FRAME-2")
class AnswersCrlf(Conversation):
    """Every reply ends in CRLF, whatever the line ended in."""

    def serve(self, data: bytes) -> bytes:
        return data.upper().removesuffix(b"\n").removesuffix(b"\r") + b"\r\n"


@wrong("FRAME-2")
class EatsCr(Conversation):
    """A line with CRLF is answered with LF alone."""

    def serve(self, data: bytes) -> bytes:
        return data.upper().replace(b"\r\n", b"\n")


@wrong("FRAME-3")
class SkipsEmptyLines(Conversation):
    """An empty line gets no reply."""

    def serve(self, data: bytes) -> bytes:
        return b"" if data == b"\n" and not self.streaming else data.upper()


@wrong("FRAME-3")
class SkipsEmptyCrlfLines(Conversation):
    """An empty line of a CRLF client gets no reply."""

    def serve(self, data: bytes) -> bytes:
        return b"" if data == b"\r\n" else data.upper()


@wrong("FRAME-4")
class ForgetsTheTail(Conversation):
    """A last line without a terminator is lost."""

    def answer_tail(self) -> bytes:
        return b""


@wrong("FRAME-4")
class TerminatesTheTail(Conversation):
    """The reply to an unterminated last line has an LF."""

    def answer_tail(self) -> bytes:
        tail = super().answer_tail()
        return tail + b"\n" if tail else b""


@wrong("FRAME-4")
class EatsTheTailsCr(Conversation):
    """A CR at the end of an unterminated last line is lost."""

    def answer_tail(self) -> bytes:
        return super().answer_tail().removesuffix(b"\r")


@wrong("FRAME-5")
class AnswersNothing(Conversation):
    """A client that has sent nothing gets an empty line when it ends its input."""

    heard = False

    def read(self) -> bytes:
        data = super().read()
        self.heard = self.heard or bool(data)
        return data

    def answer_tail(self) -> bytes:
        return super().answer_tail() if self.heard else b"\n"


@wrong("FRAME-6")
class LosesCrAtTheEdge(Conversation):
    """A CR is lost if the LF behind it comes in the next read."""

    def answer(self, data: bytes) -> tuple[bytes, bool]:
        if data.startswith(b"\n") and self.pending.endswith(b"\r"):
            del self.pending[-1:]
        return super().answer(data)


@wrong("FRAME-6")
class OverlooksTheFirstByte(Conversation):
    """An LF is overlooked, and lost, if it comes first in a read and ends a line begun before."""

    def answer(self, data: bytes) -> tuple[bytes, bool]:
        return super().answer(data.removeprefix(b"\n") if self.pending else data)


@wrong("FRAME-6")
class JoinsReadsWithABlank(Conversation):
    """A line that came in two reads has a blank between them."""

    def answer(self, data: bytes) -> tuple[bytes, bool]:
        joined = b" " + data if self.pending and not self.streaming and len(self.pending) < 200 else data
        return super().answer(joined)


@wrong("FRAME-7", Settings(max_line=9000), limited=False)
class CutsLongLines(Conversation):
    """Bytes beyond the buffer's end are lost without a notice."""

    def notice(self) -> bytes:
        return b""

    def answer_oversize(self, *, complete: bool) -> bytes:
        line = self.take()[: self.settings.max_line]
        self.skipping = not complete
        return self.serve(line).removesuffix(b"\n") + b"\n"


@wrong("FRAME-8", Settings(max_line=20_000, oversize="discard"), declared={"oversize": ""}, limited=False)
class TakesShortLinesOnly(Conversation):
    """A server without a declared limit refuses lines that others take."""


@wrong("FRAME-9", STRICT_DISCARD)
class EndsStrictLinesAtLf(Conversation):
    """A bare LF ends a line as well, as in the servers that could be smuggled through."""

    def answer_strictly(self, data: bytes) -> tuple[bytes, bool]:
        mended = re.sub(rb"(?<!\r)\n", b"\r\n", bytes(self.pending) + data)
        return super().answer_strictly(mended[len(self.pending) :])


@wrong("FRAME-9", STRICT_DISCARD)
class TakesABareCrForPayload(Conversation):
    """A CR without an LF is payload like any other byte."""

    def broken(self, payload: bytes) -> bool:
        return super().broken(payload.replace(b"\r", b""))


@wrong("FRAME-9", STRICT)
class ForgetsTheCrOfAReadBefore(Conversation):
    """An LF that comes first in a read is bare, whatever the read before it ended with."""

    def answer_strictly(self, data: bytes) -> tuple[bytes, bool]:
        if data.startswith(b"\n") and self.pending.endswith(b"\r"):
            return self.notice(), True
        return super().answer_strictly(data)


@wrong("FRAME-9", STRICT_DISCARD)
class TellsOfEachBareByte(Conversation):
    """Each bare CR or LF gets a notice, although they are in one line."""

    def answer_strictly(self, data: bytes) -> tuple[bytes, bool]:
        again = len(re.findall(rb"\r(?!\n)|(?<!\r)\n", data)) - 1
        replies, last = super().answer_strictly(data)
        return replies + self.notice() * again, last


@wrong("FRAME-9", STRICT)
class CountsTheCr(Conversation):
    """The limit counts the CR of CR LF, too."""

    def too_long(self, length: int) -> bool:
        return super().too_long(length + 1)
