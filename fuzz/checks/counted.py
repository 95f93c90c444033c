"""Work counted instead of timed: a buffer that knows how many bytes have been walked over."""

from __future__ import annotations

import sys
from typing import Any


class CountedBytes(bytearray):
    """A bytearray that counts, for all instances together, the bytes that searches and copies visit.

    Deleting from the front is free, as it is in CPython: only the start moves.
    """

    walked = 0

    def find(self, sub: Any, start: Any = 0, end: Any = sys.maxsize) -> int:
        """Search forwards, counting up to the place where the search stopped."""
        found = super().find(sub, start, end)
        stop = found + 1 if found >= 0 else min(end, len(self))
        CountedBytes.walked += max(0, stop - start)
        return found

    def rfind(self, sub: Any, start: Any = 0, end: Any = sys.maxsize) -> int:
        """Search backwards, counting down to the place where the search stopped."""
        found = super().rfind(sub, start, end)
        CountedBytes.walked += max(0, min(end, len(self)) - max(found, start))
        return found

    def __getitem__(self, index: Any) -> Any:
        part = super().__getitem__(index)
        if not isinstance(index, slice):
            return part
        CountedBytes.walked += len(part)
        return CountedBytes(part)

    def __add__(self, other: Any) -> CountedBytes:
        CountedBytes.walked += len(self)
        return CountedBytes(super().__add__(other))

    def __contains__(self, sub: Any) -> bool:
        CountedBytes.walked += len(self)
        return super().__contains__(sub)

    def split(self, *args: Any) -> Any:
        """Split, counting the whole buffer."""
        CountedBytes.walked += len(self)
        return super().split(*args)

    def partition(self, sep: Any) -> Any:
        """Cut in three, counting the whole buffer; the parts go on counting."""
        CountedBytes.walked += len(self)
        return tuple(CountedBytes(part) for part in super().partition(sep))
