"""SERVE and FRAME: what a line is, and that its reply does not depend on how it came.

Each sample is sent whole, under the clause it is about. If the reply to it is right, the same
sample in each cut is a case of FRAME-6.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from caas_trio.conformance import cuts
from caas_trio.conformance.case import Case, Script
from caas_trio.conformance.cuts import Cut
from caas_trio.conformance.profile import Need, Profile
from caas_trio.conformance.script import Connect, Expect, Send, Step

from .common import CUT, exchange, proof, to_the_end
from .content import PLAIN


@dataclass(frozen=True, slots=True)
class _Sample:
    """Some input: lines, or with `ended` also a tail behind which the client ends its input."""

    clause: str
    name: str
    data: bytes
    ended: bool = False
    after: tuple[str, ...] = ()

    def script(self, cut: Cut) -> Script:
        return to_the_end(self.data, cut) if self.ended else exchange(self.data, cut)

    @property
    def needs(self) -> tuple[Need, ...]:
        several = len(self.data.splitlines(keepends=True)) > 1 if self.ended else self.data.count(b"\n") > 1
        return (Need.STREAM, Need.CONVERSATION) if several else (Need.STREAM,)

    @property
    def length(self) -> int:
        return max(map(len, self.data.split(b"\n")))


def _between(name: str, odd: bytes, after: tuple[str, ...] = ()) -> _Sample:
    """Return the sample of a line with something odd in it."""
    return _Sample("FRAME-1", name, b"ONE" + odd + b"TWO" + odd + b"THREE\n", after=after)


_CONTROLS: Final = bytes(byte for byte in PLAIN if chr(byte) < " " or chr(byte) == "\x7f")
_HIGH: Final = bytes(byte for byte in PLAIN if not chr(byte).isascii())

_HIGH_PASSED: Final = ("SERVE-2.high-bytes/whole", "SERVE-2.latin-1/whole", "SERVE-2.utf-8/whole")
_BYTES_PASSED: Final = (
    *("SERVE-1.letters/whole", "SERVE-2.controls/whole", "SERVE-2.punctuation/whole", "SERVE-2.blanks/whole"),
    *_HIGH_PASSED,
    *(
        "FRAME-7.lengths/whole",
        "SERVE-1.lengths/whole",
        "SERVE-1.between-others/whole",
        "SERVE-2.lengths/whole",
    ),
)
_CR_PASSED: Final = ("FRAME-1.cr/whole",)
_CRLF_PASSED: Final = ("FRAME-2.crlf/whole",)
_ENDS_PASSED: Final = ("SERVE-2.at-both-ends/whole",)
_OWED_PASSED: Final = ("CLOSE-1.hundred/whole",)

_SAMPLES: Final = (
    _Sample("SERVE-1", "letters", b"abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ\n"),
    _Sample("SERVE-1", "sentence", b"The quick brown fox jumps over the lazy dog.\n"),
    _Sample("SERVE-2", "controls", _CONTROLS + b"\n"),
    _Sample("SERVE-2", "punctuation", b" !\"#$%&'()*+,-./0123456789:;<=>?@[\\]^_`{|}~\n"),
    _Sample("SERVE-2", "high-bytes", _HIGH + b"\n"),
    _Sample("SERVE-2", "latin-1", "\xe0\xe9\xf1\xfc\xb5\xdf\xff\n".encode("latin-1")),
    _Sample("SERVE-2", "utf-8", "\xdf \xe9 \ufb01 \u0131 \u01c6 \U0001f40d\n".encode()),
    _Sample("SERVE-2", "broken-utf-8", b"\xc3( \xff\xfe \xed\xa0\x80 \xf8\n"),
    _Sample("SERVE-2", "telnet", b"\xff\xfd\x01\xff\xff\n"),
    _Sample("SERVE-2", "blanks", b" \t x \t \n"),
    _between("nul", b"\0"),
    _between("cr", b"\r"),
    _between("cr-cr", b"\r\r"),
    _between("vt", b"\v"),
    _between("ff", b"\f"),
    _between("eof-mark", b"\x1a"),
    _between("separators", b"\x1c\x1d\x1e"),
    _between("nel", b"\x85", _HIGH_PASSED),
    _between("line-separator", "\u2028\u2029".encode(), _HIGH_PASSED),
    _between("backslash-n", b"\\n"),
    _Sample("FRAME-1", "every-byte", bytes(range(256)).replace(b"\n", b"") + b"\n", after=_BYTES_PASSED),
    _Sample("FRAME-1", "cr-crlf", b"ONE\r\r\n", after=_CRLF_PASSED),
    _Sample("FRAME-1", "lf-cr", b"ONE\n\rTWO\n"),
    _Sample("FRAME-2", "crlf", b"ONE\r\n"),
    _Sample("FRAME-2", "mixed", b"ONE\r\nTWO\nTHREE\r\n"),
    _Sample("FRAME-3", "lf", b"\n"),
    _Sample("FRAME-3", "lf-lf-lf", b"\n\n\n"),
    _Sample("FRAME-3", "between", b"ONE\n\nTWO\n"),
    _Sample("FRAME-3", "crlf", b"\r\n", after=_CRLF_PASSED),
    _Sample("FRAME-4", "tail", b"TAIL", ended=True),
    _Sample("FRAME-4", "one-byte", b"T", ended=True),
    _Sample("FRAME-4", "line-and-tail", b"ONE\nTAIL", ended=True, after=_OWED_PASSED),
    _Sample("FRAME-4", "tail-and-cr", b"TAIL\r", ended=True, after=_CR_PASSED),
    _Sample("FRAME-4", "cr", b"\r", ended=True, after=_CR_PASSED),
    _Sample("FRAME-4", "blanks", b"ONE\n  ", ended=True, after=(*_OWED_PASSED, *_ENDS_PASSED)),
)

#: The cuts that apply to a sample, with what it has to contain for them to do anything.
_CUTS: Final = (
    (cuts.BYTE, b""),
    (cuts.BEFORE_LF, b"\n"),
    (cuts.INSIDE_CRLF, b"\r\n"),
    (cuts.THIRDS, b""),
)
_LONG: Final = 100
#: A server may end the conversation by itself after this many reads, or lose input that comes with a header.
_IN_TURN: Final = ("CLOSE-4.lines/whole", "PROXY-1.with-part-of-a-line/whole")
#: A server may lose the tail that comes with a header.
_TAILED: Final = ("PROXY-1.with-a-tail/whole",)


def _family(sample: _Sample) -> Iterator[Case]:
    script = sample.script(cuts.WHOLE)
    after = (*sample.after, *(_TAILED if sample.ended else ()))
    whole = Case(sample.clause, sample.name, script, "whole", sample.needs, sample.length, after)
    yield whole
    # The clause goes into the name too: FRAME-2.crlf and FRAME-3.crlf are two samples.
    name = f"{sample.clause.lower()}-{sample.name}"
    for cut, contained in _CUTS:
        pieces = len(list(cut.pieces(sample.data)))
        if contained in sample.data and 1 < pieces <= _LONG:
            script = sample.script(cut)
            yield Case(
                "FRAME-6", name, script, cut.name, sample.needs, sample.length, after=(whole.id, *_IN_TURN)
            )


_SEVERAL: Final = b"ONE\nTWO TWO\nTHREE THREE THREE\r\nFOUR\n"
_PLAIN_LINES: Final = b"ONE\nTWO TWO\nTHREE THREE THREE\nFOUR\n"
_TWO_PASSED: Final = ("ORDER-8.two/whole", *_IN_TURN)
_MIXED_PASSED: Final = ("FRAME-2.mixed/whole", "FRAME-2.lf-first/whole", *_IN_TURN)
_LONG_PASSED: Final = ("FRAME-7.64KiB/whole", "FRAME-7.lengths/whole")
_STREAM_PASSED: Final = (
    *CUT,
    *("LIMIT-10.limit+1/whole", "LIMIT-10.ten-times/whole", "LIMIT-10.lengths/whole"),
)
_BUFFER_SIZES: Final = (512, 1024, 4096, 8192, 16384, 65536)


def _conversation_cuts() -> Iterator[Case]:
    """Several lines, cut at lines' ends and across them, and lines that end at the edge of a usual read."""
    for cut in (cuts.AFTER_LF, cuts.BEFORE_LF, cuts.THIRDS, cuts.INSIDE_CRLF, cuts.BYTE):
        script = exchange(_SEVERAL, cut)
        yield Case(
            "FRAME-6", "several", script, cut.name, (Need.STREAM, Need.CONVERSATION), after=_MIXED_PASSED
        )
    for cut in (cuts.THIRDS, cuts.BYTE):
        needs = (Need.STREAM, Need.CONVERSATION)
        yield Case("FRAME-6", "plain-lines", exchange(_PLAIN_LINES, cut), cut.name, needs, after=_TWO_PASSED)
    for size in _BUFFER_SIZES:
        for length in (size - 1, size, size + 1):
            data = b"X" * (length - 1) + b"\n"
            yield Case("FRAME-6", f"read-edge-{length}", exchange(data), length=length, after=_LONG_PASSED)


_SIZES: Final = {"1000": 1000, "4KiB": 4 << 10, "64KiB": 1 << 16, "1MiB": 1 << 20, "64MiB": 64 << 20}


def _long(length: int) -> Script:
    """Return the script for one long line, built only when it runs."""

    def script(profile: Profile) -> Iterator[Step]:
        line = b"LONG-" * (length // 5) + b"!" * (length % 5) + b"\n"
        yield Connect()
        yield Send(line)
        # Not what the oracle says, which knows that an undeclared limit may be lower.
        yield Expect((profile.service.reply(line),))
        yield from proof(profile)

    return script


def _long_lines() -> Iterator[Case]:
    for name, length in _SIZES.items():
        effort = 6.0 if length > 1 << 20 else 1.0
        yield Case("FRAME-7", name, _long(length), length=length, effort=effort, after=_STREAM_PASSED)
    yield Case("FRAME-8", "64KiB", _long(1 << 16), needs=(Need.STREAM, Need.UNDECLARED))


CASES: Final = (
    *(case for sample in _SAMPLES for case in _family(sample)),
    Case("FRAME-5", "nothing", to_the_end(b"")),
    *_conversation_cuts(),
    *_long_lines(),
)
