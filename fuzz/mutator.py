"""Mutations that know what a conversation is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from .script import ESCAPE, HEADER

#: What a mutation may put between two bytes: line ends, lines at and beside the limit, steps.
TOKENS: Final = (
    b"\n", b"\r\n", b"\r", b"\n\n", b"\0", b"\xff/", b"\xff.", b"\xff~", b"\xffx", b"\xff<\n", b"\xff=\n",
    b"\xff>\n", b"\xff=\xff/\n", b"\xff>\xff/", b"\xff=\r\n", b"\xff<\r\n",
)  # fmt: skip

#: Values that a header's byte is set to: the smallest, the largest, and where a sign or a half begins.
_EDGES: Final = (0, 1, 2, 3, 4, 127, 128, 254, 255)


class Dice:
    """Choices drawn from one seed; cheaper than `random.Random`, which is all it has to be."""

    def __init__(self, seed: int) -> None:
        self._state = seed

    def below(self, n: int) -> int:
        """Return a number from 0 to n - 1."""
        self._state = (self._state * 6364136223846793005 + 1442695040888963407) & 0xFFFFFFFFFFFFFFFF
        return (self._state >> 33) % n


def insert_token(script: bytes, dice: Dice, tokens: Sequence[bytes] = TOKENS) -> bytes:
    """Insert a token somewhere: cut a chunk, hit the limit, end a line, fall silent."""
    at = dice.below(len(script) + 1)
    return script[:at] + tokens[dice.below(len(tokens))] + script[at:]


def join_chunks(script: bytes, dice: Dice) -> bytes:
    """Remove one step, so that the chunks around it become one."""
    parts = script.split(ESCAPE)
    at = dice.below(len(parts))
    if at:
        parts[at - 1 : at + 1] = [parts[at - 1] + parts[at][1:]]
    return ESCAPE.join(parts)


def move_step(script: bytes, dice: Dice) -> bytes:
    """Move one step, such as the half-close or the silence, to another place."""
    parts = script.split(ESCAPE)
    at = dice.below(len(parts))
    if not at:
        return script
    sign, text = parts[at][:1], parts[at][1:]
    parts[at - 1 : at + 1] = [parts[at - 1] + text]
    rest = ESCAPE.join(parts)
    to = dice.below(len(rest) + 1)
    return rest[:to] + ESCAPE + sign + rest[to:]


def swap_line_ends(script: bytes, dice: Dice) -> bytes:
    """Replace one LF by a CR or one CR by an LF."""
    ends = [at for at, byte in enumerate(script) if byte in b"\r\n"]
    if not ends:
        return script
    at = ends[dice.below(len(ends))]
    return script[:at] + bytes([script[at] ^ 7]) + script[at + 1 :]


def repeat_part(script: bytes, dice: Dice) -> bytes:
    """Repeat a part of the script, behind itself."""
    start = dice.below(len(script) + 1)
    end = start + dice.below(17)
    return script[:end] + script[start:]


def drop_part(script: bytes, dice: Dice) -> bytes:
    """Remove a part of the script."""
    start = dice.below(len(script) + 1)
    return script[:start] + script[start + 1 + dice.below(16) :]


MUTATIONS: Final[tuple[Callable[[bytes, Dice], bytes], ...]] = (
    join_chunks, move_step, swap_line_ends, repeat_part, drop_part,
)  # fmt: skip
#: Of eight mutations, so many insert a token of a harness, and so many one of `TOKENS`.
_OWN, _COMMON = 2, 1


def mutate(data: bytes, max_bytes: int, seed: int, own: Sequence[bytes] = TOKENS) -> bytes:
    """Return `data` changed in one or two places, at most `max_bytes` bytes long.

    Args:
        data: an input.
        max_bytes: the most bytes of the result.
        seed: what the choices are drawn from.
        own: what may be inserted besides `TOKENS`: the steps and delimiters of one harness.
    """
    dice = Dice(seed)
    head, script = data[:HEADER], data[HEADER:]
    if dice.below(8) == 0 and head:
        at = dice.below(len(head))
        changed = head[at] ^ 1 << dice.below(8) if dice.below(4) else _EDGES[dice.below(len(_EDGES))]
        head = head[:at] + bytes([changed]) + head[at + 1 :]
    for _ in range(1 + dice.below(2)):
        choice = dice.below(_OWN + _COMMON + len(MUTATIONS))
        if choice >= _OWN + _COMMON:
            script = MUTATIONS[choice - _OWN - _COMMON](script, dice)
        else:
            script = insert_token(script, dice, own if choice < _OWN else TOKENS)
    return (head + script)[:max_bytes]
