"""LOAD again: clients that are hard to distinguish, and clients in the middle of a line or a reply."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import product
from typing import Final

from caas_trio.conformance import cuts
from caas_trio.conformance.case import Case, Script
from caas_trio.conformance.oracle import NOTICE, replies
from caas_trio.conformance.profile import Need, Profile
from caas_trio.conformance.script import (
    Connect,
    EndInput,
    Expect,
    Leave,
    Pause,
    Reset,
    Send,
    SendUnread,
    Step,
)
from caas_trio.core.session import Oversize

from .common import CUT, served, unending
from .content import text
from .limits import over

_CONVERSATION: Final = (Need.STREAM, Need.CONVERSATION)
_LIMIT: Final = (Need.STREAM, Need.LIMIT)
_TWO: Final = ("LOAD-2.part-of-a-line/whole",)
_APART: Final = (*_TWO, *CUT, "ORDER-2.again/whole", "LOAD-2.between-lines/whole")
_UNMIXED: Final = (*_APART, "LOAD-1.interleaved/whole", "LOAD-1.alike/whole")
_SILENT: Final = 24
_LEAVING: Final[tuple[Step, ...]] = (Leave(0), Reset(0))


def _alike(profile: Profile, client: int) -> bytes:
    """Return a line as long as every other client's, with the same beginning and the same end."""
    half = min(profile.limit, 1000) // 2 - 4
    return text("front", half) + b"%06d" % client + text("back", half) + b"\n"


def _alike_in_turn(profile: Profile) -> Iterator[Step]:
    """Clients that differ in the middle of their lines alone, one after the other and all at once."""
    for client in range(6):
        yield Connect(client)
    for client in range(6):
        yield from served(profile, _alike(profile, client), client)
    if not profile.once:
        for client in range(6):
            yield Send(_alike(profile, 10 + client) + _alike(profile, 20 + client), client=client)
        for client in reversed(range(6)):
            due = replies(_alike(profile, 10 + client) + _alike(profile, 20 + client), profile)
            yield Expect(due, client)


def _alike_in_pieces(profile: Profile) -> Iterator[Step]:
    """The same clients, whose lines come piece by piece, each time another one's first."""
    lines = [_alike(profile, client) for client in range(5)]
    size = len(lines[0]) // 6 + 1
    for client in range(5):
        yield Connect(client)
    for turn, start in enumerate(range(0, len(lines[0]), size)):
        for client in range(5):
            place = (client + turn) % 5
            yield Send(lines[place][start : start + size], client=place)
        yield Pause(0.003)
    for client in (3, 0, 4, 1, 2):
        yield Expect(replies(lines[client], profile), client)


def _left_over(profile: Profile) -> Iterator[Step]:
    """The rest of a client that has left, part of a line or replies, does not go to the next client."""
    for before, leave in product((b"", b"UNREAD\n" * 20), _LEAVING):
        yield Connect(0)
        yield Send(before + b"LEFT BEHIND")
        yield Pause(0.02)
        yield leave
        yield Pause(0.02)
        yield Connect(1)
        yield from served(profile, b"\n", 1)
        yield Leave(1)


def _others_oversize(profile: Profile) -> Iterator[Step]:
    """While one client is within a line that is too long, the others' lines are not."""
    yield Connect(0)
    yield Connect(1)
    yield Send(b"HALF A LI", client=1)
    yield Send(over(profile, 20))
    yield Expect(
        (profile.service.reply(over(profile, 20)) if profile.oversize is Oversize.STREAM else NOTICE,)
    )
    yield Connect(2)
    yield from served(profile, client=2)
    yield Send(b"NE\n", client=1)
    yield Expect(replies(b"HALF A LINE\n", profile), 1)


def _beside(first: Callable[[Profile], Iterable[Step]]) -> Script:
    """Return the script in which one client does something, and others, older and younger, are served."""

    def script(profile: Profile) -> Iterator[Step]:
        yield Connect(1)
        yield Connect(0)
        yield from first(profile)
        yield Pause(0.05)
        yield from served(profile, client=1)
        yield Connect(2)
        yield from served(profile, client=2)

    return script


