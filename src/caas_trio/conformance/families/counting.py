"""LIMIT: the limit counts bytes, whatever they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from caas_trio.conformance.case import Case
from caas_trio.conformance.profile import Need, Profile

from .common import conversations
from .content import text

_LIMIT: Final = (Need.STREAM, Need.LIMIT)
_NOTICE: Final = (*_LIMIT, Need.NOTICE)
_SECOND: Final = ("LIMIT-2.limit+1/whole",)

#: What some count otherwise than by bytes, and what some do not count at all.
_CONTENTS: Final = {
    "utf-8": "\u00e9\u20ac\U0001f40d".encode() * 3,
    "high-bytes": bytes(range(0xA0, 0x100)),
    "nuls": b"\0N",
    "nul-first": b"\0",
    "tabs": b"\tT",
    "blanks": b" B",
    "blanks-only": b" ",
    "backspaces": b"\x08B",
    "escapes": b"\\\\n",
}


def _filled(content: bytes, length: int) -> bytes:
    """Return a content that is repeated up to a length and ends in what it is made of."""
    return (content * (length // len(content) + 1))[-length:]


def _of_contents(clause: str, beyond: int, needs: tuple[Need, ...], after: tuple[str, ...]) -> Iterator[Case]:
    for name, content in _CONTENTS.items():

        def sent(profile: Profile, content: bytes = content) -> list[bytes]:
            return [_filled(content, profile.limit + beyond) + b"\n"]

        yield Case(
            clause,
            f"{name}{'+1' if beyond else ''}",
            conversations(sent, alone=True),
            needs=needs,
            after=after,
        )


CASES: Final = (
    *_of_contents("LIMIT-1", 0, _LIMIT, ("LIMIT-1.limit/whole", "SERVE-2.at-both-ends/whole")),
    *_of_contents("LIMIT-3", 1, _NOTICE, _SECOND),
    Case(
        "LIMIT-3",
        "cr+1",
        conversations(
            lambda p: [
                b"\rC\r" + text("c", p.limit - 2) + b"\n",
                b"C\r" * (p.limit // 2) + b"CC\n"[p.limit % 2 == 0 :],
            ],
            alone=True,
        ),
        needs=_NOTICE,
        after=_SECOND,
    ),
)
