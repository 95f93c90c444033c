"""DGRAM: one datagram, one reply."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from caas_trio.conformance.case import Case, Script
from caas_trio.conformance.profile import Need, Profile
from caas_trio.conformance.script import Abandon, Ask, Step

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
    yield Ask(b"hello\n", profile.service.reply(b"hello\n"), from_there=True)


def _abandoned(profile: Profile) -> Iterator[Step]:
    """Thirty senders are gone before their replies come; what the kernel says of that is not for others."""
    for _ in range(30):
        yield Abandon(b"gone\n")
    yield from _asked(b"still here\n", b"and here\n", lost="DGRAM-6")(profile)


STILL_SERVED: Final = Case("DGRAM-1", "still-served", _asked(b"still here?\n"), needs=_NEEDS)

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
    Case("DGRAM-5", "1472", _asked(b"d" * 1472, lost="DGRAM-5"), needs=_NEEDS, after=_NO_LF),
    Case("DGRAM-5", "8193", _asked(b"d" * 8193, lost="DGRAM-5"), needs=_NEEDS, after=_NO_LF),
    Case("DGRAM-5", "65507", _asked(b"d" * _LARGEST, lost="DGRAM-5"), needs=_NEEDS, after=_NO_LF),
    Case("DGRAM-6", "abandoned", _abandoned, needs=_NEEDS, alone=True),
    Case("DGRAM-7", "from-there", _from_there, needs=_NEEDS),
)
