"""The fast driver: runs the sessions of many sockets from one task (Linux, epoll).

One task owns an epoll descriptor and waits for *it* with trio. When it wakes, it polls it without
blocking and, for each ready socket, receives once, asks the session and sends the reply: two system
calls and no task switch. Each connection that outlasts its first turn (see `inlineturn`) is still a task in
the server's nursery. It parks while the hub runs its session and is woken for what is exceptional: a
session that is closing, an error, a timeout.

A client that is alone and answers at once costs no wait, which is the dearer half of a line: the hub polls
on for as long as a wait would have taken, and less and less often where that is in vain.

A socket stays registered while its task is awake, until it is closed, or ready without a session to run
for: so a session that lasts for one line, as an async handler's reads do, costs no `epoll_ctl`.
"""

from __future__ import annotations

import socket
from typing import Any, Final, TypeVar

import trio

from caas_trio.core.errors import ConnectionLost, TooSlow, contained
from caas_trio.core.limits import Limits
from caas_trio.core.session import Session
from caas_trio.core.telemetry import ServerStats

from .drain import Drain
from .driver import Driver
from .hubchannel import CountingHubChannel, HubChannel
from .hubtransport import READ_SIZE
from .inlineturn import InlineTurn
from .machine import MACHINE, Machine
from .poller import EPOLLIN, EPOLLOUT, Poller
from .wakeup import WAKE_UP

C = TypeVar("C")

#: glibc gives a large block back to the kernel at every free, until it has seen one of its size
#: freed: from then on it keeps twice that much at hand. So a block of this size, made and dropped,
#: spares every read of a long line two page-faulting trips to the kernel.
_WARMING: Final = 4 * READ_SIZE

#: How long the hub goes on polling while sockets are ready, before other tasks have their turn.
_TURN_S: Final = 0.002

#: Reads of fewer bytes are kept until all of a poll have been served, and counted together.
_SHORT: Final = 4096


