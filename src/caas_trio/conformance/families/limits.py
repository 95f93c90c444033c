"""LIMIT: lines at the declared limit, one beyond it and far beyond it, in every cut.

The notice is taken in whatever words, so that only LIMIT-5 is about those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from caas_trio.conformance import cuts
from caas_trio.conformance.case import Case, Script
from caas_trio.conformance.cuts import Cut
from caas_trio.conformance.oracle import NOTICE, notice_text, replies
from caas_trio.conformance.profile import Need, Profile
from caas_trio.conformance.script import Connect, EndInput, Expect, ExpectEnd, Send, Step

from .common import proof, served

_LIMIT: Final = (Need.STREAM, Need.LIMIT)
_NOTICE: Final = (*_LIMIT, Need.NOTICE)
_REJECT: Final = (*_LIMIT, Need.REJECT)
_DISCARD: Final = (*_LIMIT, Need.DISCARD)
_STREAMED: Final = (*_LIMIT, Need.STREAMED)

#: How the input around the limit is cut; each gets the limit.
_CUTS: Final[tuple[Callable[[int], Cut], ...]] = (
    lambda _: cuts.WHOLE,
    cuts.around,
    lambda limit: cuts.at(limit - 1, "limit-1"),
    lambda limit: cuts.at(limit, "limit"),
    lambda limit: cuts.at(limit + 1, "limit+1"),
    lambda _: cuts.BEFORE_LF,
    lambda _: cuts.AFTER_LF,
)
_WHOLE: Final = _CUTS[:1]


def over(profile: Profile, beyond: int = 1) -> bytes:
    """Return the bytes before the LF of a line that is `beyond` bytes longer than the limit."""
    return b"O" * (profile.limit + beyond)


def _sent(data: Callable[[Profile], bytes], cut: Callable[[int], Cut]) -> Script:
    """Return the script that sends lines and receives their replies, or notices."""

    def script(profile: Profile) -> Iterator[Step]:
        yield Connect()
        yield Send(data(profile), cut(profile.limit))
        yield Expect(replies(data(profile), profile))

    return script


def _and_proof(data: Callable[[Profile], bytes], cut: Callable[[int], Cut]) -> Script:
    """Return the same, and see that nothing more came."""

    def script(profile: Profile) -> Iterator[Step]:
        yield from _sent(data, cut)(profile)
        yield from proof(profile)

    return script


def _and_end(data: Callable[[Profile], bytes], cut: Callable[[int], Cut]) -> Script:
    """Return the same, and see that the server ends the conversation."""

    def script(profile: Profile) -> Iterator[Step]:
        yield from _sent(data, cut)(profile)
        yield ExpectEnd()

    return script


def _wording(profile: Profile) -> Iterator[Step]:
    yield Connect()
    yield Send(over(profile) + b"\n")
    yield Expect((notice_text(profile.limit),))


def _last_line(profile: Profile) -> Iterator[Step]:
    yield Connect()
    yield Send(over(profile))
    yield EndInput()
    yield Expect((NOTICE,))
    yield ExpectEnd()


def _many(profile: Profile) -> Iterator[Step]:
    """Ten oversize lines, in pieces that hold the end of one and the beginning of the next."""
    data = (over(profile, 7) + b"\nOK\n") * 10
    yield Connect()
    yield Send(data, cuts.every(profile.limit // 3 + 1, "pieces", 0.001))
    yield Expect(replies(data, profile))
    yield from proof(profile)


def _one_long(profile: Profile) -> Iterator[Step]:
    """One line of many times the limit, in many pieces."""
    yield Connect()
    yield Send(over(profile, profile.limit * 19), cuts.every(profile.limit, "pieces", 0.001))
    yield Expect((NOTICE,))
    yield Send(b"\n")
    yield from proof(profile)


def _huge(profile: Profile) -> Iterator[Step]:
    yield Connect()
    yield Send(b"H" * (16 << 20) + b"\n")
    yield Expect((NOTICE,))
    yield from served(profile)


def _family(
    clause: str,
    name: str,
    data: Callable[[Profile], bytes],
    needs: tuple[Need, ...],
    *,
    ending: Callable[[Callable[[Profile], bytes], Callable[[int], Cut]], Script] = _and_proof,
    kinds: tuple[Callable[[int], Cut], ...] = _CUTS,
    after: tuple[str, ...] = (),
) -> Iterator[Case]:
    for cut in kinds:
        cut_name = cut(100).name
        yield Case(clause, name, ending(data, cut), cut_name, needs, after=after)


_EXACT: Final = (
    "FRAME-2.crlf/whole",
    *(f"LIMIT-1.limit/{cut}" for cut in ("whole", "edge", "limit", "before-lf")),
)
_MEASURED: Final = ("LIMIT-2.limit+1/whole", "LIMIT-2.among-others/whole", "LIMIT-2.in-thirds/whole")
#: A line beyond the limit is answered by a notice, whatever its words.
_TOLD: Final = ("SAY-1.notice/whole",)
_SECOND: Final = ("LIMIT-2.limit+1/whole",)
_AT_ONCE: Final = ("LIMIT-4.no-lf/whole",)
_SKIPPED: Final = (
    *_AT_ONCE,
    *(f"LIMIT-8.line-behind/{cut}" for cut in ("whole", "edge", "limit+1", "before-lf")),
)

CASES: Final = (
    *_family("LIMIT-1", "limit-1", lambda p: b"L" * (p.limit - 1) + b"\n", _LIMIT),
    *_family("LIMIT-1", "limit", lambda p: b"L" * p.limit + b"\n", _LIMIT),
    *_family("LIMIT-2", "limit+1", lambda p: over(p) + b"\n", _NOTICE, ending=_sent, after=_TOLD),
    *_family("LIMIT-2", "limit+2", lambda p: over(p, 2) + b"\n", _NOTICE, ending=_sent, after=_TOLD),
    *_family("LIMIT-3", "limit-1-and-cr", lambda p: b"L" * (p.limit - 1) + b"\r\n", _LIMIT, after=_EXACT),
    *_family(
        "LIMIT-3", "limit-and-cr", lambda p: b"L" * p.limit + b"\r\n", _NOTICE, ending=_sent, after=_SECOND
    ),
    *_family("LIMIT-4", "no-lf", over, _NOTICE, ending=_sent, kinds=_CUTS[:5], after=_SECOND),
    Case("LIMIT-5", "wording", _wording, needs=_NOTICE, after=_SECOND),
    *_family(
        "LIMIT-6",
        "lines-before",
        lambda p: b"A\nB\n" + over(p) + b"\n",
        _NOTICE,
        ending=_sent,
        after=_MEASURED,
    ),
    *_family(
        "LIMIT-7", "line-behind", lambda p: over(p) + b"\nBEHIND\n", _REJECT, ending=_and_end, after=_SECOND
    ),
    *_family(
        "LIMIT-7",
        "two",
        lambda p: (over(p) + b"\n") * 2,
        _REJECT,
        ending=_and_end,
        kinds=_WHOLE,
        after=_SECOND,
    ),
    *_family("LIMIT-8", "line-behind", lambda p: over(p) + b"\nBEHIND\n", _DISCARD, after=_SECOND),
    *_family(
        "LIMIT-8",
        "empty-line-behind",
        lambda p: over(p) + b"\n\n",
        _DISCARD,
        after=(*_SECOND, "FRAME-3.lf/whole", "LIMIT-9.lf-later/whole"),
    ),
    Case(
        "LIMIT-8",
        "16MiB",
        _huge,
        needs=_DISCARD,
        after=("LIMIT-9.one-long/pieces", "LIMIT-9.lengths/whole"),
        effort=4,
    ),
    *_family("LIMIT-9", "two", lambda p: (over(p) + b"\n") * 2, _DISCARD, after=_SKIPPED),
    Case("LIMIT-9", "ten", _many, "pieces", needs=_DISCARD, after=(*_SKIPPED, "LIMIT-2.among-others/whole")),
    Case("LIMIT-9", "one-long", _one_long, "pieces", needs=_DISCARD, after=_SKIPPED),
    *_family("LIMIT-10", "limit+1", lambda p: over(p) + b"\n", _STREAMED),
    *_family("LIMIT-10", "ten-times", lambda p: over(p, 9 * p.limit) + b"\nBEHIND\n", _STREAMED),
    Case("LIMIT-11", "no-lf", _last_line, needs=_NOTICE, after=(*_AT_ONCE, "LIMIT-7.line-behind/whole")),
)
