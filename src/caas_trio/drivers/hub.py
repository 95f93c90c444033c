"""The fast driver: runs the sessions of many sockets from one task (Linux, epoll).

One task owns an epoll descriptor and waits for *it* with trio. When it wakes, it polls it without
blocking and, for each ready socket, receives once, asks the session and sends the reply: two system
calls and no task switch. Each connection that outlasts its first moment (see `server.newcomers`) is still a
task in the server's nursery. It parks while the hub runs its session and is woken for what is
exceptional: a session that is closing, an error, a timeout.

A socket stays registered while its task is awake, until it is closed or ready with nobody to run it
for: so a session that lasts for one line, as an async handler's reads do, costs no `epoll_ctl`.
"""

from __future__ import annotations

import select
import socket
import time
from typing import Any, Final

import trio

from caas_trio.core.errors import ConnectionLost, TooSlow
from caas_trio.core.limits import Limits
from caas_trio.core.session import Session
from caas_trio.core.telemetry import ServerStats

from .drain import Drain
from .hubchannel import EPOLLIN, EPOLLOUT, READ_SIZE, HubChannel

#: glibc gives a large block back to the kernel at every free, until it has seen one of its size
#: freed: from then on it keeps twice that much at hand. So a block of this size, made and dropped,
#: spares every read of a long line two page-faulting trips to the kernel.
_WARMING: Final = 4 * READ_SIZE

#: How many sockets one poll tells of, and how long (seconds) the hub goes on polling while sockets
#: are ready, before other tasks have their turn. Both are bounds: a read of the costliest kind takes
#: about a millisecond, and the kernel tells of those that are still to be served first.
_EVENTS: Final = 64
_TURN_S: Final = 0.002

#: Reads of fewer bytes are kept until all of a poll have been served, and counted together.
_SHORT: Final = 4096

#: Timeouts are looked at so many times within the shortest of them, and at least so often (seconds).
_SWEEPS: Final = 8
_MAX_SWEEP_INTERVAL_S: Final = 1.0


