"""The fast driver: runs the sessions of many sockets from one task (Linux, epoll).

One task owns an epoll descriptor and waits for *it* with trio. When it wakes, it polls it without
blocking and, for each ready socket, receives into one shared buffer, asks the session and sends the
reply: two system calls and no task switch. Each connection is still a task in the server's nursery.
It parks while its socket is with the hub and is woken for what is exceptional: the end of the
input, a session that is closing, an error, a timeout, the drain. Cancel it, and its socket is taken
from the hub at once.
"""

from __future__ import annotations

import enum
import fcntl
import select
import socket
import sys
import termios
from typing import Final

import trio

from .channel import Channel
from .drain import Drain
from .errors import ConnectionLost, TooSlow
from .limits import Limits
from .session import Session

EPOLLIN: Final = 1  # the same on every Linux; the select module lacks the names elsewhere
EPOLLOUT: Final = 4

#: What one read can give. One buffer of this size serves all connections: a fresh one for each read
#: would be mapped and unmapped each time.
READ_SIZE: Final = 256 * 1024

#: How many sockets one poll tells of, and how many polls in a row before other tasks have their turn.
_EVENTS: Final = 256
_ROUNDS: Final = 4

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
        self._buffer = bytearray(READ_SIZE)
        self._view = memoryview(self._buffer)
        self._epoll = select.epoll()
        self._parked: dict[int, HubChannel] = {}

    async def run(self) -> None:
        """Serve until cancelled."""
        with self.drain.telling(self._wake_all):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._sweep)
                while True:
                    await trio.lowlevel.wait_readable(self._epoll)
                    for _ in range(_ROUNDS):
                        if not self._serve():
                            break

    def close(self) -> None:
        """Give back what the hub holds, once `run` has ended or will never run."""
        self._epoll.close()

    def park(self, channel: HubChannel) -> None:
        """Take a socket in: from now on its session is run, until its task is woken or forgotten."""
        self._parked[channel.fd] = channel
        self._epoll.register(channel.fd, EPOLLOUT if channel.unsent else EPOLLIN)

    def forget(self, channel: HubChannel) -> None:
        """Give a socket back."""
        del self._parked[channel.fd]
        self._epoll.unregister(channel.fd)

    def _wake(self, channel: HubChannel, why: _Why | Exception) -> None:
        self.forget(channel)
        channel.wake(why)

    def _wake_all(self) -> None:
        for channel in list(self._parked.values()):
            self._wake(channel, _Why.DRAIN)

    def _serve(self) -> bool:
        """Serve each socket that is ready, once; return whether there was any.

        One read each: a client that sends without end gets no more turns than a quiet one.
        """
        ready = self._epoll.poll(0, _EVENTS)
        now = trio.current_time()
        parked, buffer, view = self._parked, self._buffer, self._view
        for fd, events in ready:
            channel = parked[fd]
            if not events & EPOLLIN:
                self._flush(channel)
                continue
            channel.stamp = now
            try:
                size = channel.receive_into(buffer)
            except OSError as error:
                self._failed(channel, error)
                continue
            if not size:
                self._wake(channel, _Why.END)
                continue
            try:
                reply = channel.answer(view[:size])
            except Exception as error:  # noqa: BLE001 - raised again in the connection's own task
                self._wake(channel, error)
                continue
            if reply and not self._send(channel, reply):
                continue
            if channel.session.closing:
                self._wake(channel, _Why.CLOSING)
        return bool(ready)

    def _send(self, channel: HubChannel, reply: bytes) -> bool:
        """Send what the kernel takes; return whether that was all."""
        try:
            sent = channel.send(reply)
        except OSError:
            sent = 0  # no room, or an error that the next attempt will meet again
        if sent == len(reply):
            return True
        channel.unsent = memoryview(reply)[sent:]
        self._epoll.modify(channel.fd, EPOLLOUT)
        return False

    def _failed(self, channel: HubChannel, error: OSError) -> None:
        if not isinstance(error, BlockingIOError):
            self._wake(channel, ConnectionLost())

    def _flush(self, channel: HubChannel) -> None:
        """Send more of what the kernel did not take; until it has it all, the client is not read from."""
        try:
            sent = channel.send(channel.unsent)
        except OSError as error:
            self._failed(channel, error)
            return
        channel.unsent = channel.unsent[sent:]
        if not channel.unsent:
            if channel.session.closing:
                self._wake(channel, _Why.CLOSING)
            else:
                self._epoll.modify(channel.fd, EPOLLIN)

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
            for channel in list(self._parked.values()):
                limit = channel.overdue(now)
                if limit is not None:
                    self._wake(channel, TooSlow(limit))


