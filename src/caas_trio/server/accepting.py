"""Taking connections from listening sockets: `Acceptor`."""

from __future__ import annotations

import enum
import errno
import socket
from collections.abc import Awaitable, Callable, Collection, Iterable
from functools import partial
from typing import Any, Final, Generic

import trio

from caas_trio.core.telemetry import ListenerStats
from caas_trio.drivers.driver import FirstTurn

from .admission import SpareDescriptor, words_for
from .listeners import stream_options
from .served import S, ServedConnection, Shared
from .socketoptions import SocketOptions
from .watchdog import Watchdog

#: How many connections one wake-up accepts before other tasks have their turn, where other processes accept
#: from the same socket: the first to wake up must not take all.
#: 1000 connections that come together go to two processes as unevenly as 880 to 120 with bursts of 64,
#: and as 688 to 312 with these; still smaller ones change little.
_SHARED_BURST: Final = 4

#: Out of descriptors or memory: accepting pauses, as long as trio's own does.
_NO_ROOM: Final = SpareDescriptor.RAN_OUT | {errno.ENOBUFS, errno.ENOMEM}
_RETRY_DELAY_S: Final = 0.1

#: accept(2): errors of the connection that was to be accepted, not of the listening socket.
_ITS_OWN_FAULT: Final = frozenset(
    {
        errno.ECONNABORTED,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ENOPROTOOPT,
        errno.EOPNOTSUPP,
        errno.EPERM,
        errno.EPROTO,
        errno.ETIMEDOUT,
    }
)


class Ended(enum.Enum):
    """Why accepting has ended, for now."""

    IDLE = "no connection waits, or none may be accepted"
    FULL = "it is other tasks' turn"
    NO_ROOM = "the machine has no room"


class Acceptor(Generic[S]):
    """Takes connections, and opens each.

    Args:
        kind: what each connection becomes.
        shared: what all of them share.
        spare: lets a connection be refused when descriptors have run out.
        watchdog: ticked in each round.
        bare: the listening sockets whose connections do not inherit their options.
        options: those.
    """

    def __init__(
        self,
        kind: type[ServedConnection[S]],
        shared: Shared[S],
        *,
        spare: SpareDescriptor,
        watchdog: Watchdog,
        bare: Collection[socket.socket],
        options: SocketOptions,
    ) -> None:
        self._kind = kind
        self._shared = shared
        self._screening = shared.screening
        self._spare = spare
        self._watchdog = watchdog
        self._bare = bare
        self._machine = shared.machine
        self._options = options
        self._turn: FirstTurn[ServedConnection[Any]] = shared.driver.first_turn()

    async def accept(self, sock: socket.socket, listener: ListenerStats, *, shared: bool) -> None:
        """Accept from a listening socket, which other processes may share, until cancelled."""
        burst = _SHARED_BURST if shared else self._machine.accept_burst
        until_ready = partial(self._until_ready, sock)
        until_next: Callable[[], Awaitable[None]] = until_ready
        try:
            while True:
                self._watchdog.tick(sock)
                if not await self._watchdog.wait(until_next):
                    continue
                ended = self.accept_waiting(sock, listener, burst, goes_on=not shared)
                at_once = ended is Ended.FULL and not shared
                until_next = trio.lowlevel.checkpoint if at_once else until_ready
                if ended is Ended.NO_ROOM:
                    await trio.sleep(_RETRY_DELAY_S)
        finally:
            self._end_turn()

    async def _until_ready(self, sock: socket.socket) -> None:
        await self._shared.admission.wait_while_shut()
        await self._machine.wait_readable(sock)

    def accept_waiting(
        self, sock: socket.socket, listener: ListenerStats, limit: int, *, goes_on: bool = False
    ) -> Ended:
        """Accept at most `limit` connections from the queue; return why no more.

        Args:
            sock: the listening socket.
            listener: counts them.
            limit: how many.
            goes_on: whether, after `Ended.FULL`, the next call follows at once: connections that came in this
                one may be without a task until then.
        """
        try:
            ended = self._accept_waiting(sock, listener, limit)
            if ended is Ended.FULL and goes_on:
                self._turn.carry_over()
                self._take_over()
                return ended
            if ended is Ended.FULL:
                self._turn.poll_until_idle()
        except BaseException:
            self._end_turn()
            raise
        self._end_turn()
        return ended

    def _accept_waiting(  # noqa: C901 - one branch for each thing that accept can say
        self, sock: socket.socket, listener: ListenerStats, limit: int
    ) -> Ended:
        shared = self._shared
        family, kind, accept = sock.family, sock.type, self._machine.accept
        options = stream_options(family, self._options) if sock in self._bare else []
        turn = None if shared.needs_task(listener.endpoint) else self._turn
        for _ in range(limit):
            if shared.admission.shut:
                return Ended.IDLE
            try:
                accepted, address = accept(sock, family, kind)
            except BlockingIOError:
                more = self._turn.poll(sock)
                self._take_over()
                if not more:
                    return Ended.IDLE
            except OSError as error:
                if error.errno in _ITS_OWN_FAULT:
                    continue
                if error.errno not in _NO_ROOM:
                    raise
                if not self._refuse_for_want_of_room(error, sock, listener):
                    return Ended.NO_ROOM
            else:
                if options:
                    _set(options, accepted)
                connection = self._kind(shared, accepted, listener)
                connection.open(address, turn, screening=self._screening)
        return Ended.FULL

    def _end_turn(self) -> None:
        """Spawn a task for each connection that is left."""
        self._turn.spawn_rest()
        self._take_over()

    def _take_over(self) -> None:
        """Close the connections that have ended in this turn, and start a task for each that needs one."""
        turn = self._turn
        for connection in turn.ended:
            connection.end_inline()
        turn.ended.clear()
        for connection in turn.lost:
            connection.lose_inline()
        turn.lost.clear()
        for connection, error in turn.remaining:
            connection.spawn(error)
        turn.remaining.clear()

    def _refuse_for_want_of_room(self, error: OSError, sock: socket.socket, listener: ListenerStats) -> bool:
        """Report that the machine has no room; return whether a connection could be refused for that."""
        self._shared.telemetry.accept_failed(error, listener.endpoint)
        if error.errno not in SpareDescriptor.RAN_OUT:
            return False
        return self._spare.reject(sock, words_for(listener.endpoint))


def _set(options: Iterable[tuple[int, int, int]], accepted: socket.socket) -> None:
    try:
        for level, name, value in options:
            accepted.setsockopt(level, name, value)
    except OSError:
        return  # the client has reset the connection; the first read will show that