class Hub:
    """Runs sessions for the channels that are made with it, while `run` is running.

    Who made it closes it.

    Attributes:
        limits: the timeouts.
        drain: tells of the stop.
        stats: counts what all channels move; None if nobody wants to know.
        counting: whether each channel counts, too.
        counted: whether anything is.
        listening: the events a socket is watched for whose client is to be heard.
        woken: whether tasks are about to run that the hub has woken.
    """

    def __init__(
        self, limits: Limits, drain: Drain, *, stats: ServerStats | None = None, counting: bool = False
    ) -> None:
        self.limits = limits
        self.drain = drain
        self.stats = stats
        self.counting = counting
        self.counted = counting or stats is not None
        self.listening = EPOLLIN
        self.woken = False
        self._epoll = select.epoll()
        bytes(_WARMING)
        self._channels: list[HubChannel | None] = []  # those that are watched, by descriptor
        self._left: dict[HubChannel, int] = {}  # what is to be read in the drain, where a client is slow

    async def run(self) -> None:
        """Serve until cancelled."""
        with self.drain.telling(self._begin_drain):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._sweep)
                while True:
                    await trio.lowlevel.wait_readable(self._epoll)
                    begun = time.monotonic()
                    until = begun + _TURN_S
                    while served := self._serve():
                        now = time.monotonic()
                        if self.stats is not None:
                            self.stats.served(served, now - begun)
                        if self.woken or now > until:
                            self.woken = False
                            await trio.lowlevel.checkpoint()
                            now = time.monotonic()
                            until = now + _TURN_S
                        begun = now

    def close(self) -> None:
        """Give back what the hub holds, once `run` has ended or will never run."""
        self._epoll.close()

    def watch(self, channel: HubChannel, events: int) -> None:
        """Have `_serve` hear of these events, of none with 0."""
        if events == channel.watched:
            return
        fd = channel.sock.fileno()
        if not channel.watched:
            if fd >= len(self._channels):
                self._channels += [None] * (fd + 1 - len(self._channels))
            self._channels[fd] = channel
            self._epoll.register(fd, events)
        elif events:
            self._epoll.modify(fd, events)
        else:
            self._channels[fd] = None
            self._epoll.unregister(fd)
        channel.watched = events

    def _serve(self) -> int:  # noqa: C901, PLR0912, PLR0915 - a call per step would cost a tenth of what a line does
        """Serve each socket that is ready, once; return how many there were.

        One read each: a client that sends without end gets no more turns than a quiet one.
        """
        ready = self._epoll.poll(0, _EVENTS)
        if not ready:
            return 0
        now = trio.current_time()
        draining, stats, counting = self.drain.begun, self.stats, self.counting
        short: list[bytes] = []
        sent_on = 0
        channels: list[Any] = self._channels  # whoever is watched is there
        for fd, _ in ready:
            channel: HubChannel = channels[fd]
            session = channel.session
            if channel.write_buffer:
                self._flush(channel)
                continue
            if session is None:
                self.watch(channel, 0)
                continue
            if draining:
                self._finish(channel, session)
                continue
            channel.stamp = now
            try:
                data = channel.sock.recv(session.max_chunk)
            except OSError as error:
                self._failed(channel, error)
                continue
            if counting:
                channel.count_read(data)
            elif stats is not None:  # joined, many short reads are counted at a third of the cost
                if len(data) < _SHORT:
                    short.append(data)
                else:
                    stats.read(data)
            try:
                if data:
                    reply = session.receive(data)
                else:
                    channel.eof_received = True
                    reply = session.end_of_input()
            except Exception as error:  # noqa: BLE001 - raised again in the connection's own task
                channel.wake(error)
                continue
            if reply:
                try:
                    sent = channel.sock.send(reply)
                except OSError:
                    sent = 0  # no room, or an error that the next attempt will meet again
                if counting:
                    channel.count_sent(sent)
                else:
                    sent_on += sent
                if sent != len(reply):
                    channel.write_buffer = memoryview(reply)[sent:]
                    self.watch(channel, EPOLLOUT)
                    continue
            if session.closing:
                channel.wake()
        if stats is not None:
            stats.sent += sent_on
            if short:
                stats.read(b"".join(short))
        return len(ready)

    def _failed(self, channel: HubChannel, error: OSError) -> None:
        if isinstance(error, BlockingIOError):
            self.watch(channel, self.listening)  # where another task has sent what was waited for
            return
        channel.write_buffer = b""
        if channel.session is not None:
            channel.wake(ConnectionLost())

    def _flush(self, channel: HubChannel) -> None:
        """Send more of what is write_buffer; until the kernel has it all, the client is not read from."""
        try:
            sent = channel.sock.send(channel.write_buffer)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._failed(channel, error)
            return
        channel.count_sent(sent)
        channel.write_buffer = (
            memoryview(channel.write_buffer)[sent:] if sent < len(channel.write_buffer) else b""
        )
        if channel.write_buffer:
            self.watch(channel, EPOLLOUT)
        elif channel.session is None:
            self.watch(channel, channel.watched & EPOLLIN)
        elif channel.session.closing:
            channel.wake()
        else:
            self.watch(channel, self.listening)

    def _begin_drain(self) -> None:
        """Have every conversation finished: where the kernel has room for a reply, it is, at once."""
        self.listening = EPOLLIN | EPOLLOUT
        for channel in filter(None, self._channels):
            if channel.session is not None and not channel.write_buffer:
                self.watch(channel, self.listening)

    def _finish(self, channel: HubChannel, session: Session) -> None:
        """Answer what has been received by now, the kernel's buffer included, and nothing later.

        One read a turn, as ever: the drain timeout must be able to end it.
        """
        try:
            left = self._left.pop(channel, None)
            if left is None:
                left = channel.waiting()
            data = channel.recv_nowait(min(left, session.max_chunk)) if left else None
            left = left - len(data) if data else 0
            if data:
                channel.answer(session, data)
            over = session.closing or channel.write_buffer or left
            if not over and channel.read_nowait(1, socket.MSG_PEEK) == b"":
                channel.answer(session, b"")
            if channel.write_buffer or (left and not session.closing):
                self._left[channel] = left
                self.watch(channel, EPOLLOUT if channel.write_buffer else self.listening)
                return
        except Exception as error:  # noqa: BLE001 - raised again in the connection's own task
            channel.wake(error)
        else:
            channel.wake()

    async def _sweep(self) -> None:
        """Wake who has let a timeout pass.

        The hot path only leaves a time stamp. Looking at all of them now and then costs less than
        a deadline of its own for each connection, in time and in memory.
        """
        limits = self.limits
        shortest = min(limits.idle_timeout, limits.line_timeout, limits.write_timeout)
        while True:
            await trio.sleep(min(shortest / _SWEEPS, _MAX_SWEEP_INTERVAL_S))
            now = trio.current_time()
            for channel in filter(None, self._channels):
                if (limit := channel.overdue(now)) is not None:
                    channel.wake(TooSlow(limit))
