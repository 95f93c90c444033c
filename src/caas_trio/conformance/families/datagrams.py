"""DGRAM: one datagram, one reply."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from caas_trio.conformance.case import Case, Script
from caas_trio.conformance.profile import Need, Profile
from caas_trio.conformance.script import Abandon, Ask, AskTogether, Step

from .content import LETTERS, edges, text
from .watching import WATCH_S

_NEEDS: Final = (Need.DATAGRAMS,)
#: What an IPv4 datagram holds at most: 65535 less 20 for IP and 8 for UDP.
_LARGEST: Final = 65507
_NO_LF: Final = ("DGRAM-1.no-lf/whole",)


def _asked(*data: bytes, lost: str = "DGRAM-1") -> Script:
    """Return the script that sends datagrams, one after the other, and wants the whole of each back."""

    def script(profile: Profile) -> Iterator[Step]:
        for number, datagram in enumerate(data):
            yield Ask(datagram, profile.service.reply(datagram), client=number, lost=lost)

    return script


def _empty(_: Profile) -> Iterator[Step]:
    yield Ask(b"", b"", shorter=True)


def _from_there(profile: Profile) -> Iterator[Step]:
    for data in (b"hello\n", *(text(f"there {length}", length) for length in (1, 101, 1025, 8000))):
        yield Ask(data, profile.service.reply(data), from_there=True)


def _abandoned(profile: Profile) -> Iterator[Step]:
    """Thirty senders are gone before their replies come; what the kernel says of that is not for others."""
    for _ in range(30):
        yield Abandon(b"gone\n")
    yield from _asked(b"still here\n", b"and here\n", lost="DGRAM-6")(profile)


STILL_SERVED: Final = Case("DGRAM-1", "still-served", _asked(b"still here?\n"), needs=_NEEDS)


def _together(*data: bytes, quiet: float = 0.1, gone: bytes | None = None) -> Script:
    """Return the script that sends datagrams at once, each from a socket of its own."""

    def script(profile: Profile) -> Iterator[Step]:
        yield AskTogether(data, tuple(map(profile.service.reply, data)), quiet, gone=gone)

    return script


def _odd(_: Profile) -> Iterator[Step]:
    """Contents that a server might have something to say about; it may say no more than was asked."""
    odd = (
        *(bytes([byte]) for byte in range(0, 256, 3)),
        b"\n",
        b"\r\n",
        b"\n\n",
        b"\0\0",
        b"  ",
        b"\xff\xfe",
        b"?",
    )
    yield AskTogether(odd, odd, quiet=0.3, shorter=True)


_SIZES: Final = (512, 1023, 1024, 1452, 1500, 2048, 4095, 4096, 4097, 8191, 8192, 9000, 16384, 20_000)
_LARGE: Final = (32_767, 32_768, 49_152, 60_001, 64_000, 65_000, 65_506, _LARGEST)
#: Bytes as they come, a NUL, an LF or blanks at an end among them.
_ENDS: Final = tuple(
    b"%d" % number + data
    for number, data in enumerate(
        (
            b"END\0",
            b"END\n",
            b"END\n\n",
            b"END \n",
            b"END\r\n",
            b"\nEND",
            b"\0END",
            b" END ",
            b"\n",
            b"\0",
            b" ",
        )
    )
)
#: A large reply from elsewhere is no lost one.
_LARGE_PASSED: Final = (*_NO_LF, "DGRAM-7.from-there/whole")
_BASICS: Final = (*_NO_LF, "DGRAM-1.one-byte/whole", "DGRAM-1.every-byte/whole")
#: A second reply that comes late is taken for another sender's.
_ONE_REPLY: Final = (*_BASICS, "DGRAM-2.watched/whole")
_ANYTHING: Final = bytes(range(256))

CASES: Final = (
    Case("DGRAM-1", "hello", _asked(b"hello\n"), needs=_NEEDS, sanity=True),
    Case("DGRAM-1", "no-lf", _asked(b"hello"), needs=_NEEDS),
    Case("DGRAM-1", "several-lines", _asked(b"one\ntwo\r\n\nthree"), needs=_NEEDS),
    Case("DGRAM-1", "every-byte", _asked(bytes(range(256))), needs=_NEEDS),
    Case("DGRAM-1", "one-byte", _asked(b"x"), needs=_NEEDS),
    Case("DGRAM-2", "one-reply-each", _asked(*(b"message %d\n" % n for n in range(5))), needs=_NEEDS),
    Case("DGRAM-3", "empty", _empty, needs=_NEEDS),
    Case(
        "DGRAM-4", "in-turn", _asked(*(b"sender %d\n" % n for n in range(10)), lost="DGRAM-4"), needs=_NEEDS
    ),
    Case("DGRAM-5", "1472", _asked(b"D" * 1472, lost="DGRAM-5"), needs=_NEEDS, after=_NO_LF),
    Case("DGRAM-5", "8193", _asked(b"D" * 8193, lost="DGRAM-5"), needs=_NEEDS, after=_NO_LF),
    Case("DGRAM-5", "65507", _asked(b"D" * _LARGEST, lost="DGRAM-5"), needs=_NEEDS, after=_NO_LF),
    Case("DGRAM-6", "abandoned", _abandoned, needs=_NEEDS, alone=True),
    Case(
        "DGRAM-7",
        "from-there",
        _from_there,
        needs=_NEEDS,
        after=(*_BASICS, "DGRAM-1.lengths/whole"),
    ),
    Case("DGRAM-3", "odd", _odd, needs=_NEEDS, after=_BASICS),
    Case(
        "DGRAM-1",
        "lengths",
        _together(*(text(f"datagram {n}", n, _ANYTHING) for n in edges(1400))),
        needs=_NEEDS,
        after=(*_ONE_REPLY, "DGRAM-3.odd/whole"),
    ),
    Case(
        "DGRAM-1",
        "letters",
        _together(*(text(f"letters {n}", n, LETTERS) for n in (60, 129, 700, 1400))),
        needs=_NEEDS,
        after=_ONE_REPLY,
    ),
    Case("DGRAM-1", "ends", _together(*_ENDS), needs=_NEEDS, after=(*_ONE_REPLY, "DGRAM-3.odd/whole")),
    Case(
        "DGRAM-2",
        "watched",
        _together(b"WATCHED\n", b"WATCHED", quiet=WATCH_S),
        needs=_NEEDS,
        after=_BASICS,
        idle=True,
    ),
    Case(
        "DGRAM-4",
        "together",
        _together(*(b"SENDER %d\n" % n for n in range(12))),
        needs=_NEEDS,
        after=_ONE_REPLY,
    ),
    Case(
        "DGRAM-5",
        "sizes",
        _together(*(text(f"size {n}", n) for n in _SIZES)),
        needs=_NEEDS,
        after=_LARGE_PASSED,
    ),
    *(
        Case(
            "DGRAM-5",
            f"{n}-bytes",
            _asked(text("large", n), lost="DGRAM-5"),
            needs=_NEEDS,
            after=_LARGE_PASSED,
        )
        for n in _LARGE
    ),
    Case(
        "DGRAM-6",
        "beside",
        _together(*(b"STILL HERE %d\n" % n for n in range(8)), gone=b"GONE\n"),
        needs=_NEEDS,
        after=("DGRAM-4.together/whole",),
        alone=True,
    ),
)
