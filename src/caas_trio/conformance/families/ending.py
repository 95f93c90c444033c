"""CLOSE: half-close, the replies still owed, and a FIN rather than a reset."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from caas_trio.conformance.case import Case, Script
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
from .content import lines
from .limits import over

_CONVERSATION: Final = (Need.STREAM, Need.CONVERSATION)
_REJECT: Final = (Need.STREAM, Need.LIMIT, Need.REJECT)
_ONCE: Final = (Need.STREAM, Need.ONCE)
#: Long enough that a reset, if there is one, has come.
_PAUSE_S: Final = 0.1


def _after_reply(profile: Profile) -> Iterator[Step]:
    yield Connect()
    yield from served(profile, b"GOODBYE\n")
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
    data = b"OWED TO A CLIENT THAT READS LATE\n" * 100_000
    yield Connect()
    yield SendUnread(data, quiet=0.2)
    yield EndInput()
    yield Expect((profile.service.reply(data),))
    yield ExpectEnd()


def _unread_line(*behind: bytes) -> Script:
    """Return the script of a client that sends more than the one line that is answered."""

    def script(profile: Profile) -> Iterator[Step]:
        yield Connect()
        yield Send(b"ONE\n" + behind[0])
        yield Expect(replies(b"ONE\n", profile))
        for more in behind[1:]:
            yield Send(more)
            yield Pause(_PAUSE_S)
        yield ExpectEnd()

    return script


def _many_in_turn(profile: Profile) -> Iterator[Step]:
    """A conversation has no most lines, be they sent in turn or at once."""
    yield Connect()
    for number in range(60):
        yield from served(profile, b"TURN %d\n" % number)
    for number in range(300):
        yield from served(profile, b"%d A\n%d B\n%d C\n%d D\n" % ((number,) * 4))


#: What ends a conversation elsewhere.
_WORDS: Final = (
    *(
        b"QUIT",
        b"quit",
        b"EXIT",
        b"exit",
        b"BYE",
        b"bye",
        b"LOGOUT",
        b"CLOSE",
        b"STOP",
        b"END",
        b"EOF",
        b"Q",
        b"q",
    ),
    *(b".", b"\x03", b"\x04", b"\x1a", b"\\q", b"", b"0", b"--"),
)


def _words(profile: Profile) -> Iterator[Step]:
    """No line ends the conversation."""
    yield Connect()
    for word in _WORDS:
        yield from served(profile, word + b"\n")
    yield from served(profile)


def _ended_behind_lines(profile: Profile) -> Iterator[Step]:
    """A longer conversation ends as a short one does."""
    yield Connect()
    for number in range(80):
        yield from served(profile, b"TURN %d\n" % number)
    yield EndInput()
    yield ExpectEnd()


def _ended_late(profile: Profile) -> Iterator[Step]:
    yield Connect()
    yield from served(profile)
    yield Pause(8 * _PAUSE_S)
    yield EndInput()
    yield ExpectEnd()


def _second_later(profile: Profile) -> Iterator[Step]:
    """Another line, sent when the first one is answered, gets nothing."""
    yield Connect()
    yield from served(profile)
    yield Send(b"TWO\n")
    yield Pause(2 * _PAUSE_S)
    yield ExpectEnd()


def _one_of(first: bytes) -> Script:
    """Return the script that sends a line, whatever it contains, and others behind it."""

    def script(profile: Profile) -> Iterator[Step]:
        yield Connect()
        yield Send(first + b"\nTWO\nTHREE")
        yield Expect(replies(first + b"\n", profile))
        yield ExpectEnd()

    return script


def _rejected(profile: Profile, behind: bytes) -> Iterator[Step]:
    yield Connect()
    yield Send(over(profile) + behind)
    yield Expect((NOTICE,))
    yield ExpectEnd()


def _rejected_and_sending(profile: Profile) -> Iterator[Step]:
    """The client goes on sending for a moment after the server's end, as it cannot know better."""
    yield from _rejected(profile, b"\n")
    for _ in range(3):
        yield Send(b"STILL TALKING\n" * 100)
        yield Pause(_PAUSE_S)
    yield ExpectEnd()


def _once(profile: Profile) -> Iterator[Step]:
    yield Connect()
    yield from served(profile, b"ONE\nTWO\nTHREE\n")
    yield ExpectEnd()


