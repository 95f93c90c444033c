"""How a client cuts what it sends: one send per piece, with a delay between them.

A delay makes it likely, not certain, that the server reads the pieces apart; no verdict of a right
server depends on whether it did.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, TypeAlias

Cutter: TypeAlias = Callable[[bytes], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class Cut:
    """A way of cutting.

    Attributes:
        name: what it is called in the id of a case.
        pieces: yields the pieces of some bytes, in order, none empty.
        delay_s: seconds between two pieces.
    """

    name: str
    pieces: Cutter
    delay_s: float = 0.01


def _at(offsets: Callable[[bytes], list[int]]) -> Cutter:
    """Return a cutter that cuts at the offsets that a function finds in the data."""

    def pieces(data: bytes) -> Iterator[bytes]:
        inner = {offset for offset in offsets(data) if 0 < offset < len(data)}
        edges = [0, *sorted(inner), len(data)]
        for start, end in pairwise(edges):
            if start < end:
                yield data[start:end]

    return pieces


def _found(data: bytes, what: bytes) -> list[int]:
    return [match.start() for match in re.finditer(re.escape(what), data)]


def around(offset: int) -> Cut:
    """Return the cut that sends the bytes around an offset one at a time, the rest whole."""
    return Cut("edge", _at(lambda _: list(range(offset - 2, offset + 4))))


def at(offset: int, name: str) -> Cut:
    """Return the cut in two at an offset."""
    return Cut(name, _at(lambda _: [offset]))


def every(size: int, name: str, delay_s: float = 0.0) -> Cut:
    """Return the cut into pieces of one size."""
    return Cut(name, _at(lambda data: list(range(0, len(data), size))), delay_s)


WHOLE: Final = Cut("whole", _at(lambda _: []))
BYTE: Final = every(1, "byte", 0.002)
#: The LF comes alone.
BEFORE_LF: Final = Cut("before-lf", _at(lambda data: _found(data, b"\n")))
#: One line a piece.
AFTER_LF: Final = Cut("after-lf", _at(lambda data: [offset + 1 for offset in _found(data, b"\n")]))
INSIDE_CRLF: Final = Cut("inside-crlf", _at(lambda data: [offset + 1 for offset in _found(data, b"\r\n")]))
#: Pieces that hold the end of one line, a whole one and the beginning of a third.
THIRDS: Final = Cut("thirds", _at(lambda data: [len(data) // 3, 2 * len(data) // 3]))
