"""Which sockets the hub's epoll watches, and what all channels of a hub share: `Poller`."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any, Final, Protocol

from caas_trio.core.errors import StateError
from caas_trio.core.limits import Limits
from caas_trio.core.telemetry import ServerStats

from .drain import Drain
from .machine import MACHINE, Machine

EPOLLIN: Final = 1  # the same on every Linux; the select module lacks the names elsewhere
EPOLLOUT: Final = 4

#: How many sockets one poll tells of. A bound on the time between two turns of other tasks: a read of the
#: costliest kind takes about a millisecond, and the kernel tells first of those that wait longest.
_EVENTS: Final = 64


class Watched(Protocol):
    """What can be watched.

    Attributes:
        sock: its socket.
        watched: the events that epoll reports; 0 if it is not registered.
    """

    sock: socket.socket
    watched: int


class Poller:
    """An epoll descriptor with the table of what it watches, by descriptor.

    Attributes:
        limits: the timeouts.
        drain: tells of the stop.
        stats: counts what all channels move; None if nobody wants to know.
        counting: whether each channel counts, too.
        counted: whether anything is.
        listening: the events a socket is watched for whose client is to be read from.
        woken: whether tasks are about to run that the hub has woken.
        machine: what the sockets are on.
        channels: what is watched, by descriptor, and None between.
    """

    def __init__(
        self,
        limits: Limits,
        drain: Drain,
        stats: ServerStats | None,
        *,
        counting: bool,
        machine: Machine = MACHINE,
    ) -> None:
        self.limits = limits
        self.drain = drain
        self.stats = stats
        self.counting = counting
        self.counted = counting or stats is not None
        self.listening = EPOLLIN
        self.woken = False
        self.machine = machine
        self.epoll = machine.epoll()
        self.channels: list[Any] = []

    def poll(self) -> list[tuple[int, int]]:
        """Return the descriptors that are ready, without waiting."""
        return self.epoll.poll(0, _EVENTS)

    def watch(self, channel: Watched, events: int) -> None:
        """Watch for these events, for none with 0.

        Raises:
            StateError: the socket is closed.
        """
        if events == channel.watched:
            return
        fd = channel.sock.fileno()
        if fd < 0:
            raise StateError("watch", "closed")
        if not channel.watched:
            self.epoll.register(fd, events)
            if fd >= len(self.channels):
                self.channels += [None] * (fd + 1 - len(self.channels))
            self.channels[fd] = channel
        elif events:
            self.epoll.modify(fd, events)
        else:
            self.channels[fd] = None
            self.epoll.unregister(fd)
        channel.watched = events

    def all_watched(self) -> Iterator[Any]:
        """Yield each channel that is watched."""
        return filter(None, self.channels)

    def close(self) -> None:
        """Close the epoll descriptor."""
        self.epoll.close()
