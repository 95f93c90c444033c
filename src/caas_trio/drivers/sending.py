"""Sending on a connection, from any task: `SendingConnection`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

import trio

from caas_trio.core.buffering import Chunk
from caas_trio.core.errors import ConnectionLost, PeerError, TooMuchUnsent

from .connectionbase import CALLS_IN_A_ROW
from .reading import ReadingConnection
from .sendqueue import SendQueue


class SendingConnection(ReadingConnection):
    """The sends of a connection; see `Connection`."""

    async def send(self, data: Chunk) -> None:
        """Send all of `data`; waits while the client does not read.

        While input is buffered, what is sent may be buffered too, so that the replies to several lines
        leave together: at the latest when the next read goes to the kernel, at `flush`, when the
        connection ends, or when the handler lets other tasks run.

        Several tasks may send: each call's data goes out whole, in the order of the calls.

        Cancelled before its turn has come, it has sent nothing. Cancelled after that, or failed, it may
        have sent a part: the connection is then closed, and every later call raises `StateError`.

        Called from the handler of *another* connection, it raises nothing for what this peer did, nor
        for a connection that is closed: data for a client that is gone is dropped. A client that
        is gone, or too slow, ends this connection and not the caller's: this one's handler gets the error.

        Raises:
            ConnectionLost: the client is gone.
            TooSlow: the client did not accept it within `write_timeout`.
            StateError: the connection is closed.
        """
        if (
            self._held  # which bounds how many replies in a row go this way
            and not (self._sending or self._closed or self._receiving)
            and self._channel.try_buffer(data)
        ):
            return
        if not self._calls_left:
            self._calls_left = CALLS_IN_A_ROW
            await trio.lowlevel.checkpoint()
        self._calls_left -= 1
        if (self._sending or self._closed) and not await self._wait_to_send("send"):
            return
        try:
            rest = self._channel.send_nowait(data if data.__class__ is bytes else bytes(memoryview(data)))
            if rest:
                self._sending = True
                await self._channel.send_all(rest)
        except PeerError as error:
            await self._give_up("send", error)
        except BaseException as error:  # noqa: BLE001 - raised again
            try:
                await self.aclose()
            finally:  # a task that reads ends now, and may have this one cancelled meanwhile
                raise error
        finally:
            if self._sending:  # after its turn, or since not all was taken at once
                self._end_sending()

    def post(self, data: Chunk) -> bool:
        """Send `data` now, or later as soon as the client reads; return whether it is accepted.

        It never waits and never raises what a peer did, so that a client that does not read costs the
        caller nothing, in whichever task: over `max_unsent` bytes that wait, this connection ends, and
        its handler's next call raises `TooMuchUnsent`, or whatever else the client did. What was posted
        is sent before the connection is closed in an orderly way, and before the data of a `send` that
        has to wait for its turn.
        """
        if self._closed:
            return False
        rest: bytes | memoryview = bytes(memoryview(data))
        if not self._sending:
            try:
                rest = self._channel.send_nowait(rest)
            except PeerError as error:
                self._fail(error)
                return False
            if not rest:
                return True
        if self._queue is None:
            self._queue = SendQueue()
        if not self._queue.post(rest, self._limits.max_unsent):
            self._fail(TooMuchUnsent(self._limits.max_unsent))
            return False
        if not self._sending:
            self._sending = True
            self._end_sending()
        return True

    async def flush(self) -> None:
        """Return once the kernel, or the stream, has all that was sent; raises as `send` does."""
        await self._send_in_turn("flush", self._channel.flush)

    async def send_eof(self) -> None:
        """End the output; reading goes on.

        Raises:
            ConnectionLost: the client is gone.
            TooSlow: it did not accept what was buffered within `write_timeout`.
            StateError: the connection is closed.
        """
        await self._send_in_turn("send_eof", self._channel.send_eof)

    async def finish(self) -> None:
        """Refuse further calls, end the read that is under way, and wait for the send that is."""
        self._closed = True
        self._channel.interrupt()
        while self._receiving:
            await trio.lowlevel.checkpoint()  # until its task has left: the server reads next
        if self._sending:
            await self._wait_for_turn()
            self._end_sending()

    async def _send_in_turn(self, call: str, send: Callable[[], Awaitable[None]]) -> None:
        """Call `send` once no other task is sending."""
        if (self._closed or self._sending) and not await self._wait_to_send(call):
            return
        self._sending = True
        try:
            await send()
        except PeerError as error:
            await self._give_up(call, error)
        finally:
            self._end_sending()

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
        """Return when the tasks that came before have sent, and it is this task's turn."""
        if self._queue is None:
            self._queue = SendQueue()
        await self._queue.wait_for_turn()

    def _end_sending(self) -> None:
        """Pass the right to send on: to what was posted, or to the next task that waits for it."""
        if not self._queue:
            self._sending = False
        elif self._queue.posted:
            # No nursery is at hand in a call that does not wait. The task ends with the channel.
            trio.lowlevel.spawn_system_task(self._send_posted, self._queue)
        else:
            self._queue.wake_next()

    async def _send_posted(self, queue: SendQueue) -> None:
        """Send what was posted, in a task of its own; an error becomes the connection's `failure`."""
        try:
            while queue.posted:
                await self._channel.send_all(queue.take_posted())
        except PeerError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - a stream's bug; out of a system task it would end the program
            lost = ConnectionLost()
            lost.__cause__ = error
            self._fail(lost)
        finally:
            queue.drop_posted()
            self._end_sending()

    def _fail(self, error: PeerError) -> None:
        """End the connection for what its peer did, without waiting; its own tasks get the error."""
        if not self._closed:
            self.failure = self._own(error)
            self._closed = True
            self._channel.interrupt()
            trio.lowlevel.spawn_system_task(self._close_failed)

    async def _close_failed(self) -> None:
        with suppress(Exception):  # a stream's bug, behind one that is reported already
            await self._channel.aclose()

    async def _give_up(self, call: str, error: PeerError) -> None:
        """Close the connection for what its peer did; raise that in this connection's own tasks.

        In a task of another connection's handler, raise nothing: this connection's handler gets the error.
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
