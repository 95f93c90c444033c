"""The state of a `LineBuffer` as a value, and back.

Attribute by attribute, since a loop over their names takes ten times as long.
"""

from __future__ import annotations

from typing import TypeAlias

from caas_trio import LineBuffer, Terminator
from caas_trio.core.buffering import Front

BufferState: TypeAlias = tuple[Front, int, tuple[bytes, int], bytes, bytes, int, int, int, Terminator, bool]


def buffer_state(buffer: LineBuffer) -> BufferState:
    """Return what a buffer goes on by, beside the bytes that it holds. What only counts is no part of it."""
    return (
        buffer._front,
        buffer._searched,
        buffer._sought,
        buffer._skip_to,
        buffer._skip_tail,
        buffer._streamed,
        buffer._max_line,
        buffer._lf_reach,
        buffer._terminator,
        buffer.ended,
    )


def restore(
    buffer: LineBuffer, held: bytes, state: BufferState, *, finished: int, oversize_lines: int
) -> None:
    """Put a buffer into a state: all of its attributes are set."""
    buffer._buffer = bytearray(held)
    (
        buffer._front,
        buffer._searched,
        buffer._sought,
        buffer._skip_to,
        buffer._skip_tail,
        buffer._streamed,
        buffer._max_line,
        buffer._lf_reach,
        buffer._terminator,
        buffer.ended,
    ) = state
    buffer._finished = finished
    buffer.oversize_lines = oversize_lines
