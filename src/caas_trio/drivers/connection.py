"""What a handler talks through: `Connection`."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from contextvars import ContextVar
from itertools import count
from typing import Final

import trio

from caas_trio.core.endpoint import Endpoint
from caas_trio.core.errors import InputEnded, PeerError, StateError
from caas_trio.core.framing import LineBuffer
from caas_trio.core.limits import Limits
from caas_trio.core.peer import Peer

from .channel import Channel
from .drain import Drain
from .wanted import Wanted, WantedLine

#: How many calls in a row may be served without waiting before other tasks have their turn.
_CALLS_IN_A_ROW: Final = 128

#: The connection whose handler, or a task that it has started, is running.
current_connection: ContextVar[Connection | None] = ContextVar("caas_trio_connection", default=None)

#: What no other process has had, or will have: with the process's number, for those that it forks.
_START: Final = secrets.token_hex(4)

_numbers = count(1)


class Connection:
    """One client, as a handler sees it: lines, counted bytes and delimited ones, on one buffer.

    The kinds of reading may be mixed freely: what one leaves, the next one finds. Reading is
    cancel-safe: a cancelled read has taken nothing. No call is a checkpoint unless it waits, but a task
    that calls again and again gives way to others.

    Once the server drains, reads go on until what had been received is used up; then the input
    counts as ended, and a line that was only begun is not returned.

    The server closes the connection when the handler returns: a `send` that is under way in another
    task is finished, the output is ended in an orderly way, and every later call raises `StateError`,
    as a read that is under way does. A handler need not catch `PeerError`: what the peer did ends its
    connection, and is no failure of the handler. `PeerError.connection` tells whose peer it was.

    All reads raise `ConnectionLost` if the client has reset the connection, `TooSlow` if it let
    `idle_timeout` or `line_timeout` pass, and `StateError` if another task is reading or the
    connection is closed. `idle_timeout` applies while a task reads, and begins anew with each `send`.

    Attributes:
        endpoint: where the connection came in.
        peer: the other side.
        certificate: the certificate it has shown, as `ssl.SSLSocket.getpeercert` gives it; None if
            it was not asked for one.
        failure: what the peer did when another connection's handler sent to it; None so far.
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
        self._line = WantedLine(self._buffer)
        self._calls_left = _CALLS_IN_A_ROW
        self._drained = False
        self._receiving = False
        self._sending = False
        self._turns: trio.lowlevel.ParkingLot | None = None  # of the tasks that wait to send
        self._closed = False
        self.failure: PeerError | None = None
        self._number = next(_numbers)

    @property
    def id(self) -> str:
        """A text that no other connection has, of this process, another one or one that is gone."""
        return f"{_START}-{os.getpid():x}-{self._number}"

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
        line = self._take("receive_line", self._line.take)
        return (await self._receive(self._line) or b"") if line is None else line

    async def receive_line_piece(self, max_bytes: int) -> bytes:
        """Return the next line, or its first `max_bytes` bytes if it is longer; b"" at the end.

        A piece that ends without an LF is no line: the next call goes on within it.

        Raises:
            LimitError: `max_bytes` is not 1 or more.
        """
        take = lambda: self._buffer.take_line_piece(max_bytes)  # noqa: E731 - one line
        return await self._read("receive_line_piece", take) or b""

    def __aiter__(self) -> Connection:
        return self

    async def __anext__(self) -> bytes:
        """Return the next line, as `receive_line` does.

        `_receive` stands here once more: a coroutine less for each line makes a handler faster by 6 %.
        """
        wanted = self._line
        line = self._take("receive_line", wanted.take)
        if line is not None:
            return line
        others_turn, self._calls_left = not self._calls_left, _CALLS_IN_A_ROW
        self._receiving = True
        wanted.closing = self._buffer.ended
        try:
            if others_turn:
                await trio.lowlevel.checkpoint()
                wanted.try_now()
            if not self._drained and not wanted.closing:
                await self._channel.resume(wanted)
                if self._closed:
                    raise self._misused("receive")
                self._drained = not wanted.closing
            line = wanted.taken
        except PeerError as error:
            if self._closed:
                raise self._misused("receive") from error
            raise self._own(error)  # noqa: B904 - it is the same one
        finally:
            self._receiving = False
            wanted.taken = None
        if line is None:
            raise StopAsyncIteration
        return line

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
            InputEnded: the input ended before; what has come can still be read.
            LimitError: `count` is negative.
        """
        taken = await self._read("receive_exactly", lambda: self._buffer.take_exactly(count))
        if taken is None:
            raise self._own(InputEnded(count, len(self._buffer)))
        return taken

    async def receive_some(self, max_bytes: int = 65536) -> bytes:
        """Return what is there, at least one byte and at most `max_bytes`; b"" at the end of the input.

        Raises:
            LimitError: `max_bytes` is not 1 or more.
        """
        take = lambda: self._buffer.take_some(max_bytes) or None  # noqa: E731 - one line
        return await self._read("receive_some", take) or b""

    async def send(self, data: bytes) -> None:
        """Send all of `data`; waits while the client does not read.

        While input is buffered, what is sent may be buffered too, so that the replies to several lines
        leave together: at the latest when the next read goes to the kernel, at `flush`, when the
        connection ends, or when the handler lets other tasks run.

        Several tasks may send: each call's data goes out whole, in the order of the calls.

        Cancelled, or failed, it may have sent a part: the connection is then closed, and every
        later call raises `StateError`.

        Called from the handler of *another* connection, it raises nothing for what this peer did, nor
        for a connection that is closed: data for a client that is gone is dropped. A client that
        is gone, or too slow, ends this connection and not the caller's: this one's handler gets the error.

        Raises:
            ConnectionLost: the client is gone.
            TooSlow: the client did not accept it within `write_timeout`.
            StateError: the connection is closed.
        """
        if (
            self._buffer  # which bounds how many replies in a row go this way
            and not (self._sending or self._closed or self._receiving)
            and self._channel.try_buffer(data)
        ):
            return
        if not self._calls_left:
            self._calls_left = _CALLS_IN_A_ROW
            await trio.lowlevel.checkpoint()
        self._calls_left -= 1
        if (self._sending or self._closed) and not await self._wait_to_send("send"):
            return
        self._sending = True
        try:
            rest = self._channel.send_nowait(data)
            if rest:
                await self._channel.send_all(rest)
        except PeerError as error:
            await self._give_up("send", error)
        except BaseException:
            await self.aclose()
            raise
        finally:
            if self._turns:
                self._turns.unpark()
            else:
                self._sending = False

    async def flush(self) -> None:
        """Return once the kernel, or the stream, has all that was sent; raises as `send` does."""
        if (self._closed or self._sending) and not await self._wait_to_send("flush"):
            return
        self._sending = True
        try:
            await self._channel.flush()
        except PeerError as error:
            await self._give_up("flush", error)
        finally:
            self._end_sending()

    async def send_eof(self) -> None:
        """End the output; reading goes on.

        Raises:
            ConnectionLost: the client is gone.
            TooSlow: it did not accept what was buffered within `write_timeout`.
            StateError: the connection is closed.
        """
        if (self._closed or self._sending) and not await self._wait_to_send("send_eof"):
            return
        self._sending = True
        try:
            await self._channel.send_eof()
        except PeerError as error:
            await self._give_up("send_eof", error)
        finally:
            self._end_sending()

    async def aclose(self) -> None:
        """Close at once, whatever is unread or unsent. Returning from the handler is kinder."""
        self._closed = True
        self._channel.interrupt()
        await self._channel.aclose()

    # The rest is the server's and the reads' own.

    def begin(self) -> None:
        """Note that the current task, and those it will start, belong to this connection's handler."""
        current_connection.set(self)

    async def finish(self) -> None:
        """Refuse further calls, end the read that is under way, and wait for the send that is."""
        self._closed = True
        self._channel.interrupt()
        while self._receiving:
            await trio.lowlevel.checkpoint()  # until its task has left: the server reads next
        if self._sending:
            await self._wait_for_turn()
            self._end_sending()

    def abandon(self) -> None:
        """Refuse further calls; the server closes the channel."""
        self._closed = True

    async def _read(self, call: str, take: Callable[[], bytes | None]) -> bytes | None:
        """Receive until `take` gives something; None once it never will."""
        taken = self._take(call, take)
        return await self._receive(Wanted(self._buffer, take)) if taken is None else taken

    def _take(self, call: str, take: Callable[[], bytes | None]) -> bytes | None:
        """Return what `take` gives without waiting; None also if it is other tasks' turn."""
        if self._receiving or self._closed:
            raise self._misused(call)
        if not self._calls_left:
            return None
        self._calls_left -= 1
        try:
            return take()
        except PeerError as error:
            raise self._own(error)  # noqa: B904 - it is the same one

    async def _receive(self, wanted: Wanted) -> bytes | None:
        """Wait until `wanted` has taken something; None once it never will."""
        others_turn, self._calls_left = not self._calls_left, _CALLS_IN_A_ROW
        self._receiving = True
        wanted.closing = self._buffer.ended
        try:
            if others_turn:
                await trio.lowlevel.checkpoint()
                wanted.try_now()
            if not self._drained and not wanted.closing:
                await self._channel.resume(wanted)
                if self._closed:
                    raise self._misused("receive")
                self._drained = not wanted.closing
        except PeerError as error:
            if self._closed:
                raise self._misused("receive") from error
            raise self._own(error)  # noqa: B904 - it is the same one
        else:
            return wanted.taken
        finally:
            self._receiving = False
            wanted.taken = None

    async def _wait_to_send(self, call: str) -> bool:
        """Wait for other tasks' sends; return false if there is no connection for a foreign task."""
        if self._sending:
            await self._wait_for_turn()
            if not self._closed:
                return True
            self._end_sending()
        if self._is_foreign():
            return False
        raise self._misused(call)

    async def _wait_for_turn(self) -> None:
        """Return when the tasks that came before have sent; it is this task that sends then."""
        if self._turns is None:
            self._turns = trio.lowlevel.ParkingLot()
        await self._turns.park()

    def _end_sending(self) -> None:
        """Pass the right to send on to the next task that waits for it."""
        if self._turns:
            self._turns.unpark()
        else:
            self._sending = False

    async def _give_up(self, call: str, error: PeerError) -> None:
        """Close the connection for what its peer did; raise that in this connection's own tasks.

        A task of another connection's handler goes on: it is this one's handler that gets the error.
        """
        foreign = self._is_foreign()
        if self._closed and not foreign:
            raise self._misused(call) from error
        if not self._closed:
            error.connection = self
            self.failure = error if foreign else None
            await self.aclose()
            if not foreign:
                raise error

    def _is_foreign(self) -> bool:
        """Whether this is a task of another connection's handler."""
        served = current_connection.get()
        return served is not None and served is not self

    def _own(self, error: PeerError) -> PeerError:
        """Return a peer's error with the mark that it is this peer's."""
        error.connection = self
        return error

    def _misused(self, call: str) -> PeerError | StateError:
        """Return what a call is to raise that the connection cannot serve."""
        if self.failure is not None and not self._is_foreign():
            return self.failure
        return StateError(call, "closed" if self._closed else "busy: another task is in the same call")