def _ahead(first: Callable[[Profile], Iterable[Step]]) -> Script:
    """Return the script in which one client does something, and another one that comes then is served."""

    def script(profile: Profile) -> Iterator[Step]:
        yield Connect(0)
        yield from first(profile)
        yield Pause(0.05)
        yield Connect(1)
        yield from served(profile, client=1)

    return script


def _within_a_line(profile: Profile) -> Iterator[Step]:
    yield Send(text("long", min(profile.limit, 1000)))


def _within_64_kib(_: Profile) -> Iterator[Step]:
    yield Send(text("longer", 1 << 16))


def _within_an_oversize_line(profile: Profile) -> Iterator[Step]:
    yield Send(over(profile, 1000))


def _between_lines(profile: Profile) -> Iterator[Step]:
    yield from served(profile)


def _behind_many(profile: Profile) -> Iterator[Step]:
    yield from served(profile, b"BEFORE\n" * 100 + b"X\n")
    yield Send(b"HALF A LI")


def _half_closed(_: Profile) -> Iterator[Step]:
    yield Send(b"TAIL")
    yield EndInput()


def _in_a_header(profile: Profile) -> Iterator[Step]:
    yield Connect(3, greet=False, bare=True)
    yield Send(profile.header[:14], client=3)


def _many_silent(profile: Profile) -> Iterator[Step]:
    """Many clients say nothing, or half a line; one more is served all the same."""
    for client in range(1, _SILENT):
        yield Connect(client)
        if client % 2:
            yield Send(b"HALF A LI", client=client)
    yield Connect(_SILENT)
    yield from served(profile, client=_SILENT)
    for client in range(1, _SILENT, 2):
        yield Send(b"NE\n", client=client)
        yield Expect(replies(b"HALF A LINE\n", profile), client)


def _trickling(profile: Profile) -> Iterator[Step]:
    """A client sends a long line in small pieces, and another one has a conversation meanwhile."""
    line = text("trickle", min(profile.limit - 2, 900))
    yield Connect(0)
    yield Connect(1)
    yield Send(line + b"\n", cuts.every(30, "trickle", 0.02))
    for number in range(1 if profile.once else 20):
        yield from served(profile, b"TURN %d\n" % number, 1)
    yield Expect(replies(line + b"\n", profile), 0)


#: What a client may have done when it resets its connection.
_STATES: Final[dict[str, Callable[[Profile], Iterable[Step]]]] = {
    "connected": lambda _: (),
    "part": lambda _: (Send(b"HALF A LI"),),
    "long-part": _within_a_line,
    "reply-unread": lambda _: (Send(b"NEVER READ\n"),),
    "tail": _half_closed,
    "served": _between_lines,
    "replies-unread": lambda _: (Send(b"NEVER READ\n" * 20_000),),
}


def _resets(profile: Profile) -> Iterator[Step]:
    """A client resets in every state while others are idle, within a line, and served before."""
    for client in (101, 102, 103):
        yield Connect(client)
    yield Send(b"HALF A LI", client=102)
    if not profile.once:
        yield from served(profile, b"BEFORE\n", 103)
    for state in _STATES.values():
        yield Connect(0)
        yield from state(profile)
        yield Pause(0.02)
        yield Reset(0)
        yield Connect(0)
        yield from served(profile, client=0)
        yield Leave(0)
    yield Pause(0.05)
    yield from served(profile, client=101)
    yield Send(b"NE\n", client=102)
    yield Expect(replies(b"HALF A LINE\n", profile), 102)
    if not profile.once:
        yield from served(profile, b"AFTER\n", 103)
        yield from served(profile, b"AND AGAIN\n", 103)


