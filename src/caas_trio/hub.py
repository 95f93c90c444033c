"""The fast driver: runs the sessions of many sockets from one task (Linux, epoll).

One task owns an epoll descriptor and waits for *it* with trio. When it wakes, it polls it without
blocking and, for each ready socket, receives once, asks the session and sends the reply: two system
calls and no task switch. Each connection is still a task in the server's nursery. It parks while
the hub runs its session and is woken for what is exceptional: the end of the input, a session that
is closing, an error, a timeout, the drain.

A socket stays registered while its task is awake, until it is closed or ready with nobody to run it
for: so a session that lasts for one line, as an async handler's reads do, costs no `epoll_ctl`.
"""

from __future__ import annotations

import enum
import fcntl
import select
import socket
import sys
import termios
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import trio

from .channel import Channel
from .drain import Drain
from .errors import ConnectionLost, TooSlow
from .limits import Limits
from .session import Session

EPOLLIN: Final = 1  # the same on every Linux; the select module lacks the names elsewhere
EPOLLOUT: Final = 4

#: What one read can give.
READ_SIZE: Final = 256 * 1024

#: glibc gives a large block back to the kernel at every free, until it has seen one of its size
#: freed: from then on it keeps twice that much at hand. So a block of this size, made and dropped,
#: spares every read of a long line two page-faulting trips to the kernel.
_WARMING: Final = 4 * READ_SIZE

#: How many sockets one poll tells of, and how long (seconds) the hub goes on polling while sockets
#: are ready, before other tasks have their turn.
_EVENTS: Final = 256
_TURN: Final = 0.002

#: How many bytes a channel holds for sending them together.
MOST_HELD: Final = 65536

#: Timeouts are looked at so many times within the shortest of them, and at least so often (seconds).
_SWEEPS: Final = 8
_LONGEST_PAUSE: Final = 1.0


class _Why(enum.Enum):
    """What a connection's task is woken for, errors apart."""

    END = "the client has sent its last byte"
    CLOSING = "the session has said its last"
    DRAIN = "the server is stopping"


class Hub:
    """Runs sessions for the channels that are made with it, while `run` is running.

    Who made it closes it.
    """

    def __init__(self, limits: Limits, drain: Drain) -> None:
        self.limits = limits
        self.drain = drain
        self._epoll = select.epoll()
        bytes(_WARMING)
        self._holding: list[HubChannel] = []
        self._held = trio.lowlevel.ParkingLot()
        self._channels: dict[int, HubChannel] = {}

    async def run(self) -> None:
        """Serve until cancelled."""
        with self.drain.telling(self._wake_all):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._sweep)
                nursery.start_soon(self._send_held)
                while True:
                    await trio.lowlevel.wait_readable(self._epoll)
                    until = time.monotonic() + _TURN
                    while self._serve() and time.monotonic() < until:
                        pass

    def close(self) -> None:
        """Give back what the hub holds, once `run` has ended or will never run."""
        self._epoll.close()

    def watch(self, channel: HubChannel, events: int) -> None:
        """Have `_serve` hear of these events, of none with 0."""
        if events == channel.watched:
            return
        if not channel.watched:
            self._channels[channel.fd] = channel
            self._epoll.register(channel.fd, events)
        elif events:
            self._epoll.modify(channel.fd, events)
        else:
            del self._channels[channel.fd]
            self._epoll.unregister(channel.fd)
        channel.watched = events

    def send_soon(self, channel: HubChannel) -> None:
        """Send what the channel holds when the tasks that are about to run have run."""
        self._holding.append(channel)
        self._held.unpark()

    async def _send_held(self) -> None:
        while True:
            await self._held.park()
            for channel in self._holding:
                if channel.unsent:
                    self._flush(channel)
            self._holding.clear()

    def _wake_all(self) -> None:
        for channel in self._channels.values():
            if channel.session is not None:
                channel.wake(_Why.DRAIN)

    def _serve(self) -> bool:  # noqa: C901 - a call per step would cost a tenth of what a line does
        """Serve each socket that is ready, once; return whether there was any.

        One read each: a client that sends without end gets no more turns than a quiet one.
        """
        ready = self._epoll.poll(0, _EVENTS)
        now = trio.current_time()
        channels = self._channels
        for fd, _ in ready:
            channel = channels[fd]
            session = channel.session
            if channel.unsent:
                self._flush(channel)
                continue
            if session is None:
                self.watch(channel, 0)
                continue
            channel.stamp = now
            try:
                data = channel.sock.recv(READ_SIZE)
            except OSError as error:
                self._failed(channel, error)
                continue
            if not data:
                channel.wake(_Why.END)
                continue
            try:
                reply = session.receive(data)
            except Exception as error:  # noqa: BLE001 - raised again in the connection's own task
                channel.wake(error)
                continue
            if reply:
                try:
                    sent = channel.sock.send(reply)
                except OSError:
                    sent = 0  # no room, or an error that the next attempt will meet again
                if sent != len(reply):
                    channel.unsent = memoryview(reply)[sent:]
                    self.watch(channel, EPOLLOUT)
                    continue
            if session.closing:
                channel.wake(_Why.CLOSING)
        return bool(ready)

    def _failed(self, channel: HubChannel, error: OSError) -> None:
        if isinstance(error, BlockingIOError):
            self.watch(channel, EPOLLIN)  # where another task has sent what was waited for
            return
        channel.unsent = b""
        if channel.session is not None:
            channel.wake(ConnectionLost())

    def _flush(self, channel: HubChannel) -> None:
        """Send more of what the kernel did not take; until it has it all, the client is not read from."""
        try:
            sent = channel.sock.send(channel.unsent)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._failed(channel, error)
            return
        channel.unsent = memoryview(channel.unsent)[sent:] if sent < len(channel.unsent) else b""
        if channel.unsent:
            self.watch(channel, EPOLLOUT)
        elif channel.session is None:
            self.watch(channel, channel.watched & EPOLLIN)
        elif channel.session.closing:
            channel.wake(_Why.CLOSING)
        else:
            self.watch(channel, EPOLLIN)

    async def _sweep(self) -> None:
        """Wake who has let a timeout pass.

        The hot path only leaves a time stamp. Looking at all of them now and then costs less than
        a deadline of its own for each connection, in time and in memory.
        """
        limits = self.limits
        shortest = min(limits.idle_timeout, limits.line_timeout, limits.write_timeout)
        while True:
            await trio.sleep(min(shortest / _SWEEPS, _LONGEST_PAUSE))
            now = trio.current_time()
            for channel in self._channels.values():
                session = channel.session
                if session is not None and (limit := channel.overdue(session, now)) is not None:
                    channel.wake(TooSlow(limit))


