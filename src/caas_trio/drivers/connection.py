"""What a handler talks through: `Connection`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio

from caas_trio.core.endpoint import Endpoint
from caas_trio.core.errors import InputEnded, StateError
from caas_trio.core.framing import Chunk, LineBuffer
from caas_trio.core.limits import Limits
from caas_trio.core.peer import Peer
from caas_trio.core.session import Session

from .channel import Channel
from .drain import Drain

#: How many reads in a row may be served from what is held before other tasks have their turn.
_READS_IN_A_ROW: Final = 128


class _Wanted(Session):
    """One read, as the drivers run it: a conversation that is over once `take` has given something.

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
        self.taken = self.take()
        self.closing = self.taken is not None or self._buffer.ended
        return b""

    def open(self) -> bytes:
        return b""

    def receive(self, data: Chunk) -> bytes:
        self._buffer.feed(data)
        return self.try_now()

    def end_of_input(self) -> bytes:
        self._buffer.end_of_input()
        return self.try_now()

    @property
    def unfinished(self) -> int:
        """Another number also for each `max_line` bytes, which is what `line_timeout` applies to."""
        line = self._buffer.unfinished
        return line and (line << 32) + len(self._buffer) // self._buffer.max_line


class _WantedLine(_Wanted):
    """The next line. One object serves all reads of a connection, one after the other."""

    __slots__ = ()

    def __init__(self, buffer: LineBuffer) -> None:
        super().__init__(buffer, buffer.next_line)

    def receive(self, data: Chunk) -> bytes:
        self.taken = self._buffer.next_line(data)
        self.closing = self.taken is not None
        return b""


