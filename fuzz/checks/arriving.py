"""The input of a harness's `Connection`: a stream in memory, and a model of what it should read."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

import trio

from caas_trio.core.buffering import Chunk
from caas_trio.core.limits import Limits
from caas_trio.drivers.drain import Drain
from caas_trio.drivers.stream import StreamChannel
from tests.models import NaiveLineBuffer as Model

#: What comes of a read that has to wait: nothing, after a second or after longer than all limits.
SHORT_WAIT_S, LONG_WAIT_S = 1.0, 100.0
GIVEN_UP: Final = "given up"


class Wire(trio.abc.Stream):
    """A stream in memory: what was put in comes out, chunk by chunk. It cannot half-close.

    Attributes:
        sent: all that was sent.
        closed: whether it is.
        broken: what every send raises; None for nothing.
    """

    def __init__(self) -> None:
        self.chunks: deque[bytes] = deque()
        self.sent = b""
        self.closed = False
        self.broken: Exception | None = None
        self._arrived = trio.Event()
        self._resumed = trio.Event()
        self._resumed.set()

    @property
    def stalled(self) -> bool:
        """Whether the peer does not read."""
        return not self._resumed.is_set()

    def stall(self) -> None:
        """Block every send, until `resume`."""
        self._resumed = trio.Event()

    def resume(self) -> None:
        """Send what waits."""
        self._resumed.set()

    def put(self, chunk: bytes) -> None:
        """Deliver a chunk; b"" ends the input."""
        self.chunks.append(chunk)
        self._arrived.set()
        self._arrived = trio.Event()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:  # noqa: ARG002
        await trio.lowlevel.checkpoint()
        while not self.chunks:
            await self._arrived.wait()
        return self.chunks.popleft() if self.chunks[0] else b""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.lowlevel.checkpoint()
        await self._resumed.wait()
        if self.broken is not None:
            raise self.broken
        self.sent += data

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        self.closed = True
        await trio.lowlevel.checkpoint()


class HalfCloseableWire(Wire, trio.abc.HalfCloseableStream):
    """One that can."""

    async def send_eof(self) -> None:
        await trio.lowlevel.checkpoint()


class Holding(StreamChannel):
    """A channel that takes what is to be sent later, as the fast driver does, at once."""

    def __init__(self, wire: Wire, limits: Limits, drain: Drain) -> None:
        super().__init__(wire, limits, drain)
        self._wire = wire

    def try_buffer(self, data: Chunk) -> bool:
        self._wire.sent += data
        return True


class Arriving:
    """The bytes that have arrived at a connection, and a model that takes them as the connection does.

    Attributes:
        model: the buffer.
        drained: whether the connection has found that nothing more is read.
    """

    def __init__(self, wire: Wire, model: Model, drain: Drain) -> None:
        self.model = model
        self.drained = False
        self._wire = wire
        self._drain = drain
        self._chunks: deque[bytes] = deque()
        self._ended = False

    def put(self, piece: bytes) -> None:
        """Deliver a piece, unless the input has ended."""
        if piece and not self._ended:
            self._wire.put(piece)
            self._chunks.append(piece)

    def end(self) -> None:
        """End the input."""
        if not self._ended:
            self._wire.put(b"")
            self._ended = True

    def begin_drain(self) -> None:
        """Begin the drain: what arrives later is not read."""
        if not self._drain.begun:
            self._drain.begin()

    def taken(
        self,
        take: Callable[[Model], bytes | None],
        wait: float,
        *,
        timeouts: Callable[[Model], str] | None = None,
    ) -> bytes | str | None:
        """Return what a read is to give; chunk by chunk as they have arrived.

        Args:
            take: takes it from the model.
            wait: how long the reader waits.
            timeouts: returns which limit ends a long wait; "" for none. By default, by whether a line is
                begun.

        Returns:
            What is taken; None if it never will be; what happens instead, if the reader waits in vain.
        """
        taken = take(self.model)
        while taken is None and not self.model.ended and not self.drained:
            if self._chunks:
                self.model.feed(self._chunks.popleft())
            elif self._ended:
                self.model.ended = True
            elif self._drain.begun:
                self.drained = True
                break
            else:
                limit = (timeouts or _limit)(self.model)
                return f"TooSlow: {limit}" if limit and wait == LONG_WAIT_S else GIVEN_UP
            taken = take(self.model)
        return taken


def _limit(model: Model) -> str:
    """Return which limit a reader runs into."""
    return "line_timeout" if model.rest or model.skipping else "idle_timeout"
