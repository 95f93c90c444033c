"""Work counted instead of timed: bytes that know how many of them have been searched or copied.

Deleting from the front of a `bytearray` is free, as it is in CPython: only the start moves.
"""

from __future__ import annotations

import sys
from typing import Any, Self


class Work:
    """Counts the bytes that all instances together have searched or copied."""

    walked = 0


class _Counted:
    """The common part of bytes and bytearray; slices and sums go on counting."""

    def find(self: Any, sub: Any, start: Any = 0, end: Any = sys.maxsize) -> int:
        """Search forwards, counting up to the place where the search stopped."""
        found: int = self.plain().find(self, sub, start, end)
        stop = found + 1 if found >= 0 else min(end, len(self))
        Work.walked += max(0, stop - start)
        return found

    def rfind(self: Any, sub: Any, start: Any = 0, end: Any = sys.maxsize) -> int:
        """Search backwards, counting down to the place where the search stopped."""
        found: int = self.plain().rfind(self, sub, start, end)
        Work.walked += max(0, min(end, len(self)) - max(found, start))
        return found

    def __getitem__(self: Any, index: Any) -> Any:
        part = self.plain().__getitem__(self, index)
        if not isinstance(index, slice):
            return part
        Work.walked += len(part)
        return type(self)(part)

    def __add__(self: Any, other: Any) -> Any:
        Work.walked += len(self) + len(other)
        return type(self)(self.plain().__add__(self, other))

    def __contains__(self: Any, sub: Any) -> bool:
        Work.walked += len(self)
        return bool(self.plain().__contains__(self, sub))

    def __bytes__(self: Any) -> bytes:
        Work.walked += len(self)
        return bytes(memoryview(self))

    def count(self: Any, *args: Any) -> int:
        """Count, counting all bytes as searched."""
        Work.walked += len(self)
        return int(self.plain().count(self, *args))

    def split(self: Any, *args: Any) -> Any:
        """Split, counting all bytes; the parts count no more."""
        Work.walked += len(self)
        return self.plain().split(self, *args)

    def partition(self: Any, sep: Any) -> Any:
        """Cut in three, counting all bytes."""
        Work.walked += len(self)
        return tuple(type(self)(part) for part in self.plain().partition(self, sep))

    @classmethod
    def plain(cls) -> Any:
        """Return the class that counts nothing."""
        raise NotImplementedError


class CountedBytes(_Counted, bytearray):
    """A bytearray that counts."""

    def __iadd__(self, more: Any) -> Self:
        Work.walked += len(more)
        super().__iadd__(more)
        return self

    @classmethod
    def plain(cls) -> type[bytearray]:
        """Return `bytearray`."""
        return bytearray


class CountedChunk(_Counted, bytes):
    """The bytes of one read, which count."""

    def __radd__(self, other: Any) -> CountedChunk:
        Work.walked += len(self) + len(other)
        return CountedChunk(bytes.__add__(other, self))

    @classmethod
    def plain(cls) -> type[bytes]:
        """Return `bytes`."""
        return bytes