class Connection:
    """One client, as a handler sees it: lines, counted bytes and delimited ones, on one buffer.

    The kinds of reading may be mixed freely: what one leaves, the next one finds. Reading is
    cancel-safe: a cancelled read has taken nothing. A read that can be served from what is held
    does not go to the kernel, and is not always a checkpoint.

    Once the server drains, reads go on until what had been received is used up; then the input
    counts as ended, and a line that was only begun is not returned.

    The server closes the connection when the handler returns: the output is ended in an orderly
    way first. A handler need not catch `PeerError`: what the peer did ends its connection, and is
    no failure of the handler.

    All reads raise `ConnectionLost` if the client has reset the connection, `TooSlow` if it let
    `idle_timeout` or `line_timeout` pass, and `StateError` if another task is reading or the
    connection is closed.

    Attributes:
        endpoint: where the connection came in.
        peer: who is on the other side.
        certificate: the certificate it has shown, as `ssl.SSLSocket.getpeercert` gives it; None if
            it was not asked for one.
    """

    def __init__(
        self, channel: Channel, endpoint: Endpoint, peer: Peer, limits: Limits, drain: Drain
    ) -> None:
        self.endpoint = endpoint
        self.peer = peer
        self.certificate = channel.certificate
        self._channel = channel
        self._limits = limits
        self._drain = drain
        self._buffer = LineBuffer(limits.max_line)
        self._line = _WantedLine(self._buffer)
        self._wanted: _Wanted = self._line  # but for the time of a read of another kind
        self._reads_left = _READS_IN_A_ROW
        self._drained = False
        self._receiving = False
        self._sending = False
        self._closed = False

    @property
    def draining(self) -> bool:
        """Whether the server is stopping: finish, and return."""
        return self._drain.begun

    @property
    def oversize_lines(self) -> int:
        """How many times `LineTooLong` was due so far."""
        return self._buffer.oversize_lines

    async def receive_line(self) -> bytes:
        """Return the next line, its LF included; b"" at the end of the input.

        A last line that the client ended without an LF is returned without one.

        Raises:
            LineTooLong: the line has more than `max_line` bytes before its LF. The next call goes
                on behind it.
        """
        if line := self._held("receive_line", self._line.take):
            return line
        try:
            return await self.__anext__()
        except StopAsyncIteration:
            return b""

    async def receive_line_piece(self, max_bytes: int) -> bytes:
        """Return the next line, or its first `max_bytes` bytes if it is longer; b"" at the end.

        A piece that ends without an LF is no line: the next call goes on within it.

        Raises:
            LimitError: `max_bytes` is less than 1.
        """
        return await self._read("receive_line_piece", lambda: self._buffer.take_line_piece(max_bytes)) or b""

    def __aiter__(self) -> Connection:
        return self

    async def __anext__(self) -> bytes:
        """Return the next line, or what `_read` has put in its place.

        One coroutine and few calls: what is done between two sends decides how fast a handler is.
        """
        wanted = self._wanted
        taken = self._held("receive_line", wanted.take)
        if taken is not None:
            return taken
        others_turn, self._reads_left = not self._reads_left, _READS_IN_A_ROW
        self._receiving = True
        wanted.closing = self._buffer.ended
        try:
            if others_turn:
                await trio.lowlevel.checkpoint()
                wanted.try_now()
            if not self._drained and not wanted.closing:
                await self._channel.resume(wanted)
                self._drained = not wanted.closing
            taken = wanted.taken
        finally:
            self._receiving = False
            wanted.taken = None
        if taken is None:
            raise StopAsyncIteration
        return taken

    async def receive_until(self, delimiter: bytes) -> bytes:
        """Return everything up to the first `delimiter`, which is included; b"" at the end.

        What the client sent without a delimiter before it ended is returned as it is.

        Raises:
            LineTooLong: more than `max_line` bytes come before the delimiter. The next call goes on
                behind it.
            LimitError: the delimiter is empty.
        """
        return await self._read("receive_until", lambda: self._buffer.take_until(delimiter)) or b""

    async def receive_exactly(self, count: int) -> bytes:
        """Return `count` bytes; b"" at once if that is 0.

        `line_timeout` applies to each `max_line` bytes of them.

        Raises:
            LimitError: `count` is negative.
            InputEnded: the input ended before; what has come can still be read.
        """
        taken = await self._read("receive_exactly", lambda: self._buffer.take_exactly(count))
        if taken is None:
            raise InputEnded(count, len(self._buffer))
        return taken

    async def receive_some(self, max_bytes: int = 65536) -> bytes:
        """Return what is there, at least one byte and at most `max_bytes`; b"" at the end of the input.

        Raises:
            LimitError: `max_bytes` is less than 1.
        """
        return await self._read("receive_some", lambda: self._buffer.take_some(max_bytes) or None) or b""

    async def send(self, data: bytes) -> None:
        """Send all of `data`; waits while the client does not read.

        While input is held, what is sent may be held too, so that the replies to several lines
        leave together: at the latest when the next read goes to the kernel, when the connection
        ends, or when the handler lets other tasks run.

        Cancelled, or failed, it may have sent a part: the connection is then closed, and every
        later call raises `StateError`.

        Raises:
            ConnectionLost: the client is gone.
            TooSlow: the client did not accept it within `write_timeout`.
            StateError: another task is sending, or the connection is closed.
        """
        if self._sending or self._closed:
            raise self._misused("send")
        if self._buffer and not self._receiving and self._channel.try_buffer(data):
            return
        self._sending = True
        try:
            rest = self._channel.send_nowait(data)
            if rest:
                await self._channel.send_all(rest)
        except BaseException:
            await self.aclose()
            raise
        finally:
            self._sending = False

    async def send_eof(self) -> None:
        """Tell the client that nothing more will be sent; reading goes on.

        Raises:
            ConnectionLost: the client is gone.
            TooSlow: it did not accept what was held within `write_timeout`.
            StateError: another task is sending, or the connection is closed.
        """
        if self._sending or self._closed:
            raise self._misused("send_eof")
        await self._channel.send_eof()

    async def aclose(self) -> None:
        """Close at once, whatever is unread or write_buffer. Returning from the handler is kinder."""
        self._closed = True
        await self._channel.aclose()

    async def _read(self, call: str, take: Callable[[], bytes | None]) -> bytes | None:
        """Receive until `take` gives something; None once it never will."""
        taken = self._held(call, take)
        if taken is not None:
            return taken
        self._wanted = _Wanted(self._buffer, take)
        try:
            return await self.__anext__()
        except StopAsyncIteration:
            return None
        finally:
            self._wanted = self._line

    def _held(self, call: str, take: Callable[[], bytes | None]) -> bytes | None:
        """Return what `take` gives without waiting; None also if it is other tasks' turn."""
        if self._receiving or self._closed:
            raise self._misused(call)
        if not self._reads_left:
            return None
        self._reads_left -= 1
        return take()

    def _misused(self, call: str) -> StateError:
        return StateError(call, "closed" if self._closed else "busy: another task is in the same call")
