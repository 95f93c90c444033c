"""FLOW and TIME: full buffers in both directions, replies in time, and work that grows as the input does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from caas_trio.conformance.case import Case
from caas_trio.conformance.oracle import replies
from caas_trio.conformance.profile import Need, Profile
from caas_trio.conformance.script import Connect, Expect, Growth, Send, SendUnread, Step

from .common import CUT, proof, served, unending

_CONVERSATION: Final = (Need.STREAM, Need.CONVERSATION)
_LINE: Final = b"sixty-three bytes and their terminator, over and over and over\n"
_LENGTH: Final = len(_LINE) - 1
_MIB: Final = 1 << 20


def _late_reader(profile: Profile) -> Iterator[Step]:
    data = _LINE * (16 * _MIB // len(_LINE))
    yield Connect()
    yield SendUnread(data, quiet=0.5)
    yield Expect((profile.service.reply(data),))
    yield from proof(profile)


def _both_full(profile: Profile) -> Iterator[Step]:
    data = _LINE * (8 * _MIB // len(_LINE))
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
    for length in (2, 10, 100):
        yield from served(profile, b"p" * (length - 1) + b"\n")


def _bytes_at_once(profile: Profile) -> Iterator[Step]:
    """What is no line yet comes back at once where bytes are echoed."""
    yield Connect()
    for part in (b"p", b"art of a line", b" and its end\n"):
        yield from served(profile, part)


def _beside_a_beginning(profile: Profile) -> Iterator[Step]:
    """A line is complete and the next one has begun in the same chunk: the first is due all the same."""
    yield Connect()
    yield Send(b"complete\nbegu")
    yield Expect(replies(b"complete\n", profile))
    yield Send(b"n\n")
    yield Expect(replies(b"begun\n", profile))


def _long_line(_: Profile) -> Iterator[Step]:
    yield Growth(b"g" * _MIB + b"\n", b"g" * (8 * _MIB) + b"\n", factor=3, floor=0.5)


def _many_lines(_: Profile) -> Iterator[Step]:
    yield Growth(b"growing\n" * 5000, b"growing\n" * 40_000, factor=3, floor=0.5)


_BURSTS: Final = ("ORDER-8.2000/whole", "ORDER-8.100000/whole")
_LONG: Final = ("FRAME-7.1MiB/whole", "FRAME-7.64MiB/whole")

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
    Case("FLOW-2", "8MiB", _both_full, needs=_CONVERSATION, length=_LENGTH, after=_BURSTS, effort=4),
    Case("FLOW-3", "64MiB", _never_reads, needs=_CONVERSATION, effort=6),
    Case("TIME-1", "each-line", _promptly, needs=_CONVERSATION, length=99),
    Case("TIME-1", "bytes-at-once", _bytes_at_once, needs=(Need.STREAM, Need.BYTES)),
    Case("TIME-1", "next-one-begun", _beside_a_beginning, needs=_CONVERSATION, after=CUT),
    Case("TIME-2", "long-line", _long_line, length=8 * _MIB, after=_LONG, alone=True, effort=6),
    Case("TIME-2", "many-lines", _many_lines, needs=_CONVERSATION, after=_BURSTS, alone=True, effort=6),
)
