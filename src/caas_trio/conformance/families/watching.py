"""Late looks: what a server does of itself a while after everything is as it should be.

They wait side by side, and beside all other cases. What happens later than this cannot be judged in
reasonable time; the specification says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from caas_trio.conformance.case import Case
from caas_trio.conformance.oracle import NOTICE, Part, replies
from caas_trio.conformance.profile import Need, Profile
from caas_trio.conformance.script import Connect, Expect, ExpectEnd, Pause, Send, Silence, Step
from caas_trio.core.session import Oversize

from .common import CUT, served
from .content import text
from .limits import over

#: How late the look is, in seconds.
WATCH_S: Final = 2.6
#: The look at a connection that was watched beside another one.
_GLANCE_S: Final = 0.05

_APART: Final = (
    *CUT,
    *("FRAME-6.lengths/every-64", "FRAME-6.lengths/every-509"),
    *(f"LOAD-2.{state}/whole" for state in ("part-of-a-line", "within-a-line", "between-lines")),
    "LOAD-1.interleaved/whole",
    "FRAME-7.lengths/whole",
    "CLOSE-4.part-of-a-line/whole",
)
_CLIENT: Final = (Need.STREAM, Need.LINES, Need.CLIENT_FIRST)
_SERVER: Final = (Need.STREAM, Need.LINES, Need.SERVER_FIRST)
_EITHER: Final = (Need.STREAM, Need.LINES, Need.EITHER_FIRST)
_CONVERSATION: Final = (Need.STREAM, Need.LINES, Need.CONVERSATION)


def _parts(profile: Profile) -> list[bytes]:
    """Return what a client may have said of a line that is not too long yet."""
    lengths = (1, 64, 128, 600, 1000)
    return [text("part", length) for length in lengths if length <= profile.limit]


def _silence(clients: range) -> Iterator[Step]:
    """Yield the steps in which nothing comes for a while on any of some connections."""
    for client in clients:
        yield Silence(_GLANCE_S if client else WATCH_S, client)


def _in_silence(profile: Profile) -> Iterator[Step]:
    """Clients that say nothing, that say no more, and that stop within a line, all watched at once."""
    parts = _parts(profile)
    yield Connect(0)
    for client, part in enumerate(parts, 1):
        yield Connect(client)
        yield Send(part, client=client)
    yield Connect(len(parts) + 1)
    if not profile.once:
        yield from served(profile, client=len(parts) + 1)
    yield from _silence(range(len(parts) + 2))
    for client, part in enumerate(parts, 1):
        yield Send(b"\n", client=client)
        yield Expect(replies(part + b"\n", profile), client)


def _in_silence_behind_prompts(profile: Profile) -> Iterator[Step]:
    """Clients that were silent until the prompt came, and that say nothing then, a line, or half of one."""
    for client in range(3):
        yield Connect(client, greet=False)
    for client in range(3):
        yield Expect((profile.prompt,), client)
    if not profile.once:
        yield from served(profile, client=1)
    yield Send(b"HALF A LI", client=2)
    yield from _silence(range(3))
    yield Send(b"NE\n", client=2)
    yield Expect(replies(b"HALF A LINE\n", profile), 2)


def _spoken_first(data: bytes) -> Callable[[Profile], Iterator[Step]]:
    """Return the script of a client that speaks first, and whom no prompt may come to later either."""

    def script(profile: Profile) -> Iterator[Step]:
        yield Connect(greet=False)
        yield Send(data)
        if b"\n" in data:
            yield Expect(replies(data, profile))
        if profile.once and b"\n" in data:
            yield ExpectEnd()
            return
        yield Silence(WATCH_S)
        yield Send(b"END\n")
        yield Expect(replies(data.rpartition(b"\n")[2] + b"END\n", profile))

    return script


def _kept(profile: Profile) -> Iterator[Step]:
    """Clients that have had their reply and are silent may go on."""
    yield Connect(0)
    yield from served(profile, b"ONE\n")
    yield Connect(1)
    yield from served(profile, b"ONE\n", 1)
    yield Send(b"HALF A LI", client=1)
    yield Connect(2)
    for client in range(3):
        yield Silence(_GLANCE_S if client else WATCH_S, client)
    yield from served(profile, b"TWO\n")
    yield Send(b"NE\n", client=1)
    yield Expect(replies(b"HALF A LINE\n", profile), 1)
    yield from served(profile, b"ONE\n", 2)


def _noticed(profile: Profile) -> Iterator[Step]:
    """Behind a notice nothing comes, within the oversize line and behind it."""
    due: tuple[Part, ...] = (NOTICE,)
    for client, end in enumerate((b"", b"\n")):
        yield Connect(client)
        yield Send(over(profile, 9) + end, client=client)
        yield Expect(due, client)
    if profile.oversize is Oversize.REJECT:
        yield Pause(WATCH_S)
        yield ExpectEnd(0)
        yield ExpectEnd(1)
        return
    yield from _silence(range(2))
    yield Send(b"\n", client=0)
    for client in range(2):
        yield from served(profile, client=client)


#: Where a prompt is never due, clients that are to be greeted cannot be distinguished from others.
_CUT_FIRST: Final = (*CUT, "ORDER-6.part/whole")

CASES: Final = (
    Case("ORDER-1", "watched", _in_silence, needs=_CLIENT, after=_APART, idle=True),
    Case("ORDER-3", "watched", _in_silence, needs=_SERVER, after=_APART, idle=True),
    Case("ORDER-5", "watched", _in_silence_behind_prompts, needs=_EITHER, after=_APART, idle=True),
    *(
        Case(
            "ORDER-6",
            f"watched-{name}",
            _spoken_first(data),
            needs=_EITHER,
            after=_CUT_FIRST,
            idle=True,
            punctual=True,
        )
        for name, data in (
            ("line", b"LINE\n"),
            ("part", b"PAR"),
            ("empty-line", b"\n"),
            ("line-and-part", b"LINE\nPAR"),
        )
    ),
    Case("CLOSE-4", "watched", _kept, needs=_CONVERSATION, after=_APART, idle=True),
    Case(
        "LIMIT-7",
        "watched",
        _noticed,
        needs=(Need.STREAM, Need.LIMIT, Need.REJECT),
        after=("LIMIT-4.no-lf/whole", "LIMIT-7.line-behind/whole", "LOAD-2.part-of-a-line/whole"),
        idle=True,
    ),
    Case(
        "LIMIT-9",
        "watched",
        _noticed,
        needs=(Need.STREAM, Need.LIMIT, Need.DISCARD),
        after=(
            "LIMIT-4.no-lf/whole",
            "LOAD-2.within-an-oversize-line/whole",
            "LIMIT-8.line-behind/whole",
            "LIMIT-8.line-behind/edge",
            "LIMIT-8.line-behind/before-lf",
            "LIMIT-9.two/whole",
        ),
        idle=True,
    ),
)
