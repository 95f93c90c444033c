"""Chunks as drivers hand them over: cut small, and in memory that is used again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from caas_trio.framing import Chunk

Answer = TypeVar("Answer")

#: As many pieces a chunk is cut into at most, which keeps the rate up.
PIECES: Final = 4
#: The sizes that a header's byte chooses from; most inputs cut where they say so themselves.
_SIZES: Final = (1, 2, 3)


def cut(chunk: bytes, choice: int) -> list[bytes]:
    """Cut a chunk into pieces of one size, the last one longer once there are `PIECES` of them."""
    if choice >= len(_SIZES) or not chunk:
        return [chunk]
    size = _SIZES[choice]
    most = size * (PIECES - 1)
    pieces = [chunk[start : start + size] for start in range(0, min(len(chunk), most), size)]
    return [*pieces, chunk[most:]] if len(chunk) > most else pieces


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
