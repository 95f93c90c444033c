"""CLOSE: half-close, the replies still owed, and a FIN rather than a reset."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from caas_trio.conformance.case import Case
from caas_trio.conformance.oracle import NOTICE, replies
from caas_trio.conformance.profile import Need, Profile
from caas_trio.conformance.script import (
    Connect,
    EndInput,
    Expect,
    ExpectEnd,
    Pause,
    Send,
    SendUnread,
    Silence,
    Step,
)

from .common import CUT, served, to_the_end
from .limits import over

_CONVERSATION: Final = (Need.STREAM, Need.CONVERSATION)
_REJECT: Final = (Need.STREAM, Need.LIMIT, Need.REJECT)
_ONCE: Final = (Need.STREAM, Need.ONCE)
#: Long enough that a reset, if there is one, has come.
_MOMENT: Final = 0.1


def _after_reply(profile: Profile) -> Iterator[Step]:
    yield Connect()
    yield from served(profile, b"goodbye\n")
    if not profile.once:
        yield EndInput()
    yield ExpectEnd()


def _at_once(_: Profile) -> Iterator[Step]:
    """The client has nothing to say."""
    yield Connect()
    yield EndInput()
    yield ExpectEnd()


def _owed_unread(profile: Profile) -> Iterator[Step]:
    """Much is owed when the client ends its input, and the client reads only then."""
    data = b"owed to a client that reads late\n" * 100_000
    yield Connect()
    yield SendUnread(data, quiet=0.2)
    yield EndInput()
    yield Expect((profile.service.reply(data),))
    yield ExpectEnd()


def _rejected(profile: Profile, behind: bytes) -> Iterator[Step]:
    yield Connect()
    yield Send(over(profile) + behind)
    yield Expect((NOTICE,))
    yield ExpectEnd()


def _rejected_and_sending(profile: Profile) -> Iterator[Step]:
    """The client goes on sending for a moment after the server's end, as it cannot know better."""
    yield from _rejected(profile, b"\n")
    for _ in range(3):
        yield Send(b"still talking\n" * 100)
        yield Pause(_MOMENT)
    yield ExpectEnd()


def _once(profile: Profile) -> Iterator[Step]:
    yield Connect()
    yield from served(profile, b"one\ntwo\nthree\n")
    yield ExpectEnd()


def _idle(profile: Profile) -> Iterator[Step]:
    yield Connect()
    yield Send(b"hello\nhalf a li")
    yield Expect(replies(b"hello\n", profile))
    yield Silence(6 * _MOMENT)
    yield Send(b"ne\n")
    yield Expect(replies(b"half a line\n", profile))


_ENDED: Final = ("LIMIT-4.no-lf/whole", "LIMIT-7.line-behind/whole")

CASES: Final = (
    Case("CLOSE-1", "hundred", to_the_end(b"owed\n" * 100), needs=_CONVERSATION),
    Case(
        "CLOSE-1",
        "3MiB-unread",
        _owed_unread,
        needs=_CONVERSATION,
        length=32,
        after=("FLOW-1.16MiB/whole",),
        effort=2,
    ),
    Case("CLOSE-2", "rejected", lambda p: _rejected(p, b"\n"), needs=_REJECT, after=_ENDED),
    Case(
        "CLOSE-2", "rejected-64KiB-unread", lambda p: _rejected(p, b"u" * 65536), needs=_REJECT, after=_ENDED
    ),
    Case(
        "CLOSE-2",
        "rejected-1MiB-of-lines",
        lambda p: _rejected(p, b"\nunread\n" * 131072),
        needs=_REJECT,
        after=_ENDED,
    ),
    Case("CLOSE-2", "rejected-still-sending", _rejected_and_sending, needs=_REJECT, after=_ENDED),
    Case("CLOSE-3", "after-a-reply", _after_reply),
    Case("CLOSE-3", "at-once", _at_once, after=("FRAME-5.nothing/whole",)),
    Case(
        "CLOSE-4",
        "part-of-a-line",
        _idle,
        needs=(*_CONVERSATION, Need.LINES),
        after=(*CUT, "ORDER-1.part-of-a-line/whole"),
    ),
    Case("CLOSE-5", "three-lines", _once, needs=_ONCE),
)
