"""LOAD: many clients at once, and one that misbehaves beside one that does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from caas_trio.conformance import cuts
from caas_trio.conformance.case import Case, Script
from caas_trio.conformance.oracle import replies
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
from caas_trio.core.session import First

from .common import CUT, served, unending

_CONVERSATION: Final = (Need.STREAM, Need.CONVERSATION)
_SILENT: Final = (Need.STREAM, Need.CLIENT_FIRST)
_CROWD: Final = 200


def _interleaved(profile: Profile) -> Iterator[Step]:
    """Five clients send their lines in turns, piece by piece."""
    clients = range(5)
    lines = [b"CLIENT %d: %s\n" % (client, bytes([65 + client]) * 20) for client in clients]
    for client in clients:
        yield Connect(client)
    for start in range(0, max(map(len, lines)), 7):
        for client in clients:
            yield Send(lines[client][start : start + 7], client=client)
        yield Pause(0.002)
    for client in reversed(clients):
        yield Expect(replies(lines[client], profile), client)


def _conversations(profile: Profile) -> Iterator[Step]:
    """Five clients hold a conversation each, line by line, in turns."""
    for client in range(5):
        yield Connect(client)
    for turn in range(10):
        for client in range(5):
            yield Send(b"TURN %d OF CLIENT %d\n" % (turn, client), client=client)
        for client in range(5):
            yield Expect(replies(b"TURN %d OF CLIENT %d\n" % (turn, client), profile), client)


def _crowd(profile: Profile) -> Iterator[Step]:
    server_first = profile.first is First.SERVER
    for client in range(_CROWD):
        yield Connect(client, greet=not server_first)
    for client in range(_CROWD if server_first else 0):
        yield Expect((profile.prompt,), client)
    for turn in range(1 if profile.once else 2):
        for client in range(_CROWD):
            yield Send(b"TURN %d OF CLIENT %d OF A CROWD\n" % (turn, client), client=client)
        for client in range(_CROWD):
            yield Expect(replies(b"TURN %d OF CLIENT %d OF A CROWD\n" % (turn, client), profile), client)


def _beside(*first: Step) -> Script:
    """Return the script in which client 0 takes some steps and then client 1 is served."""

    def script(profile: Profile) -> Iterator[Step]:
        yield from first
        yield Connect(1)
        yield from served(profile, client=1)

    return script


def _slow(profile: Profile) -> Iterator[Step]:
    """Client 0 sends a byte now and then while client 1 is served, and gets its reply at last."""
    yield Connect(0)
    yield Send(b"SLOW AND STEADY\n", cuts.every(1, "slow", 0.03))
    yield Connect(1)
    yield from served(profile, b"QUICK\n", client=1)
    yield Connect(2)
    yield from served(profile, b"QUICK TOO\n", client=2)
    yield Expect(replies(b"SLOW AND STEADY\n", profile), 0)


def _early_connected(profile: Profile) -> Iterator[Step]:
    """The other client is connected already when the first one resets."""
    yield Connect(1)
    yield Connect(0)
    yield Send(b"GONE IN A MOM")
    yield Pause(0.02)
    yield Reset()
    yield Pause(0.02)
    yield from served(profile, client=1)


def _many_resets(profile: Profile) -> Iterator[Step]:
    for client in range(2, 32):
        yield Connect(client, greet=False)
        yield Send(b"GONE\nAND GONE", client=client)
        yield Reset(client)
    yield Connect(1)
    yield from served(profile, client=1)


def _reset(state: Callable[[], tuple[Step, ...]], *, read: bool = False) -> Script:
    """Return the script that resets client 0 in some state, then has client 1 served."""

    def script(profile: Profile) -> Iterator[Step]:
        yield Connect(0, greet=profile.first is First.SERVER and read)
        yield from state()
        yield Pause(0.02)
        yield Reset()
        yield Connect(1)
        yield from served(profile, client=1)

    return script


def _in_turn(profile: Profile) -> Iterator[Step]:
    """A hundred clients, one after the other; every third leaves without sending."""
    for client in range(100):
        yield Connect(client)
        if client % 3:
            yield from served(profile, client=client)
        yield Leave(client)


def _unread(profile: Profile) -> Iterator[Step]:
    """Client 0 sends much and reads nothing; client 1 is served all the same."""
    yield Connect(0)
    yield SendUnread(unending(profile), quiet=0.6)
    yield Connect(1)
    yield from served(profile, client=1)


def _many_unread() -> tuple[Step, ...]:
    return (Send(b"NEVER READ\n" * 100_000),)


#: Every client gets its prompt, if there is one.
_GREETED: Final = ("ORDER-2.again/whole",)
#: Two clients can be connected at all.
_TWO: Final = ("LOAD-2.part-of-a-line/whole",)
_APART: Final = (*_TWO, *CUT, "ORDER-2.again/whole", "LOAD-2.between-lines/whole")
_UNMIXED: Final = (*_APART, "LOAD-1.interleaved/whole", "LOAD-1.alike/whole", "LOAD-1.left-over/whole")

CASES: Final = (
    Case("LOAD-1", "interleaved", _interleaved, after=_APART),
    Case("LOAD-1", "conversations", _conversations, needs=_CONVERSATION, after=_APART),
    Case("LOAD-2", "slow", _slow, after=_UNMIXED),
    Case("LOAD-2", "silent", _beside(Connect(0, greet=False)), needs=_SILENT),
    Case(
        "LOAD-2",
        "part-of-a-line",
        _beside(Connect(0), Send(b"PART OF A L"), Pause(0.02)),
        after=_GREETED,
    ),
    Case("LOAD-3", "connected", _reset(tuple), after=_GREETED),
    Case(
        "LOAD-3",
        "greeted",
        _reset(tuple, read=True),
        needs=(Need.STREAM, Need.SERVER_FIRST),
        after=_GREETED,
    ),
    Case("LOAD-3", "part-of-a-line", _reset(lambda: (Send(b"PART OF A L"),)), after=_UNMIXED),
    Case("LOAD-3", "reply-unread", _reset(lambda: (Send(b"NEVER READ\n"),)), after=_UNMIXED),
    Case("LOAD-3", "many-replies-unread", _reset(_many_unread), needs=_CONVERSATION, after=_UNMIXED),
    Case("LOAD-3", "half-closed", _reset(lambda: (Send(b"LINE\nTAIL"), EndInput())), after=_UNMIXED),
    Case("LOAD-3", "beside-a-conversation", _early_connected, after=_UNMIXED),
    Case("LOAD-3", "thirty", _many_resets, after=_UNMIXED),
    Case(
        "LOAD-4",
        "64MiB",
        _unread,
        needs=_CONVERSATION,
        after=(*_UNMIXED, "LOAD-2.within-a-line/whole", "FLOW-3.64MiB/whole"),
        alone=True,
        effort=2,
    ),
    Case(
        "LOAD-6",
        "hundred-in-turn",
        _in_turn,
        after=(*_TWO, "LOAD-1.left-over/whole", "LOAD-2.many-silent/whole"),
        alone=True,
    ),
    Case("LOAD-5", "200", _crowd, after=(*_UNMIXED, "LOAD-2.many-silent/whole"), alone=True, effort=2),
)