def _unread_among_others(profile: Profile) -> Iterator[Step]:
    """Four clients read nothing; one that was there before, one between and one behind are served."""
    yield Connect(10)
    for client in range(4):
        yield Connect(client)
        yield SendUnread(unending(profile), quiet=0.15, client=client)
        if client == 1:
            yield Connect(11)
    yield Connect(12)
    for client in (10, 11, 12, 10):
        yield from served(profile, client=client)


def _leavers(profile: Profile) -> Iterator[Step]:
    """Clients leave in every way, many of each; the next one is served."""
    for number in range(120):
        yield Connect(0, greet=number % 8 == 0)
        if number % 4 == 1:
            yield Send(b"HALF A LI")
        elif number % 4 == 2:  # noqa: PLR2004 - one of four ways
            yield Send(b"LINE\n")
        if number % 3 == 0:
            yield EndInput()
        yield Pause(0.002)
        yield Leave(0) if number % 2 else Reset(0)
    yield Connect(1)
    yield from served(profile, client=1)


CASES: Final = (
    Case("LOAD-1", "alike", _alike_in_turn, after=(*_APART, "FRAME-7.lengths/whole")),
    Case(
        "LOAD-1",
        "alike-in-pieces",
        _alike_in_pieces,
        after=(*_APART, "FRAME-7.lengths/whole", "LOAD-1.alike/whole"),
    ),
    Case(
        "LOAD-1",
        "left-over",
        _left_over,
        needs=_CONVERSATION,
        after=(*_APART, "FRAME-3.lf/whole"),
    ),
    *(
        Case("LOAD-2", name, _ahead(first), needs=needs, after=_TWO)
        for name, first, needs in (
            ("within-a-line", _within_a_line, (Need.STREAM,)),
            ("within-an-oversize-line", _within_an_oversize_line, _LIMIT),
            ("between-lines", _between_lines, _CONVERSATION),
        )
    ),
    *(
        Case(
            "LOAD-2",
            name,
            _beside(first),
            needs=needs,
            length=length,
            after=(*_UNMIXED, "ORDER-8.repeats/whole"),
            alone=True,
        )
        for name, first, needs, length in (
            ("within-64-KiB", _within_64_kib, (Need.STREAM,), 1 << 16),
            ("behind-many", _behind_many, _CONVERSATION, 0),
            ("half-closed", _half_closed, (Need.STREAM,), 0),
            ("in-a-header", _in_a_header, (Need.STREAM, Need.PROXIED), 0),
        )
    ),
    Case(
        "LOAD-1",
        "oversize",
        _others_oversize,
        needs=(*_LIMIT, Need.CONVERSATION),
        after=(
            *_APART,
            "LIMIT-4.no-lf/whole",
            "LIMIT-10.limit+1/whole",
            "LIMIT-10.tail/whole",
            "LOAD-2.within-an-oversize-line/whole",
        ),
        alone=True,
    ),
    Case("LOAD-2", "many-silent", _many_silent, after=_UNMIXED, alone=True),
    Case("LOAD-2", "trickling", _trickling, after=(*_UNMIXED, "CLOSE-4.part-of-a-line/whole"), alone=True),
    Case(
        "LOAD-3",
        "beside-all-kinds",
        _resets,
        after=(
            *_UNMIXED,
            *("LOAD-1.left-over/whole", "LOAD-2.many-silent/whole", "CLOSE-4.part-of-a-line/whole"),
        ),
        alone=True,
    ),
    Case(
        "LOAD-4",
        "four-of-them",
        _unread_among_others,
        needs=_CONVERSATION,
        after=(
            *_UNMIXED,
            "LOAD-1.left-over/whole",
            "LOAD-2.within-a-line/whole",
            "FLOW-3.64MiB/whole",
            "CLOSE-4.watched/whole",
        ),
        alone=True,
        effort=2,
    ),
    Case("LOAD-6", "leavers", _leavers, after=(*_TWO, "LOAD-1.left-over/whole"), alone=True),
)
