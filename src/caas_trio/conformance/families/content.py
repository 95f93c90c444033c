"""Input where one sample would not do: of many lengths and contents, the same in every run.

Input that is not about capitals has no letters to raise, so that a server that errs there fails SERVE alone.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Final

from caas_trio.conformance.profile import Profile
from caas_trio.core.session import Oversize

#: Bytes that come back as they are, and end nothing anywhere.
NEUTRAL: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
LETTERS: Final = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#: Bytes that some framing somewhere takes for the end of a line, or of everything. LF is one.
ODD: Final = b"\0\n\v\f\r\x1a\x1c\x1d\x1e\x85"
PLAIN: Final = bytes(byte for byte in range(256) if byte not in ODD)
#: What has to come back untouched, is no letter to be raised, and escapes nothing.
UNTOUCHED: Final = bytes(byte for byte in PLAIN if byte not in b"abcdefghijklmnopqrstuvwxyz\\")

#: Longer lines are for FRAME-7 alone; a byte beyond 64 KiB.
_LONGEST: Final = (64 << 10) + 1


def text(name: str, length: int, alphabet: bytes = NEUTRAL) -> bytes:
    """Return bytes of an alphabet that look random and are the same for the same name."""
    return random.Random(name).randbytes(length).translate(_table(alphabet))  # noqa: S311 - no secret


def lines(name: str, lengths: Iterable[int], alphabet: bytes = NEUTRAL) -> list[bytes]:
    """Return a line for each length, its LF not counted; but for the shortest, no two are alike."""
    source, table = random.Random(name), _table(alphabet)  # noqa: S311 - no secret
    return [source.randbytes(length).translate(table) + b"\n" for length in lengths]


def _table(alphabet: bytes) -> bytes:
    return bytes(alphabet[number % len(alphabet)] for number in range(256))


def edges(longest: int) -> list[int]:
    """Return lengths at which buffers, counters and tables end, up to a longest one, and that one."""
    powers = {2**power + beside for power in range(2, 17) for beside in range(-2, 2)}
    decimal = {10**power + beside for power in (1, 2, 3, 4) for beside in (-1, 0, 1)}
    sizes = {1, 2, 3, *powers, *decimal, longest - 1, longest}
    return sorted(size for size in sizes if 1 <= size <= longest)


def longest_line(profile: Profile) -> int:
    """Return how many bytes a line may have that the server is declared to answer, within reason."""
    if profile.oversize is Oversize.STREAM and profile.max_line is None:
        return _LONGEST
    # Those at the limit are for LIMIT-1.
    return min(profile.limit - 2 * (profile.max_line is not None), _LONGEST)


def pairs(first: bytes, second: bytes) -> bytes:
    """Return bytes in which each of `first` is followed by each of `second`, and the other way round."""
    return b"".join(bytes([one, other]) for one in first for other in second)


def overlapping(data: bytes, size: int = 64) -> bytes:
    """Return lines that hold every neighbour in `data`."""
    return b"".join(data[at : at + size + 1] + b"\n" for at in range(0, len(data), size))
