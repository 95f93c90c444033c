"""One read of a handler, as the drivers run it: `Wanted`."""

from __future__ import annotations

from collections.abc import Callable

from caas_trio.core.framing import Chunk, LineBuffer
from caas_trio.core.session import Session


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
        """Take what is there; there is never a reply."""
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

    def __init__(self, buffer: LineBuffer) -> None:
        super().__init__(buffer, buffer.next_line)

    def receive(self, data: Chunk) -> bytes:
        """Feed the buffer and take the next line; see `Session.receive`."""
        self.taken = self._buffer.next_line(data)
        self.closing = self.taken is not None
        return b""