def _idle(profile: Profile) -> Iterator[Step]:
    yield Connect()
    yield Send(b"HELLO\nHALF A LI")
    yield Expect(replies(b"HELLO\n", profile))
    yield Silence(6 * _PAUSE_S)
    yield Send(b"NE\n")
    yield Expect(replies(b"HALF A LINE\n", profile))


_ONE_LINE: Final = ("CLOSE-5.three-lines/whole", "CLOSE-5.second-later/whole")
_ENDED: Final = ("LIMIT-4.no-lf/whole", "LIMIT-7.line-behind/whole")

CASES: Final = (
    Case(
        "CLOSE-1",
        "hundred",
        to_the_end(b"".join(lines("hundred", [7] * 100))),
        needs=_CONVERSATION,
        after=("FRAME-5.lines/whole",),
    ),
    Case(
        "CLOSE-1",
        "lengths",
        to_the_end(b"".join(lines("owed", range(70)))),
        needs=_CONVERSATION,
        length=70,
        after=("FRAME-5.lines/whole", "FRAME-3.between/whole"),
    ),
    Case(
        "CLOSE-1",
        "3000",
        to_the_end(b"".join(lines("3000", [19] * 3000))),
        needs=_CONVERSATION,
        after=("FRAME-5.lines/whole", "FRAME-6.burst/whole", "ORDER-8.2000/whole"),
    ),
    Case(
        "CLOSE-1",
        "3MiB-unread",
        _owed_unread,
        needs=_CONVERSATION,
        length=32,
        after=("FLOW-1.16MiB/whole", "FRAME-5.lines/whole"),
        effort=2,
    ),
    Case("CLOSE-2", "rejected", lambda p: _rejected(p, b"\n"), needs=_REJECT, after=_ENDED),
    Case(
        "CLOSE-2", "rejected-64KiB-unread", lambda p: _rejected(p, b"U" * 65536), needs=_REJECT, after=_ENDED
    ),
    Case(
        "CLOSE-2",
        "rejected-1MiB-of-lines",
        lambda p: _rejected(p, b"\nUNREAD\n" * 131072),
        needs=_REJECT,
        after=_ENDED,
    ),
    Case("CLOSE-2", "rejected-still-sending", _rejected_and_sending, needs=_REJECT, after=_ENDED),
    Case("CLOSE-2", "once-unread", _unread_line(b"UNREAD\n"), needs=_ONCE, after=_ONE_LINE),
    Case("CLOSE-2", "once-1MiB-unread", _unread_line(b"UNREAD\n" * 150_000), needs=_ONCE, after=_ONE_LINE),
    Case(
        "CLOSE-2",
        "once-still-sending",
        _unread_line(b"", *[b"STILL TALKING\n" * 100] * 3),
        needs=_ONCE,
        after=_ONE_LINE,
        idle=True,
    ),
    Case(
        "CLOSE-2",
        "lines",
        _ended_behind_lines,
        needs=_CONVERSATION,
        after=("CLOSE-4.lines/whole", "FRAME-5.lines/whole"),
    ),
    Case(
        "CLOSE-3", "late", _ended_late, needs=_CONVERSATION, after=("FRAME-5.a-line-late/whole",), idle=True
    ),
    Case("CLOSE-3", "after-a-reply", _after_reply, after=("FRAME-5.a-line/whole",)),
    Case("CLOSE-3", "at-once", _at_once, after=("FRAME-5.nothing/whole",)),
    Case(
        "CLOSE-4",
        "part-of-a-line",
        _idle,
        needs=(*_CONVERSATION, Need.LINES),
        after=(*CUT, "ORDER-1.part-of-a-line/whole"),
    ),
    Case("CLOSE-4", "lines", _many_in_turn, needs=_CONVERSATION, after=("ORDER-8.two/whole",)),
    Case(
        "CLOSE-4",
        "words",
        _words,
        needs=_CONVERSATION,
        after=("FRAME-3.between/whole", "FRAME-1.eof-mark/whole"),
    ),
    Case("CLOSE-5", "three-lines", _once, needs=_ONCE),
    Case("CLOSE-5", "second-later", _second_later, needs=_ONCE),
    *(
        Case("CLOSE-5", name, _one_of(line), needs=_ONCE, length=len(line), after=after)
        for name, line, after in (
            ("empty-line", b"", ("FRAME-3.lf/whole",)),
            ("one-byte", b"X", ()),
            ("line-of-90", b"X" * 90, ()),
        )
    ),
)
