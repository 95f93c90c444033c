"""Conversations that may be over before they need a task: `InlineTurn`.

Under load, a client's lines have come by the time its connection is accepted, and the end of its
input comes soon after the reply. For such a conversation a task and a place in the hub's epoll would
cost more than all the rest. So an accept loop whose queue is empty answers the connections that it has
just accepted; one that is not over by the end of the turn gets a task. Only if more connections
wait than one turn takes does it wait without one while other tasks run, and once: the accept loop
that carries it over gives it a task if it is cancelled there.
"""

from __future__ import annotations

import socket
from collections import deque
from typing import Final, TypeVar

from caas_trio.core.errors import ConnectionLost, contained
from caas_trio.core.session import Session
from caas_trio.core.telemetry import ServerStats

from .channel import Channel
from .driver import FirstTurn
from .hubchannel import HubChannel
from .machine import Machine
from .poller import EPOLLIN

C = TypeVar("C")

#: How many polls in a row may find a client silent before its connection gets a task. Together they cost
#: about as much as that. Several clients are waited for as long as their tasks would take, up to this many.
_SILENT_ROUNDS: Final = 64
_TASKS_SAVED: Final = 3

#: How much all clients may send together in a turn, in full reads of `Session.max_chunk` bytes, each of
#: which may cost a millisecond. After that the connections get their tasks, and others their turn.
_FULL_READS: Final = 4


class InlineTurn(FirstTurn[C]):
    """Runs new conversations during one turn of an accept loop; see `FirstTurn`.

    Args:
        stats: counts how fast clients are answered; None if nothing is counted.
        machine: what the sockets are on.
    """

    def __init__(self, stats: ServerStats | None, machine: Machine) -> None:
        super().__init__()
        self._stats = stats
        self._machine = machine
        self._reads_left: float = _FULL_READS
        # Each with the marks whether it has been answered, and whether it was carried over.
        self._waiting: deque[tuple[C, HubChannel, Session, bool, bool]] = deque()

    def add(self, connection: C, channel: Channel, session: Session) -> None:
        """Open the conversation of a connection, over a channel of the hub's."""
        assert isinstance(channel, HubChannel)  # noqa: S101 - the driver that made the turn made the channel
        try:
            channel.open(session)
        except BaseException as error:  # noqa: BLE001 - raised again in the connection's own task
            self.remaining.append((connection, contained(error)))
            return
        if channel.write_buffer or session.closing:
            self.remaining.append((connection, None))
        else:
            self._waiting.append((connection, channel, session, False, False))

    def poll(self, listening: socket.socket | None = None) -> bool:
        """Answer what clients have sent; return false if for a while that is nothing, and nobody connects."""
        if not self._waiting or self._reads_left <= 0:
            return False
        if self._serve_once():
            return True
        ready = self._wait_briefly(listening)
        if listening is not None and ready == [(listening.fileno(), EPOLLIN)]:
            return True  # reads would all be in vain
        return bool(ready) and self._serve_once()

    def poll_until_idle(self) -> None:
        """Poll until nothing more comes; each client is read from three times at most."""
        while self.poll():
            pass

    def carry_over(self) -> None:
        """End a turn that another one follows at once; see `FirstTurn.carry_over`.

        After as many reads as a turn may have, no connection waits for the next.
        """
        if self._reads_left <= 0:
            self.spawn_rest()
            return
        for _ in range(len(self._waiting)):
            connection, channel, session, answered, carried = self._waiting.popleft()
            if carried:
                self.remaining.append((connection, None))
            else:
                self._waiting.append((connection, channel, session, answered, True))
        self._reads_left = _FULL_READS

    def spawn_rest(self) -> None:
        """Move all connections that are left to `remaining`."""
        self.remaining += [(connection, None) for connection, *_ in self._waiting]
        self._waiting.clear()
        self._reads_left = _FULL_READS

    def _wait_briefly(self, listening: socket.socket | None) -> list[tuple[int, int]]:
        """Poll for a while until a client has sent something, or connects; return what is ready.

        A read in vain would cost as much as ten of these polls.
        """
        sockets = self._machine.poll()
        if listening is not None:
            sockets.register(listening.fileno(), EPOLLIN)
        for _, channel, *_ in self._waiting:
            sockets.register(channel.sock.fileno(), EPOLLIN)
        rounds = _SILENT_ROUNDS * min(len(self._waiting), _TASKS_SAVED)
        for _ in range(rounds):
            if ready := sockets.poll(0):
                return ready
        return []

    def _serve_once(self) -> bool:
        """Answer what clients have sent by now; return whether there was any input, or an end of input.

        A client that sends more after it has been answered is going to stay: it gets a task.
        """
        monotonic, everyone = self._machine.monotonic, self._waiting
        left, reads, begun = self._reads_left, 0, monotonic()
        for _ in range(len(everyone)):
            connection, channel, session, answered, carried = waiting = everyone.popleft()
            try:
                data = channel.try_recv(session.max_chunk)
            except OSError:  # a reset, which needs no report: many clients end so
                reads += 1
                self._lose(connection, channel)
                continue
            if data is None:
                everyone.append(waiting)
                continue
            reads += 1
            try:
                channel.answer(session, data)
            except ConnectionLost:
                self._lose(connection, channel)
                continue
            except BaseException as error:  # noqa: BLE001 - raised again in the connection's own task
                self.remaining.append((connection, contained(error)))
                continue
            if not data and channel.needs_no_linger:
                channel.close()
                self.ended.append(connection)
                continue
            if answered or channel.write_buffer or session.closing:
                self.remaining.append((connection, None))
            else:
                everyone.append((connection, channel, session, True, carried))
            left -= len(data) / session.max_chunk
            if left <= 0:
                break
        self._reads_left = left
        if reads and self._stats is not None:
            self._stats.served(reads, monotonic() - begun)
        return reads > 0

    def _lose(self, connection: C, channel: HubChannel) -> None:
        """Close the channel of a connection that its client has reset."""
        channel.close()
        self.lost.append(connection)
