"""FRAME-9: lines that end with CR LF and with nothing else.

The endings are those of SMTP smuggling among others (CVE-2023-51764 to CVE-2023-51766): a reader that
takes one of them for the end of a line sees other lines than one that does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from caas_trio.conformance import cuts
from caas_trio.conformance.case import Case, Script
from caas_trio.conformance.cuts import WHOLE, Cut
from caas_trio.conformance.oracle import NOTICE, strict_replies
from caas_trio.conformance.profile import Need, Profile
from caas_trio.conformance.script import Connect, EndInput, Expect, ExpectEnd, Send, Silence, Step
from caas_trio.core.session import Oversize

_CLAUSE: Final = "FRAME-9"
#: Seconds of silence that show that nothing is said yet.
_QUIET_S: Final = 0.4
_MARKER: Final = b"MARKER\r\n"
_SEVERAL: Final = (Need.CRLF_LINES, Need.CONVERSATION)
_BROKEN: Final = (Need.CRLF_LINES, Need.NOTICE)


@dataclass(frozen=True, slots=True)
class _Sample:
    """Some input with a line that is broken, and a whole one behind it."""

    name: str
    data: bytes
    ended: bool = False


def _odd(name: str, odd: bytes) -> _Sample:
    """Return the sample of something odd where a line might end."""
    return _Sample(name, b"ONE" + odd + b"TWO\r\nTHREE\r\n")


_SAMPLES: Final = (
    _odd("bare-lf", b"\n"),
    _odd("bare-cr", b"\r"),
    _odd("lf-cr", b"\n\r"),
    _odd("cr-cr", b"\r\r"),
    _odd("cr-crlf", b"\r\r\n"),
    _odd("lf-crlf", b"\n\r\n"),
    _odd("crlf-lf", b"\r\n\n"),
    _odd("crlf-cr", b"\r\n\r"),
    _odd("several", b"\n1\r2\n\r3\r\r"),
    _odd("dot-lf-lf", b"\n.\n"),
    _odd("dot-lf-crlf", b"\n.\r\n"),
    _odd("dot-crlf-lf", b"\r\n.\n"),
    _odd("dot-cr-cr", b"\r.\r"),
    _odd("dot-cr-crlf", b"\r.\r\n"),
    _odd("dot-crlf-cr", b"\r\n.\r"),
    _Sample("tail-and-cr", b"ONE\r\nTAIL\r", ended=True),
)
_CUTS: Final = (cuts.BYTE, cuts.BEFORE_LF, cuts.INSIDE_CRLF)
_EVERYWHERE: Final = b"ONE\r\nTWO\n.\r\n\rSIX\r\r\nTEN\r\n"


def _conversation(data: bytes, cut: Cut = WHOLE, *, ended: bool = False) -> Script:
    """Return the script that sends bytes, and receives what is due to them, and nothing else."""

    def script(profile: Profile) -> Iterator[Step]:
        due = strict_replies(data, profile, ended=ended)
        yield Connect()
        yield Send(data, cut)
        if ended:
            yield EndInput()
        yield Expect(due)
        yield from _proof(profile, broken=NOTICE in due, ended=ended)

    return script


def _proof(profile: Profile, *, broken: bool, ended: bool = False) -> Iterator[Step]:
    """Yield the steps that show that nothing more came than was due."""
    if ended or profile.once or (broken and profile.oversize is Oversize.REJECT):
        yield ExpectEnd()
    else:
        yield Send(_MARKER)
        yield Expect((profile.service.reply(_MARKER),))


def _in_two(first: bytes, then: bytes) -> Script:
    """Return the script that receives what is due to the first bytes before it sends the others."""

    def script(profile: Profile) -> Iterator[Step]:
        begun = strict_replies(first, profile)
        yield Connect()
        yield Send(first)
        yield Expect(begun) if begun else Silence(_QUIET_S)
        if NOTICE in begun and profile.oversize is Oversize.REJECT:
            yield ExpectEnd()
            return
        yield Send(then)
        yield Expect(strict_replies(first + then, profile)[len(begun) :])
        yield from _proof(profile, broken=NOTICE in begun)

    return script


def _at_the_limit(more: int, end: bytes, cut_before: int = 0) -> Script:
    """Return the script for a line longer than the limit, with an end that may be cut."""

    def script(profile: Profile) -> Iterator[Step]:
        line = b"X" * (profile.limit + more) + end
        cut = cuts.at(len(line) - cut_before, "end") if cut_before else WHOLE
        yield from _conversation(line, cut)(profile)

    return script


def _broken() -> Iterator[Case]:
    for sample in _SAMPLES:
        needs = _BROKEN if sample.ended else (*_BROKEN, Need.CONVERSATION)
        for cut in (WHOLE, *_CUTS):
            script = _conversation(sample.data, cut, ended=sample.ended)
            yield Case(_CLAUSE, sample.name, script, cut.name, needs)
    for offset in range(1, len(_EVERYWHERE)):
        cut = cuts.at(offset, f"at-{offset}")
        yield Case(_CLAUSE, "everywhere", _conversation(_EVERYWHERE, cut), cut.name, (*_BROKEN, *_SEVERAL))


SANITY: Final = (Case(_CLAUSE, "hello", _conversation(b"HELLO\r\n"), needs=(Need.CRLF_LINES,), sanity=True),)

STILL_SERVED: Final = Case(_CLAUSE, "still-served", _conversation(b"HELLO\r\n"), needs=(Need.CRLF_LINES,))

CASES: Final = (
    *(
        Case(_CLAUSE, "crlf", _conversation(b"ONE\r\n\r\nTHREE\r\n", cut), cut.name, _SEVERAL)
        for cut in (WHOLE, *_CUTS)
    ),
    Case(_CLAUSE, "tail", _conversation(b"TAIL", ended=True), needs=(Need.CRLF_LINES,)),
    *_broken(),
    Case(_CLAUSE, "cr-then-lf", _in_two(b"ONE\r", b"\n"), needs=(Need.CRLF_LINES,), idle=True),
    Case(_CLAUSE, "at-once-lf", _in_two(b"ONE\n", b"TWO\r\n"), needs=_BROKEN),
    Case(_CLAUSE, "at-once-cr", _in_two(b"ONE\rT", b"WO\r\n"), needs=_BROKEN),
    Case(_CLAUSE, "limit", _at_the_limit(0, b"\r\n"), needs=(Need.CRLF_LINES, Need.LIMIT)),
    *(
        Case(
            _CLAUSE,
            "limit",
            _at_the_limit(0, b"\r\n", cut_before),
            f"{cut_before}-before-its-end",
            (Need.CRLF_LINES, Need.LIMIT),
        )
        for cut_before in (1, 2, 3)
    ),
    Case(_CLAUSE, "limit+1", _at_the_limit(1, b"\r\n"), needs=_BROKEN),
    Case(_CLAUSE, "limit+1", _at_the_limit(1, b"\r\n", 1), "1-before-its-end", _BROKEN),
    Case(_CLAUSE, "limit+cr", _at_the_limit(0, b"\rX\r\n"), needs=_BROKEN),
)