class Hub(Driver):
    """Runs sessions for the channels that are made with it, while `run` is running.

    The caller that made it closes it.
    """

    def __init__(
        self,
        limits: Limits,
        drain: Drain,
        *,
        stats: ServerStats | None = None,
        counting: bool = False,
        machine: Machine = MACHINE,
    ) -> None:
        self._drain = drain
        self._stats = stats
        self._poller = Poller(limits, drain, stats, counting=counting, machine=machine)
        self._channel = CountingHubChannel if counting else HubChannel
        self._left: dict[HubChannel, int] = {}  # what is to be read in the drain, where a client is slow
        bytes(_WARMING)

    def channel(self, sock: socket.socket) -> HubChannel:
        """Return the channel over a socket; see `Driver.channel`."""
        sock.setblocking(False)  # noqa: FBT003 - the socket module's signature
        return self._channel(sock, self._poller)

    def first_turn(self) -> InlineTurn[C]:
        """Return what runs new conversations without a task; see `Driver.first_turn`."""
        return InlineTurn(self._stats, self._poller.machine)

    async def run(self) -> None:
        """Serve until cancelled."""
        poller = self._poller
        monotonic = poller.machine.monotonic
        with self._drain.notifying(self._begin_drain):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._sweep)
                while True:
                    await poller.machine.wait_readable(poller.epoll)
                    ready = poller.after_wait()
                    begun = monotonic()
                    until = begun + _TURN_S
                    while ready:
                        self._serve(ready)
                        now = monotonic()
                        if self._stats is not None:
                            self._stats.served(len(ready), now - begun)
                        if poller.woken or now > until:
                            poller.woken = False
                            await trio.lowlevel.checkpoint()
                            now = monotonic()
                            until = now + _TURN_S
                        begun = now
                        ready = poller.poll()
                        if not ready and (lone := poller.prompt()) is not None:
                            if lone.session is None:  # its task is about to run
                                await trio.lowlevel.checkpoint()
                            if lone.session is not None:
                                ready = poller.poll_on()
                            begun = monotonic()

    def close(self) -> None:
        """Close the epoll descriptor, once `run` has ended or will never run."""
        self._poller.close()

    def _serve(self, ready: list[tuple[int, int]]) -> None:  # noqa: C901, PLR0912, PLR0915 - a call per step would cost a tenth of what a line does
        """Serve each socket that is ready, once.

        One read each: a client that sends without end gets no more turns than a quiet one. Reading,
        asking and counting stand here once more, as `HubChannel.poll` has them, for the same reason; and so
        does `HubChannel.wake`.
        """
        now = trio.current_time()
        reschedule = trio.lowlevel.reschedule
        draining, stats, counting = self._drain.begun, self._stats, self._poller.counting
        short: list[bytes] = []
        sent_on = 0
        channels: list[Any] = self._poller.channels  # all that are watched are there
        for fd, _ in ready:
            channel: HubChannel = channels[fd]
            session = channel.session
            try:
                if channel.write_buffer:
                    self._flush(channel)
                    continue
                if session is None:
                    self._poller.watch(channel, 0)
                    continue
                if draining:
                    self._finish(channel, session)
                    continue
                try:
                    data = channel.sock.recv(session.max_chunk)
                except OSError as error:
                    self._failed(channel, error)
                    continue
                channel.stamp = now
                if counting:
                    channel.count_read(data)
                elif stats is not None:  # joined, many short reads are counted at a third of the cost
                    if len(data) < _SHORT:
                        short.append(data)
                    else:
                        stats.read(data)
                if data:
                    reply = session.receive(data)
                else:
                    channel.eof_received = True
                    reply = session.end_of_input()
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
                        self._poller.watch(channel, EPOLLOUT)
                        continue
                if session.closing:
                    channel.session = None
                    self._poller.woken = True
                    reschedule(channel.task, WAKE_UP)
                elif channel.tls is not None and not channel.tls.engine.drained:
                    self._poller.watch(channel, channel.reading)
            except BaseException as error:  # noqa: BLE001 - raised again in the connection's own task
                channel.fail(contained(error))
        if stats is not None:
            stats.sent += sent_on
            if short:
                stats.read(b"".join(short))

    def _failed(self, channel: HubChannel, error: OSError) -> None:
        if isinstance(error, BlockingIOError):
            # Another task has sent what was waited for, or over TLS a part of a record has come.
            self._poller.watch(channel, channel.reading)
            return
        channel.eof_received = True  # so there is nothing to linger for
        channel.fail(ConnectionLost())

    def _flush(self, channel: HubChannel) -> None:
        """Send more of the write buffer; until the kernel has it all, the client is not read from."""
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
            self._poller.watch(channel, EPOLLOUT)
        elif channel.session is None:
            self._poller.watch(channel, channel.watched & EPOLLIN)
        elif channel.session.closing:
            channel.wake()
        else:
            self._poller.watch(channel, channel.reading)

    def _begin_drain(self) -> None:
        """Switch every session to draining; where the kernel has room for a reply, at once."""
        self._poller.listening = EPOLLIN | EPOLLOUT
        for channel in self._poller.all_watched():
            if channel.session is not None and not channel.write_buffer:
                self._poller.watch(channel, self._poller.listening)

    def _finish(self, channel: HubChannel, session: Session) -> None:
        """Answer what has been received by now, the kernel's buffer included, and nothing later.

        One read a turn, as ever: the drain timeout must be able to end it.
        """
        try:
            left = self._left.pop(channel, None)
            if left is None:
                left = channel.waiting()
            if left:
                size = channel.poll(session, left)
                left = max(left - size, channel.buffered) if size else 0
            if not (session.closing or channel.write_buffer or left) and channel.at_eof:
                channel.answer(session, b"")
        except BaseException as error:  # noqa: BLE001 - raised again in the connection's own task
            channel.wake(contained(error))
        else:
            if channel.write_buffer or (left and not session.closing):
                self._left[channel] = left
                self._poller.watch(channel, EPOLLOUT)  # which is at once, if nothing is unsent
            else:
                channel.wake()

    async def _sweep(self) -> None:
        """Wake the task of each connection whose client has let a timeout pass.

        The hot path only leaves a time stamp. Looking at all of them now and then costs less than
        a deadline of its own for each connection, in time and in memory.
        """
        poller = self._poller
        while True:
            with trio.CancelScope() as poller.sweep:
                await poller.machine.sleep(poller.sweep_interval())
            now = trio.current_time()
            for channel in poller.all_watched():
                if (limit := channel.overdue(now)) is not None:
                    channel.wake(TooSlow(limit))
