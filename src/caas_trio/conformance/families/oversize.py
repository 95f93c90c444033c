"""LIMIT again: lines at the limit and beyond it among others, of other lengths, and at the end of input."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from caas_trio.conformance import cuts
from caas_trio.conformance.case import Case, Script
from caas_trio.conformance.cuts import WHOLE, Cut
from caas_trio.conformance.oracle import NOTICE, Part, notice_text, replies
from caas_trio.conformance.profile import Need, Profile
from caas_trio.conformance.script import (
    Connect,
    EndInput,
    Expect,
    ExpectEnd,
    ExpectNoShouting,
    Leave,
    Pause,
    Send,
    Step,
)
from caas_trio.core.session import Oversize

from .common import conversations, served
from .content import text
from .limits import over

_LIMIT: Final = (Need.STREAM, Need.LIMIT)
_NOTICE: Final = (*_LIMIT, Need.NOTICE)
_REJECT: Final = (*_LIMIT, Need.REJECT)
_DISCARD: Final = (*_LIMIT, Need.DISCARD)
_STREAMED: Final = (*_LIMIT, Need.STREAMED)
_CONVERSATION: Final = (Need.CONVERSATION,)
_SECOND: Final = ("LIMIT-2.limit+1/whole",)
_SKIPPED: Final = (
    "LIMIT-4.no-lf/whole",
    "LIMIT-8.line-behind/whole",
    "LIMIT-8.line-behind/before-lf",
    "LIMIT-9.two/whole",
)
_RESUMED: Final = (
    *_SKIPPED,
    "LIMIT-1.limit/whole",
    "LIMIT-1.among-others/whole",
    "LIMIT-6.many/whole",
    "LIMIT-2.in-thirds/whole",
    "FRAME-3.between/whole",
)

#: How far beyond its limit a line may be: by a byte, by a buffer, by far.
_BEYOND: Final = (1, 2, 3, 7, 63, 64, 65, 255, 256, 1000, 4096, 65536, 300_000)
_TIMES: Final = (2, 3, 10, 100)
#: Of longer lines, the pieces would take too long.
_FEW_PIECES: Final = 20


def _among_others(length: Callable[[Profile], int]) -> Callable[[Profile], list[bytes]]:
    """Return what sends a line of some length as the first, as the second and as a later one."""
    return lambda profile: [
        b"".join(text(f"other {number}", 9) + b"\n" for number in range(before))
        + text("line", length(profile))
        + b"\n"
        for before in (0, 1, 2, 30)
    ]


def _behind_others(profile: Profile) -> Iterator[Step]:
    """Lines that are answered come before one that is too long, each alone."""
    for client, before in enumerate((1, 2, 30)):
        yield Connect(client)
        for number in range(before):
            yield from served(profile, b"%d\n" % number, client)
        yield Send(over(profile) + b"\n", client=client)
        yield Expect((NOTICE,), client)
        yield Leave(client)


def _each_beyond(profile: Profile) -> list[bytes]:
    lengths = sorted(
        {*(profile.limit + more for more in _BEYOND), *(profile.limit * times for times in _TIMES)}
    )
    return [text(f"beyond {length}", length) + b"\n" for length in lengths if length > profile.limit]


def _thirds(profile: Profile) -> Cut:
    return cuts.every(profile.limit // 3 + 1, "thirds", 0.002)


def _unended(profile: Profile) -> Iterator[Step]:
    """The notice is due without an LF: behind other lines, in pieces, and for a second line in a row."""
    sent = (b"A\nB\n" + over(profile), b"A\n" * 30 + over(profile), over(profile, 5))
    for client, data in enumerate(sent):
        yield Connect(client)
        yield Send(data, _thirds(profile) if client == 2 else WHOLE, client)  # noqa: PLR2004 - the last one
        yield Expect(replies(data, profile), client)
        if profile.oversize is Oversize.DISCARD:
            yield Send(b"\n" + over(profile), client=client)
            yield Expect((NOTICE,), client)
        yield Leave(client)


def _wordings(profile: Profile) -> Iterator[Step]:
    """The notice has the same words for lines of every length, in every cut, and the second time."""
    notice = notice_text(profile.limit)
    for client, data in enumerate(_each_beyond(profile)):
        yield Connect(client)
        yield Send(data, _thirds(profile) if client < 3 else WHOLE, client)  # noqa: PLR2004 - some
        yield Expect((notice,), client)
        if profile.oversize is Oversize.DISCARD and not profile.once:
            yield Send(b"OK\n" + over(profile, 3), client=client)
            yield Expect((profile.service.reply(b"OK\n"), notice), client)
        yield Leave(client)


def _shouted(profile: Profile) -> Iterator[Step]:
    yield Connect()
    yield Send(over(profile) + b"\n")
    yield ExpectNoShouting(profile.service.reply(over(profile)))


def _many_before(profile: Profile) -> list[bytes]:
    """Lines of some lengths, and empty ones, before one that is too long."""
    longest = min(profile.limit, 90)
    each = [text(f"before {number}", number % longest) + b"\n" for number in range(200)]
    return [b"".join(each[:count]) + over(profile) + b"\n" for count in (1, 3, 12, 200)]


def _behind(profile: Profile) -> Iterator[Step]:
    """Input after the notice is not answered, nor is a tail."""
    for client, data in enumerate(
        (over(profile) + b"\n", over(profile, 50), b"A\n" + over(profile) + b"\nB")
    ):
        yield Connect(client)
        yield Send(data, client=client)
        yield Expect(replies(data, profile), client)
        yield Send(b"\nBEHIND\n", client=client)
        yield Pause(0.1)
        yield Send(b"AND MORE", client=client)
        yield EndInput(client)
        yield ExpectEnd(client)


def _sequence(profile: Profile) -> list[bytes]:
    """Lines that are too long and lines that are not, in an order that looks random."""
    order = text("sequence", 120, b"\0\1\2\3\4")
    lengths = (5, profile.limit, profile.limit + 1, 3 * profile.limit, 0)
    return [b"".join(text(f"sequence {at}", lengths[kind]) + b"\n" for at, kind in enumerate(order))]


def _tails(beyond: Callable[[Profile], int], *, skipped: bool = False) -> Script:
    """Return the script of input that ends within a line that is too long, or behind one."""

    def script(profile: Profile) -> Iterator[Step]:
        longer = over(profile, beyond(profile))
        data = (over(profile) + b"\nTAIL") if skipped else longer
        for client, begun in enumerate((b"", b"A\n", b"A\n\nB\n")):
            yield Connect(client)
            yield Send(
                begun + data,
                _thirds(profile) if client == 1 and len(longer) < _FEW_PIECES * profile.limit else WHOLE,
                client,
            )
            yield Pause(0.05)
            yield EndInput(client)
            yield Expect(_due(begun + data, profile), client)
            yield ExpectEnd(client)
            yield Leave(client)

    return script


def _due(data: bytes, profile: Profile) -> tuple[Part, ...]:
    return replies(data, profile, ended=True)


def _streamed(profile: Profile) -> list[bytes]:
    """Lines around multiples of the limit, each with others about it."""
    lengths = [times * profile.limit + beside for times in (1, 2, 3, 8, 17, 40) for beside in (-1, 0, 1)]
    lengths.append(profile.limit + 300_000)
    return [b"A\n" + text(f"streamed {length}", length) + b"\nB\n" for length in lengths]


CASES: Final = (
    Case(
        "LIMIT-1",
        "among-others",
        conversations(_among_others(lambda p: p.limit)),
        needs=(*_LIMIT, *_CONVERSATION),
    ),
    Case(
        "LIMIT-1",
        "in-thirds",
        conversations(lambda p: [(text("l", p.limit) + b"\n") * 10], _thirds),
        needs=(*_LIMIT, *_CONVERSATION),
    ),
    Case(
        "LIMIT-1",
        "tail",
        _tails(lambda _: 0),
        needs=(*_LIMIT, *_CONVERSATION),
        after=("FRAME-4.line-and-tail/whole", "FRAME-4.lengths/whole"),
    ),
    Case(
        "LIMIT-2",
        "among-others",
        _behind_others,
        needs=(*_NOTICE, *_CONVERSATION),
        after=_SECOND,
    ),
    Case(
        "LIMIT-2",
        "in-thirds",
        conversations(lambda p: [text("l", p.limit + 1) + b"\n"], _thirds, alone=True),
        needs=_NOTICE,
        after=_SECOND,
    ),
    Case("LIMIT-2", "lengths", conversations(_each_beyond, alone=True), needs=_NOTICE, after=_SECOND),
    Case(
        "LIMIT-4",
        "behind-lines",
        _unended,
        needs=(*_NOTICE, *_CONVERSATION),
        after=(
            "LIMIT-4.no-lf/whole",
            "LIMIT-6.many/whole",
            "LIMIT-8.line-behind/whole",
            "LIMIT-8.line-behind/edge",
            "LIMIT-8.line-behind/before-lf",
            "LIMIT-9.two/whole",
        ),
    ),
    Case(
        "LIMIT-5",
        "wordings",
        _wordings,
        needs=_NOTICE,
        after=(
            "LIMIT-5.wording/whole",
            "LIMIT-4.behind-lines/whole",
            "LIMIT-6.lines-before/whole",
            "LIMIT-2.in-thirds/whole",
            "LIMIT-9.lengths/whole",
            "LIMIT-9.lf-later/whole",
        ),
    ),
    Case(
        "LIMIT-6",
        "many",
        conversations(_many_before, alone=True),
        needs=(*_NOTICE, *_CONVERSATION),
        after=(*_SECOND, "LIMIT-2.among-others/whole", "LIMIT-2.in-thirds/whole", "FRAME-3.between/whole"),
    ),
    Case(
        "LIMIT-7",
        "later",
        _behind,
        needs=(*_REJECT, *_CONVERSATION),
        after=(
            "LIMIT-7.line-behind/whole",
            "LIMIT-6.lines-before/whole",
            "LIMIT-6.many/whole",
            "LIMIT-2.among-others/whole",
        ),
    ),
    Case(
        "LIMIT-8",
        "sequence",
        conversations(_sequence),
        needs=(*_DISCARD, *_CONVERSATION),
        after=_RESUMED,
    ),
    Case(
        "LIMIT-8",
        "sequence",
        conversations(_sequence, _thirds),
        "thirds",
        (*_DISCARD, *_CONVERSATION),
        after=(*_SKIPPED, "LIMIT-8.sequence/whole"),
    ),
    Case(
        "LIMIT-8",
        "tail-behind",
        _tails(lambda _: 1, skipped=True),
        needs=(*_DISCARD, *_CONVERSATION),
        after=(*_RESUMED, "FRAME-4.line-and-tail/whole"),
    ),
    Case(
        "LIMIT-9", "lengths", conversations(_each_beyond), needs=(*_DISCARD, *_CONVERSATION), after=_SKIPPED
    ),
    Case(
        "LIMIT-9",
        "lengths",
        conversations(lambda p: _each_beyond(p)[:6], _thirds),
        "thirds",
        (*_DISCARD, *_CONVERSATION),
        after=(*_SKIPPED, "LIMIT-2.in-thirds/whole"),
    ),
    Case(
        "LIMIT-9",
        "lf-later",
        conversations(
            lambda p: [over(p, more) + b"\n" for more in (1, 2, p.limit)], lambda _: cuts.BEFORE_LF
        ),
        needs=(*_DISCARD, *_CONVERSATION),
        after=_SKIPPED,
    ),
    Case(
        "LIMIT-10",
        "lengths",
        conversations(_streamed),
        needs=(*_STREAMED, *_CONVERSATION),
        after=("LIMIT-10.limit+1/whole",),
    ),
    Case(
        "LIMIT-10",
        "lengths",
        conversations(lambda p: _streamed(p)[:9], _thirds),
        "thirds",
        (*_STREAMED, *_CONVERSATION),
        after=("LIMIT-10.limit+1/whole",),
    ),
    Case(
        "LIMIT-10",
        "tail",
        _tails(lambda p: p.limit * 3 + 1),
        needs=(*_STREAMED, *_CONVERSATION),
        after=("FRAME-4.line-and-tail/whole", "LIMIT-10.limit+1/whole"),
    ),
    *(
        Case(
            "LIMIT-11",
            name,
            _tails(beyond),
            needs=(*_NOTICE, *_CONVERSATION),
            after=(
                "LIMIT-4.behind-lines/whole",
                "LIMIT-7.line-behind/whole",
                "LIMIT-6.many/whole",
                "FRAME-3.between/whole",
            ),
        )
        for name, beyond in (
            ("limit+1", lambda _: 1),
            ("limit+9", lambda _: 9),
            ("twice", lambda p: p.limit + 1),
            ("64-KiB", lambda _: 65536),
        )
    ),
    Case("SAY-1", "notice", _shouted, needs=_NOTICE),
)