class HubChannel(Channel):
    """A connection whose socket the hub serves; it owns the socket.

    Attributes:
        sock: the socket, non-blocking.
        fd: its descriptor.
        receive_into: its method, at hand.
        send: its method, at hand.
        session: the session, while one runs.
        answer: the session's `receive`, at hand.
        unsent: what is left of the last reply because the kernel did not take it.
        stamp: when its client was last heard of.
    """

    __slots__ = (
        "_hub",
        "_line",
        "_line_seen",
        "_task",
        "_why",
        "answer",
        "fd",
        "receive_into",
        "send",
        "session",
        "sock",
        "stamp",
        "unsent",
    )

    def __init__(self, sock: socket.socket, hub: Hub) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.receive_into = sock.recv_into
        self.send = sock.send
        self.unsent: bytes | memoryview = b""
        self.stamp = 0.0
        self._hub = hub
        self._line = 0
        self._line_seen = 0.0
        self._why: _Why | Exception = _Why.CLOSING

    async def converse(self, session: Session) -> None:
        """Run a conversation; see `Channel.converse`."""
        self.session = session
        self.answer = session.receive
        await self._say(session.open())
        why = await self._until_exceptional()
        await self._say(self.unsent)
        if why is _Why.END:
            await self._say(session.end_of_input())
        elif why is _Why.DRAIN:
            await self._finish()

    async def receive_some(self) -> bytes:
        """Return what one read gives; see `Channel.receive_some`."""
        while (data := self._receive()) is None:
            await trio.lowlevel.wait_readable(self.sock)
        return data

    async def send_all(self, data: bytes) -> None:
        """Send all of `data`; see `Channel.send_all`."""
        await self._say(data)

    async def end_output(self) -> None:
        """End the output; see `Channel.end_output`."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise ConnectionLost from error

    async def part(self) -> None:
        """End the output and let the client go; see `Channel.part`."""
        if self._why is _Why.END:
            return  # nothing is unread: the close ends the output without a reset
        await self.end_output()
        with trio.move_on_after(self._hub.limits.linger_timeout):
            while await self.receive_some():
                pass

    async def aclose(self) -> None:
        """Close the socket."""
        self.sock.close()

    def wake(self, why: _Why | Exception) -> None:
        """Let the parked task go on."""
        self._why = why
        trio.lowlevel.reschedule(self._task)

    def overdue(self, now: float) -> str | None:
        """Return the name of the timeout that has passed; None if none has."""
        limits = self._hub.limits
        if self.unsent:
            return "write_timeout" if now - self.stamp >= limits.write_timeout else None
        if self.session.unfinished != self._line:
            self._line, self._line_seen = self.session.unfinished, self.stamp
        if self._line and now - self._line_seen >= limits.line_timeout:
            return "line_timeout"
        return "idle_timeout" if now - self.stamp >= limits.idle_timeout else None

    async def _until_exceptional(self) -> _Why:
        """Leave the socket to the hub; prompt the client if the session waits for its silence."""
        while self.session.awaits_silence:
            with trio.move_on_after(self._hub.limits.prompt_delay):
                return await self._park()
            if self.session.awaits_silence:
                # It may have spoken just now, and the hub not have heard it yet.
                spoken = self._receive()
                await self._say(self.session.silence() if spoken is None else self._answer(spoken))
        return _Why.CLOSING if self.session.closing else await self._park()

    async def _park(self) -> _Why:
        """Sleep while the hub serves the socket; return why that is over, or raise the error."""
        if self._hub.drain.begun:
            return _Why.DRAIN
        self._task = trio.lowlevel.current_task()
        self.stamp = trio.current_time()
        self._hub.park(self)
        await trio.lowlevel.wait_task_rescheduled(self._cancelled)
        if isinstance(self._why, Exception):
            raise self._why
        return self._why

    def _cancelled(self, _: object) -> trio.lowlevel.Abort:
        self._hub.forget(self)
        return trio.lowlevel.Abort.SUCCEEDED

    async def _finish(self) -> None:
        """Answer what has been received by now, the kernel's buffer included, and nothing later."""
        left = int.from_bytes(fcntl.ioctl(self.sock, termios.FIONREAD, bytes(4)), sys.byteorder)
        while not self.session.closing:
            data = self._receive(left) if left else self._receive(1, socket.MSG_PEEK)
            if data is None or (data and not left):
                return
            left -= len(data)
            await self._say(self._answer(data))

    def _receive(self, most: int = READ_SIZE, flags: int = 0) -> bytes | None:
        """Return what is there already, b"" at the end of input; None if nothing is."""
        try:
            return self.sock.recv(min(most, READ_SIZE), flags)
        except BlockingIOError:
            return None
        except OSError as error:
            raise ConnectionLost from error

    def _answer(self, data: bytes) -> bytes:
        return self.session.receive(data) if data else self.session.end_of_input()

    async def _say(self, reply: bytes | memoryview) -> None:
        """Send all of it, waiting as long as `write_timeout` allows."""
        self.unsent = reply
        if self._sent():
            return
        with trio.move_on_after(self._hub.limits.write_timeout):
            while not self._sent():
                await trio.lowlevel.wait_writable(self.sock)
            return
        raise TooSlow("write_timeout")

    def _sent(self) -> bool:
        """Send what the kernel takes; return whether that was all."""
        try:
            while self.unsent:
                self.unsent = memoryview(self.unsent)[self.send(self.unsent) :]  # bytes would be copied
        except BlockingIOError:
            return False
        except OSError as error:
            raise ConnectionLost from error
        return True
