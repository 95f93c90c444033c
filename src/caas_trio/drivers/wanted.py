"""One read of a handler, as the drivers run it: `Wanted`, and what is read and not taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from caas_trio.core.buffering import Chunk
from caas_trio.core.errors import LimitError
from caas_trio.core.framing import LineBuffer
from caas_trio.core.session import Session

#: How many bytes are read ahead at most to find the end of the input.
READ_AHEAD: Final = 65536


class Wanted(Session):
    """A conversation that is over once `take` has given something.

    Attributes:
        take: takes it from the buffer.
        taken: what it gave; None so far, or at the end of the input.
        closing: see `Session`.
    """

    __slots__ = ("_buffer", "closing", "take", "taken")

    closing: bool

    def __init__(self, buffer: LineBuffer, take: Callable[[], bytes | None]) -> None:
        self._buffer = buffer
        self.take = take
        self.taken: bytes | None = None
        self.closing = False

    def try_now(self) -> bytes:
        """Take what is there."""
        self.taken = self.take()
        self.closing = self.taken is not None or self._buffer.ended
        return b""

    def open(self) -> bytes:
        """Return no greeting."""
        return b""

    def receive(self, data: Chunk) -> bytes:
        """Feed the buffer; see `Session.receive`."""
        self._buffer.feed(data)
        return self.try_now()

    def end_of_input(self) -> bytes:
        """End the buffer's input; see `Session.end_of_input`."""
        self._buffer.end_of_input()
        return self.try_now()

    @property
    def unfinished(self) -> int:
        """Another number also for each `max_line` bytes, which is what `line_timeout` applies to."""
        line = self._buffer.unfinished
        return line and (line << 32) + len(self._buffer) // self._buffer.max_line


class WantedLine(Wanted):
    """The next line. One object serves all reads of a connection, one after the other."""

    __slots__ = ()

    def receive(self, data: Chunk) -> bytes:
        """Feed the buffer and take the next line; see `Session.receive`."""
        self.taken = self._buffer.next_line(data)
        self.closing = self.taken is not None
        return b""


class WantedSome(Wanted):
    """What has come, up to a number of bytes.

    Raises:
        LimitError: the number is not 1 or more.
    """

    __slots__ = ("_max_bytes",)

    def __init__(self, buffer: LineBuffer, max_bytes: int) -> None:
        if max_bytes < 1:
            raise LimitError("max_bytes", max_bytes, "1 or more")
        self._buffer = buffer
        self.taken = None
        self.closing = False
        self._max_bytes = max_bytes

    def take(self) -> bytes | None:
        """Take what is there; None if nothing is."""
        return self._buffer.take_some(self._max_bytes) or None

    def receive(self, data: Chunk) -> bytes:
        """Feed the buffer and take what is there; see `Session.receive`."""
        self.taken = self._buffer.take_some(self._max_bytes, data) or None
        self.closing = self.taken is not None
        return b""


class Unwanted(Wanted):
    """A number of bytes, which are dropped as they come.

    Attributes:
        left: how many are still to come.

    Raises:
        LimitError: the number is negative.
    """

    __slots__ = ("_count", "left")

    def __init__(self, buffer: LineBuffer, count: int) -> None:
        if count < 0:
            raise LimitError("count", count, "0 or more")
        super().__init__(buffer, self._drop)
        self._count = count
        self.left = count

    def _drop(self) -> bytes | None:
        """Drop what has come; return b"" once that is all."""
        if self.left:
            self.left -= len(self._buffer.take_some(self.left))
        return None if self.left else b""

    @property
    def unfinished(self) -> int:
        """Another number for each `max_line` bytes, from the first on."""
        return 1 + (self._count - self.left) // self._buffer.max_line


class InputEnd(Wanted):
    """The end of the input, as long as no more than `READ_AHEAD` bytes come before it."""

    __slots__ = ("max_chunk",)

    max_chunk: int

    def __init__(self, buffer: LineBuffer) -> None:
        super().__init__(buffer, self._look)
        self._look()

    def _look(self) -> bytes | None:
        """Note how much may still be read; return b"" once that is nothing."""
        self.max_chunk = max(1, READ_AHEAD - len(self._buffer))
        return b"" if len(self._buffer) >= READ_AHEAD else None

    @property
    def unfinished(self) -> int:
        """No line is waited for."""
        return 0