class HubChannel(Channel):
    """A connection whose socket the hub serves; it owns the socket.

    Attributes:
        sock: the socket, non-blocking.
        fd: its descriptor.
        watched: the events that the hub's epoll is to tell of; 0 if it is not registered there.
        session: what the hub is to run; None while the task is awake.
        unsent: what is held to be sent with what follows (a bytearray), or what is left of the last
            reply because the kernel did not take it.
        stamp: when its client was last heard of, or its task began to wait.
    """

    __slots__ = (
        "_hub",
        "_known_to_trio",
        "_line",
        "_line_seen",
        "_task",
        "_why",
        "fd",
        "session",
        "sock",
        "stamp",
        "unsent",
        "watched",
    )

    received = 0
    sent = 0
    _task: trio.lowlevel.Task
    _line_seen: float
    stamp: float

    def __init__(self, sock: socket.socket, hub: Hub) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.watched = 0
        self.session: Session | None = None
        self.unsent: bytes | bytearray | memoryview = b""
        self._hub = hub
        self._known_to_trio = False  # whether trio's own epoll may have a task waiting for it
        self._line = 0
        self._why: _Why | Exception = _Why.CLOSING

    async def converse(self, session: Session) -> None:
        """Run a conversation; see `Channel.converse`."""
        greeting = session.open()
        if greeting:
            await self.send_all(greeting)
        elif self.unsent:
            self.unsent = self._send(self.unsent)  # the hub sends the rest, whatever becomes of this task
        if session.awaits_silence:
            await self._listen_for_silence(session)
        elif self._hand_over(session):
            await trio.lowlevel.wait_task_rescheduled(self._cancelled)
        if isinstance(self._why, Exception):
            raise self._why
        if self.unsent:
            await self.send_all(b"")
        if self._why is _Why.END:
            await self.send_all(session.end_of_input())
        elif self._why is _Why.DRAIN:
            await self._finish(session)

    async def receive_some(self) -> bytes:
        """Return what one read gives; see `Channel.receive_some`."""
        while (data := self._receive()) is None:
            await self._until(trio.lowlevel.wait_readable)
        return data

    async def send_all(self, data: bytes) -> None:
        """Send all of `data`; see `Channel.send_all`."""
        if self.unsent:
            data = b"".join((self.unsent, data))
            self.unsent = b""
        rest = self._send(data)
        if not rest:
            return
        try:
            with trio.move_on_after(self._hub.limits.write_timeout):
                while rest:
                    await self._until(trio.lowlevel.wait_writable)
                    rest = self._send(rest)
                return
        finally:
            self.unsent = rest  # cancelled: who sends next begins with it
        raise TooSlow("write_timeout")

    def hold(self, data: bytes) -> bool:
        """Take `data` to be sent with what follows it; see `Channel.hold`."""
        held = self.unsent
        if len(held) + len(data) > MOST_HELD:
            return False
        if not held:
            held = self.unsent = bytearray()
            self._hub.send_soon(self)
        elif not isinstance(held, bytearray):
            return False
        held += data
        return True

    async def end_output(self) -> None:
        """End the output; see `Channel.end_output`."""
        if self.unsent:
            await self.send_all(b"")
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise ConnectionLost from error

    async def part(self) -> None:
        """End the output and let the client go; see `Channel.part`."""
        if self._why is _Why.END and not self.unsent:
            return  # nothing is unread: the close ends the output without a reset
        await self.end_output()
        with trio.move_on_after(self._hub.limits.linger_timeout):
            while await self.receive_some():
                pass

    async def aclose(self) -> None:
        """Close the socket."""
        if self.unsent:
            with suppress(ConnectionLost):
                self._send(self.unsent)
            self.unsent = b""
        if self.session is not None:
            self.wake(ConnectionLost())
        self._hub.watch(self, 0)
        if self._known_to_trio:
            trio.lowlevel.notify_closing(self.sock)
        self.sock.close()

    def wake(self, why: _Why | Exception) -> None:
        """Let the parked task go on."""
        self._why = why
        self.session = None
        trio.lowlevel.reschedule(self._task)

    def overdue(self, session: Session, now: float) -> str | None:
        """Return the name of the timeout that has passed; None if none has."""
        limits = self._hub.limits
        if self.unsent:
            return "write_timeout" if now - self.stamp >= limits.write_timeout else None
        if session.unfinished != self._line:
            self._line, self._line_seen = session.unfinished, self.stamp
        if self._line and now - self._line_seen >= limits.line_timeout:
            return "line_timeout"
        return "idle_timeout" if now - self.stamp >= limits.idle_timeout else None

    def _hand_over(self, session: Session) -> bool:
        """Leave socket and session to the hub, and return true; or say in `_why` why not."""
        if self._hub.drain.begun or session.closing:
            self._why = _Why.CLOSING if session.closing else _Why.DRAIN
            return False
        self.session = session
        self.stamp = trio.current_time()
        self._line = 0
        self._task = trio.lowlevel.current_task()
        self._hub.watch(self, EPOLLOUT if self.unsent else EPOLLIN)
        return True

    def _cancelled(self, _: object) -> trio.lowlevel.Abort:
        self.session = None
        return trio.lowlevel.Abort.SUCCEEDED

    async def _listen_for_silence(self, session: Session) -> None:
        """Leave it to the hub, but prompt the client if it keeps silent."""
        if self._hand_over(session):
            with trio.move_on_after(self._hub.limits.prompt_delay):
                await trio.lowlevel.wait_task_rescheduled(self._cancelled)
                return
        if session.awaits_silence and not self._hub.drain.begun:
            # It may have spoken just now, and the hub not have heard it yet.
            spoken = self._receive()
            await self.send_all(session.silence() if spoken is None else _answer(session, spoken))
        if self._hand_over(session):
            await trio.lowlevel.wait_task_rescheduled(self._cancelled)

    async def _finish(self, session: Session) -> None:
        """Answer what has been received by now, the kernel's buffer included, and nothing later."""
        left = int.from_bytes(fcntl.ioctl(self.sock, termios.FIONREAD, bytes(4)), sys.byteorder)
        while not session.closing:
            data = self._receive(left) if left else self._receive(1, socket.MSG_PEEK)
            if data is None or (data and not left):
                return
            left -= len(data)
            await self.send_all(_answer(session, data))

    async def _until(self, ready: Callable[[socket.socket], Awaitable[None]]) -> None:
        self._known_to_trio = True
        try:
            await ready(self.sock)
        except trio.ClosedResourceError as error:
            raise ConnectionLost from error

    def _receive(self, most: int = READ_SIZE, flags: int = 0) -> bytes | None:
        """Return what is there already, b"" at the end of input; None if nothing is."""
        try:
            return self.sock.recv(min(most, READ_SIZE), flags)
        except BlockingIOError:
            return None
        except OSError as error:
            raise ConnectionLost from error

    def _send(self, data: bytes | bytearray | memoryview) -> bytes | memoryview:
        """Send what the kernel takes; return the rest."""
        if not data:
            return b""
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise ConnectionLost from error
        return b"" if sent == len(data) else memoryview(data)[sent:]


def _answer(session: Session, data: bytes) -> bytes:
    return session.receive(data) if data else session.end_of_input()
