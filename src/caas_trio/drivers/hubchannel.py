"""A connection whose socket the hub serves: `HubChannel`."""

from __future__ import annotations

import math
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Final

import outcome
import trio

from caas_trio.core.buffering import Chunk
from caas_trio.core.errors import ConnectionLost, StateError, TooSlow
from caas_trio.core.limits import Limits
from caas_trio.core.session import MAX_CHUNK, Session
from caas_trio.core.tlsengine import TlsEngine

from .channel import Channel
from .poller import EPOLLIN, EPOLLOUT, Poller
from .tlssocket import TlsSocket, acknowledge
from .wakeup import WakeUp

#: What one read can give; a session may want less.
READ_SIZE: Final = MAX_CHUNK

#: How many bytes a channel holds for sending them together.
MAX_HELD: Final = 65536

_JUST_NOW: Final = math.inf

_WAKE_UP: Final = WakeUp()


class HubChannel(Channel):
    """A connection whose socket the hub serves; it owns the socket.

    Attributes:
        sock: the socket, non-blocking; over TLS, a `TlsSocket`.
        tls: the same over TLS, else None.
        watched: the events that the hub's epoll is to tell of; 0 if it is not registered there.
        session: what the hub is to run; None while the task is awake.
        write_buffer: what is still to be sent: what is buffered to be sent with what follows (a
            bytearray), or what the kernel did not take.
        stamp: when its client last sent something, or its task began to wait.
        eof_received: whether the client has sent its last byte, and the session knows.
        limits: the timeouts.
    """

    __slots__ = (
        "_begun",
        "_known_to_trio",
        "_opened",
        "_poller",
        "_sent_at",
        "_task",
        "eof_received",
        "limits",
        "session",
        "sock",
        "stamp",
        "tls",
        "watched",
        "write_buffer",
    )

    received = 0  # unless it is a `CountingHubChannel`
    sent = 0
    _task: trio.lowlevel.Task
    stamp: float

    def __init__(self, sock: socket.socket, poller: Poller) -> None:
        self.sock: socket.socket | TlsSocket = sock
        self.tls: TlsSocket | None = None
        self.watched = 0
        self.session: Session | None = None
        self.write_buffer: bytes | bytearray | memoryview = b""
        self.eof_received = False
        self.limits = poller.limits
        self._poller = poller
        self._opened = False
        self._begun: tuple[int, float] | None = None  # the line that is unfinished, and since when
        self._sent_at = -math.inf  # when the server last sent of its own accord
        self._known_to_trio = False  # whether trio's own epoll may have a task waiting for it

    def converse(self, session: Session) -> Awaitable[None]:
        """Run a conversation; see `Channel.converse`."""
        if not self._opened:
            self.open(session)
        if not (self.write_buffer or session.closing or self._poller.drain.begun):
            monotonic = self._poller.machine.monotonic
            begun = monotonic()
            if self.poll(session) is not None and self._poller.stats is not None:
                self._poller.stats.served(1, monotonic() - begun)
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

    def resume(self, session: Session) -> Awaitable[None]:
        """Leave socket and session to the hub; see `Channel.resume`."""
        if self.write_buffer:
            self.write_buffer = self.send_nowait(b"")
        if session.closing and not self.write_buffer:
            return trio.lowlevel.checkpoint()  # noqa: ASYNC105 - awaited by the caller
        self.session = session
        self.stamp = _JUST_NOW
        self._begun = None
        self._task = trio.lowlevel.current_task()
        if self.write_buffer:
            events = EPOLLOUT
        else:
            tls = self.tls
            events = self._poller.listening if tls is None or tls.engine.drained else self.reading
        if events != self.watched:
            self._poller.watch(self, events)
        # Without a coroutine in between: a parked task would have to keep it.
        return trio.lowlevel.wait_task_rescheduled(self)  # noqa: ASYNC105 - as above

    @property
    def needs_no_linger(self) -> bool:
        """Whether nothing is unread or write_buffer, so that the close ends the output without a reset."""
        said_all = self.tls is None or self.tls.engine.output_ended
        return self.eof_received and not self.write_buffer and said_all

    @property
    def certificate(self) -> Mapping[str, Any] | None:  # type: ignore[override]
        """What the client has shown over TLS; see `Channel`."""
        return None if self.tls is None else self.tls.certificate

    @property
    def buffered(self) -> int:
        """How many bytes of input TLS holds, of which the kernel does not tell."""
        return 0 if self.tls is None else self.tls.engine.buffered

    @property
    def reading(self) -> int:
        """The events to watch for while the client is to be read from: with input here, any will do."""
        if self.tls is None or self.tls.engine.drained or not self.buffered:
            return self._poller.listening
        return EPOLLIN | EPOLLOUT

    def interrupt(self) -> None:
        """Wake the task that the hub runs a session for; see `Channel.interrupt`."""
        if self.session is not None:
            self.wake()

    def recv_nowait(self, max_bytes: int = READ_SIZE) -> bytes | None:
        """Return what is there already, b"" at the end of input; None if nothing is.

        Raises:
            ConnectionLost: the client reset the connection.
        """
        try:
            return self.try_recv(max_bytes)
        except OSError as error:
            raise ConnectionLost from error

    def try_recv(self, max_bytes: int) -> bytes | None:
        """Return what `recv_nowait` does.

        Raises:
            OSError: the client reset the connection.
        """
        try:
            data = self.sock.recv(max_bytes)
        except BlockingIOError:
            return None
        if data and self._poller.counted:
            self.count_read(data)
        return data

    @property
    def at_eof(self) -> bool:
        """Whether nothing is left to be read but the end of the input.

        Raises:
            ConnectionLost: the client reset the connection.
        """
        if isinstance(self.sock, TlsSocket):
            return False  # an end that counts is a record, which a read finds
        try:
            return not self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError as error:
            raise ConnectionLost from error

    def waiting(self) -> int:
        """Return how many bytes have been received and not been read; over TLS, rather more."""
        return self.buffered + self._poller.machine.waiting(self._raw)

    @property
    def _raw(self) -> socket.socket:
        return self.sock.raw if isinstance(self.sock, TlsSocket) else self.sock

    async def send_all(self, data: bytes | memoryview) -> None:
        """Send all of `data`; see `Channel.send_all`."""
        rest = self.send_nowait(data)
        if not rest:
            return
        try:
            with trio.move_on_after(self.limits.write_timeout):
                while rest:
                    await self._until(self._poller.machine.wait_writable)
                    rest = self.send_nowait(rest)
                return
        finally:
            self.write_buffer = rest  # cancelled: the next send begins with it
        raise TooSlow("write_timeout")

    def send_nowait(self, data: bytes | memoryview) -> bytes | memoryview:
        """Send what the kernel takes, what was held before it; see `Channel.send_nowait`."""
        if self.write_buffer:
            data = b"".join((self.write_buffer, data))
            self.write_buffer = b""
        if not data:
            return b""
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            return data
        except OSError as error:
            raise ConnectionLost from error
        self._sent_at = _JUST_NOW
        if self._poller.counted:
            self.count_sent(sent)
        return b"" if sent == len(data) else memoryview(data)[sent:]

    def try_buffer(self, data: Chunk) -> bool:
        """Take `data` to be sent with what follows it; see `Channel.try_buffer`."""
        held = self.write_buffer
        if len(held) + len(data) > MAX_HELD:
            return False
        if isinstance(held, bytearray):
            held += data
            return True
        if held:
            return False
        self.write_buffer = bytearray(data)
        self._poller.watch(self, self.watched | EPOLLOUT)  # so the hub sends it when it has its next turn
        return True

    async def flush(self) -> None:
        """Send what is buffered; see `Channel.flush`."""
        if self.write_buffer:
            await self.send_all(b"")

    async def send_eof(self) -> None:
        """End the output; see `Channel.send_eof`."""
        await self.flush()
        if self._end_output():
            return
        with trio.move_on_after(self.limits.write_timeout):  # TLS has something to say at the end
            while True:
                await self._until(self._poller.machine.wait_writable)
                if self._end_output():
                    return
        raise TooSlow("write_timeout")

    def _end_output(self) -> bool:
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            return False
        except OSError as error:
            raise ConnectionLost from error
        return True

    async def start_tls(
        self, context: ssl.SSLContext, *, server_side: bool, server_hostname: str | None = None
    ) -> None:
        """Perform a TLS handshake; see `Channel.start_tls`."""
        plain, machine = self.sock, self._poller.machine
        if isinstance(plain, TlsSocket):
            raise StateError("start_tls", "over TLS already")
        await self.flush()
        engine = TlsEngine(context, server_side=server_side, server_hostname=server_hostname)
        secure = TlsSocket(plain, engine)
        while events := secure.handshake_step():
            await self._until(machine.wait_readable if events == EPOLLIN else machine.wait_writable)
        acknowledge(plain)
        secure.certificate = engine.certificate()
        self.sock = self.tls = secure

    def set_limits(self, limits: Limits) -> None:
        """Keep these timeouts; see `Channel.set_limits`."""
        self.limits = limits
        self._poller.sweep_for(limits)

    async def close_gracefully(self) -> None:
        """End the output and let the client go; see `Channel.close_gracefully`."""
        await self.send_eof()
        data = self.recv_nowait()
        if data == b"":
            return  # the usual case, which needs no timeout
        with trio.move_on_after(self.limits.linger_timeout):
            while data != b"":
                if data is None:
                    await self._until(self._poller.machine.wait_readable)
                else:  # a client that sends without end must not keep the others waiting
                    await trio.lowlevel.checkpoint()
                data = self.recv_nowait()

    async def aclose(self) -> None:
        """Close the socket."""
        self.close()

    def close(self) -> None:
        """Close the socket."""
        if self.write_buffer:
            with suppress(ConnectionLost):
                self.send_nowait(b"")
            self.write_buffer = b""
        if self.session is not None:
            self.wake(ConnectionLost())
        if self.watched:
            self._poller.watch(self, 0)
        if self._known_to_trio:
            self._poller.machine.notify_closing(self._raw)
        self.sock.close()

    def count_read(self, data: bytes) -> None:
        """Count what was read."""
        if self._poller.stats is not None:
            self._poller.stats.read(data)

    def count_sent(self, sent: int) -> None:
        """Count so many bytes sent."""
        if self._poller.stats is not None:
            self._poller.stats.sent += sent

    def wake(self, error: BaseException | None = None) -> None:
        """Wake the parked task, or raise an error in it."""
        self.session = None
        self._poller.woken = True
        trio.lowlevel.reschedule(self._task, _WAKE_UP if error is None else outcome.Error(error))

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
        self._sent_at = min(self._sent_at, now)
        return "idle_timeout" if now - max(self.stamp, self._sent_at) >= limits.idle_timeout else None

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

    async def _until(self, ready: Callable[[socket.socket], Awaitable[None]]) -> None:
        self._known_to_trio = True
        try:
            await ready(self._raw)
        except trio.ClosedResourceError as error:
            raise ConnectionLost from error


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
        """Count so many bytes sent."""
        super().count_sent(sent)
        self.sent += sent
