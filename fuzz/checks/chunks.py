"""Chunks as drivers hand them over: cut small, and in memory that is used again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from caas_trio.core.buffering import Chunk
from fuzz.script import CUT, ESCAPE

Answer = TypeVar("Answer")

CUT_STEP: Final = ESCAPE + bytes([CUT])

#: As many pieces a chunk is cut into at most, which keeps the rate up.
PIECES: Final = 3
#: A header's byte chooses a size up to this; most inputs cut where they say so themselves.
_MAX_SIZE: Final = 3


def cut(chunk: bytes, size: int) -> list[bytes]:
    """Cut a chunk into pieces of one size, the last one longer once there are `PIECES` of them."""
    if not 0 < size <= _MAX_SIZE or not chunk:
        return [chunk]
    end = size * (PIECES - 1)
    pieces = [chunk[start : start + size] for start in range(0, min(len(chunk), end), size)]
    return [*pieces, chunk[end:]] if len(chunk) > end else pieces


def cuts(texts: Iterable[bytes]) -> tuple[bytes, ...]:
    """Return scripts that send each text: whole, and cut at each place."""
    return tuple(
        text[:at] + (CUT_STEP if at else b"") + text[at:] for text in texts for at in range(len(text))
    )


def hand_over(receive: Callable[[Chunk], Answer], piece: bytes, choice: int) -> Answer:
    """Call `receive` with a piece as bytes, or in memory that is then used for something else."""
    if choice == 0:
        return receive(piece)
    memory = bytearray(piece)
    if choice == 1:
        answer = receive(memory)
    else:
        with memoryview(memory) as view:
            answer = receive(view)
    memory[:] = b"\n" * len(piece)
    memory.append(0)  # not possible while anybody still has a view of it
    return answer
