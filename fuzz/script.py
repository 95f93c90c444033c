r"""Scripts: how a fuzz input spells a conversation.

An input is a header of `HEADER` bytes, which choose the configuration, and a script. The script is
what the client sends, with steps in between: the byte 0xFF and a letter or sign.

    \xff/   cut here: what came before is one chunk         \xff.   end of input
    \xffx   the byte 0xFF itself                            \xff~   silence
    \xff<   make the line one byte shorter than the limit   \xff=   exactly the limit long
    \xff>   one byte longer than the limit

Each harness may define more steps; an undefined sign is an ordinary byte. Every input means
something, and a byte changed, lost or added anywhere leaves the rest of the conversation in place.
"""

from __future__ import annotations

from typing import Final, TypeAlias

HEADER: Final = 4
ESCAPE: Final = b"\xff"
#: After this many steps the rest is one chunk, so that no input costs much more than another.
MAX_STEPS: Final = 6

CUT: Final = ord("/")
END: Final = ord(".")
SILENCE: Final = ord("~")
ESCAPED: Final = ord("x")
#: By how much the line differs from the limit.
PAD: Final = {ord("<"): -1, ord("="): 0, ord(">"): 1}

#: What is sent first, and then the sign of the step: one that the harness knows.
Step: TypeAlias = tuple[bytes, int]


def header(data: bytes) -> bytes:
    """Return the header of an input, filled up with zeros."""
    return data[:HEADER].ljust(HEADER, b"\0")


def steps(data: bytes, limit: int, known: frozenset[int]) -> list[Step]:
    """Return the script of an input as steps; the last one is a cut.

    Args:
        data: the input.
        limit: what lines are padded to.
        known: the signs the harness acts on, besides `CUT`.
    """
    first, *rest = data[HEADER:].split(ESCAPE)
    found: list[Step] = []
    chunk = first
    line = len(first) - first.rfind(b"\n") - 1  # bytes since the last LF
    for part in rest:
        if not part:
            continue
        sign, text = part[0], part[1:]
        if (sign == CUT or sign in known) and len(found) < MAX_STEPS:
            found.append((chunk, sign))
            chunk = b""
        elif sign == ESCAPED:
            text = ESCAPE + text
        elif sign in PAD:
            text = b"p" * (limit + PAD[sign] - line) + text
        else:
            text = part
        chunk += text
        last = text.rfind(b"\n")
        line = line + len(text) if last < 0 else len(text) - last - 1
    found.append((chunk, CUT))
    return found


def tokens(known: frozenset[int]) -> tuple[bytes, ...]:
    """Return what mutations of a harness insert, by the signs that it acts on: each as a step."""
    return tuple(ESCAPE + bytes([sign]) for sign in sorted(known))
