"""FLOW and TIME: full buffers in both directions, replies in time, and work that grows as the input does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from caas_trio.conformance.case import Case
from caas_trio.conformance.oracle import replies
from caas_trio.conformance.profile import Need, Profile
from caas_trio.conformance.script import Connect, Expect, Growth, Send, SendUnread, Step

from .common import CUT, proof, served, unending
from .content import edges, lines, longest_line

_CONVERSATION: Final = (Need.STREAM, Need.CONVERSATION)
_LENGTH: Final = 62
_MIB: Final = 1 << 20


def _many(size: int) -> bytes:
    """Return about `size` bytes in lines; for a long stretch no two are alike."""
    block = b"".join(lines("many", [_LENGTH] * 10_000))
    return block * (size // len(block))


def _late_reader(profile: Profile) -> Iterator[Step]:
    data = _many(16 * _MIB)
    yield Connect()
    yield SendUnread(data, quiet=0.5)
    yield Expect((profile.service.reply(data),))
    yield from proof(profile)


def _both_full(profile: Profile) -> Iterator[Step]:
    data = _many(8 * _MIB)
    yield Connect()
    yield Send(data)
    yield Expect((profile.service.reply(data),))
    yield from proof(profile)


def _never_reads(profile: Profile) -> Iterator[Step]:
    """The client sends what no chain of buffers holds, those of a proxy before the server included."""
    yield Connect()
    yield SendUnread(unending(profile), quiet=1.5, must_block=True, times=4)


def _promptly(profile: Profile) -> Iterator[Step]:
    """Each reply comes before anything else is sent, however long its line."""
    yield Connect()
    for line in lines("promptly", (*range(3), 9, 99, *edges(longest_line(profile)))):
        yield from served(profile, line)


def _bytes_at_once(profile: Profile) -> Iterator[Step]:
    """Where bytes are echoed, a part of a line comes back at once."""
    yield Connect()
    for part in (b"p", b"art of a line", b" and its end\n"):
        yield from served(profile, part)


def _beside_a_beginning(profile: Profile) -> Iterator[Step]:
    """A line is complete and the next one has begun in the same chunk: the first is due all the same."""
    yield Connect()
    yield Send(b"COMPLETE\nBEGU")
    yield Expect(replies(b"COMPLETE\n", profile))
    yield Send(b"N\n")
    yield Expect(replies(b"BEGUN\n", profile))


def _long_line(_: Profile) -> Iterator[Step]:
    yield Growth(b"G" * _MIB + b"\n", b"G" * (8 * _MIB) + b"\n", factor=3, floor=0.5)


def _many_lines(_: Profile) -> Iterator[Step]:
    yield Growth(b"GROWING\n" * 5000, b"GROWING\n" * 40_000, factor=3, floor=0.5)


_BURSTS: Final = ("ORDER-8.2000/whole", "ORDER-8.100000/whole", "ORDER-8.repeats/whole")
_LONG: Final = ("FRAME-7.1MiB/whole", "FRAME-7.64MiB/whole")


def _each_in_one(profile: Profile) -> Iterator[Step]:
    """Some lines are complete: the reply to the last is due as the others are, however many they are."""
    yield Connect()
    for count in (1, 2, 3, 4, 7, 8, 16, 63, 64, 100, 1000):
        yield from served(profile, b"".join(lines(f"each {count}", [5] * count)))


def _crlf(profile: Profile) -> Iterator[Step]:
    yield Connect()
    for _ in range(3):
        yield from served(profile, b"ONE\r\n")
        yield from served(profile, b"\r\n")


CASES: Final = (
    Case(
        "FLOW-1",
        "16MiB",
        _late_reader,
        needs=_CONVERSATION,
        length=_LENGTH,
        after=("FLOW-2.8MiB/whole",),
        effort=4,
    ),
    Case(
        "FLOW-2",
        "8MiB",
        _both_full,
        needs=_CONVERSATION,
        length=_LENGTH,
        after=_BURSTS,
        effort=4,
    ),
    Case("FLOW-3", "64MiB", _never_reads, needs=_CONVERSATION, after=_BURSTS, effort=6),
    Case(
        "TIME-1",
        "each-line",
        _promptly,
        needs=_CONVERSATION,
        length=99,
        after=("FRAME-3.lf/whole", "FRAME-7.lengths/whole", "FRAME-7.64KiB/whole", "CLOSE-4.lines/whole"),
    ),
    Case(
        "TIME-1",
        "each-of-many",
        _each_in_one,
        needs=_CONVERSATION,
        after=(*CUT, "FRAME-6.burst/whole", "ORDER-8.2000/whole"),
    ),
    Case("TIME-1", "crlf", _crlf, needs=_CONVERSATION, after=("FRAME-2.crlf/whole", "FRAME-3.crlf/whole")),
    Case("TIME-1", "bytes-at-once", _bytes_at_once, needs=(Need.STREAM, Need.BYTES)),
    Case("TIME-1", "next-one-begun", _beside_a_beginning, needs=_CONVERSATION, after=CUT),
    Case("TIME-2", "long-line", _long_line, length=8 * _MIB, after=_LONG, alone=True, effort=6),
    Case("TIME-2", "many-lines", _many_lines, needs=_CONVERSATION, after=_BURSTS, alone=True, effort=6),
)
