"""A connection whose socket the hub serves: `HubChannel`."""

from __future__ import annotations

import socket
from collections.abc import Awaitable

import outcome
import trio

from caas_trio.core.errors import ConnectionLost
from caas_trio.core.session import Session

from .hubtransport import JUST_NOW, READ_SIZE, HubTransport
from .poller import EPOLLOUT, Poller
from .wakeup import WAKE_UP, parked, request_to_wait


class HubChannel(HubTransport):
    """A connection whose socket the hub serves, and whose sessions it runs.

    Attributes:
        session: the one that the hub runs; None while the task is awake.
        stamp: when its client last sent something, or its task began to wait.
        task: the task that waits, or waited last.
    """

    __slots__ = ("_begun", "_opened", "_request", "session", "stamp", "task")

    task: trio.lowlevel.Task
    stamp: float
    _begun: tuple[int, float] | None  # the line that is unfinished, and since when; see `overdue`

    def __init__(self, sock: socket.socket, poller: Poller) -> None:
        HubTransport.__init__(self, sock, poller)
        self.session: Session | None = None
        self._opened = False
        self._request: object = None  # made for the first wait

    def converse(self, session: Session) -> Awaitable[None]:
        """Run a conversation; see `Channel.converse`."""
        if not self._opened:
            self.open(session)
            self._serve_first(session)
        if self.needs_no_linger:
            return _over()  # the end of the input has come by now: the task is done with its first step
        return self._prompt_if_silent(session) if session.awaits_silence else self.resume(session)

    def open(self, session: Session) -> None:
        """Open a conversation.

        Raises:
            ConnectionLost: the client reset the connection.
            Exception: whatever the session raises.
        """
        self._opened = True
        greeting = session.open()
        if greeting:
            self.write_buffer = self.send_nowait(greeting)  # the hub sends the rest

    def poll(self, session: Session, limit: int = READ_SIZE) -> int | None:
        """Read once, at most `limit` bytes, ask the session and send its reply, without waiting.

        Return how many bytes were read, 0 at the end of the input; None if nothing has come.

        Raises:
            ConnectionLost: the client reset the connection.
            Exception: whatever the session raises.
        """
        data = self.recv_nowait(min(limit, session.max_chunk))
        if data is None:
            return None
        self.answer(session, data)
        return len(data)

    def _serve_first(self, session: Session) -> None:
        """Serve what has come by now, once, before the hub does: that costs no wait."""
        if not (self.write_buffer or session.closing or self._poller.drain.begun):
            monotonic = self._poller.machine.monotonic
            begun = monotonic()
            data = self.recv_nowait(session.max_chunk)
            if data is not None:
                self.answer(session, data)
                if self._poller.stats is not None:
                    self._poller.stats.served(1, monotonic() - begun)

    def resume(self, session: Session) -> Awaitable[None]:
        """Leave socket and session to the hub; see `Channel.resume`."""
        self.task = trio.lowlevel.current_task()
        if self._request is None:
            self._request = request_to_wait(self)
            if not self._opened:  # a handler's first read
                self._serve_first(session)
                if session.closing:
                    return _over()
        events = self._poller.listening if self.tls is None else self.reading
        if self.write_buffer:
            self.write_buffer = self.send_nowait(b"")
            if self.write_buffer:
                events = EPOLLOUT
        if session.closing and not self.write_buffer:
            return trio.lowlevel.checkpoint()  # noqa: ASYNC105 - awaited by the caller
        self.session = session
        self.stamp = JUST_NOW
        self._begun = None
        if events != self.watched:
            self._poller.watch(self, events)
        return parked(self._request)  # without a coroutine in between: a parked task would have to keep it

    def interrupt(self) -> None:
        """Wake the task whose session the hub runs; see `Channel.interrupt`."""
        if self.session is not None:
            self.wake()

    async def aclose(self) -> None:
        """Close the socket; see `Channel.aclose`."""
        if self.session is not None:
            self.wake(ConnectionLost())
        self.close()
        if self._request is not None:  # both lead back to the channel: what is in a cycle has to be collected
            self._request = None
            del self.task

    def wake(self, error: BaseException | None = None) -> None:
        """Wake the parked task, or raise an error in it."""
        self.session = None
        self._poller.woken = True
        trio.lowlevel.reschedule(self.task, WAKE_UP if error is None else outcome.Error(error))

    def fail(self, error: BaseException) -> None:
        """Drop what is unsent, and raise an error in the parked task, if one is parked."""
        self.write_buffer = b""
        if self.session is not None:
            self.wake(error)

    def overdue(self, now: float) -> str | None:
        """Return the name of the timeout that has passed; None if none has, or the task is awake."""
        session = self.session
        if session is None:
            return None
        limits = self.limits
        self.stamp = min(self.stamp, now)
        if self.write_buffer:
            return "write_timeout" if now - self.stamp >= limits.write_timeout else None
        line = session.unfinished
        if not line:
            self._begun = None
        elif self._begun is None or self._begun[0] != line:
            self._begun = (line, self.stamp)
        if self._begun is not None and now - self._begun[1] >= limits.line_timeout:
            return "line_timeout"
        self.sent_at = min(self.sent_at, now)
        return "idle_timeout" if now - max(self.stamp, self.sent_at) >= limits.idle_timeout else None

    def answer(self, session: Session, data: bytes | None) -> None:
        """Send what the session says to `data`: b"" is the end of the input, None is silence."""
        if data:
            reply = session.receive(data)
        elif data is None:
            reply = session.silence()
        else:
            self.eof_received = True
            reply = session.end_of_input()
        if reply:
            self.write_buffer = self.send_nowait(reply)

    def __call__(self, _: object) -> trio.lowlevel.Abort:
        """Abort the wait (trio calls this on cancellation).

        A bound method in place of the channel itself would cost each parked task 64 bytes.
        """
        self.session = None
        return trio.lowlevel.Abort.SUCCEEDED

    async def _prompt_if_silent(self, session: Session) -> None:
        """Leave the session to the hub, but prompt the client if it keeps silent."""
        with trio.move_on_after(self._poller.limits.prompt_delay):
            await self.resume(session)
            return
        # The client may have spoken just now, and the hub not have read it yet.
        if session.awaits_silence and not self._poller.drain.begun and self.poll(session) is None:
            self.answer(session, None)
        await self.resume(session)


async def _over() -> None:
    """Return at once."""


class CountingHubChannel(HubChannel):
    """A channel of a hub that counts bytes: its numbers cost memory, and time for each line."""

    __slots__ = ("received", "sent")

    def __init__(self, sock: socket.socket, poller: Poller) -> None:
        super().__init__(sock, poller)
        self.received = 0
        self.sent = 0

    def count_read(self, data: bytes) -> None:
        """Count what was read."""
        super().count_read(data)
        self.received += len(data)

    def count_sent(self, sent: int) -> None:
        """Count bytes sent."""
        super().count_sent(sent)
        self.sent += sent
