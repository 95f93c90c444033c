"""What reading a buffer costs: `Counting`."""

from __future__ import annotations

from typing import Any, Self

from caas_trio.core.buffering import Chunk


class Counting(bytearray):
    """Counts the bytes that searches look at, and those that are copied."""

    looked_at = 0
    copied = 0

    def __iadd__(self, more: Chunk) -> Self:  # type: ignore[override,misc]
        self.copied += len(more)
        return super().__iadd__(more)

    def __getitem__(self, wanted: Any) -> Any:
        self.copied += len(range(*wanted.indices(len(self))))
        return super().__getitem__(wanted)

    def __bytes__(self) -> bytes:
        self.copied += len(self)
        return bytes(memoryview(self))

    def find(self, sub: bytes, start: int = 0, end: int | None = None) -> int:  # type: ignore[override]
        found = super().find(sub, start, end)
        stop = len(self) if end is None else min(end, len(self))
        self.looked_at += max(0, (stop if found < 0 else found + 1) - start)
        return found

    def rfind(self, sub: bytes, start: int = 0, end: int | None = None) -> int:  # type: ignore[override]
        found = super().rfind(sub, start, end)
        stop = len(self) if end is None else min(end, len(self))
        self.looked_at += max(0, stop - (start if found < 0 else found))
        return found
