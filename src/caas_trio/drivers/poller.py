"""Which sockets the hub's epoll watches, and what all channels of a hub share: `Poller`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Protocol

import trio

from caas_trio.core.errors import StateError
from caas_trio.core.limits import Limits
from caas_trio.core.telemetry import ServerStats

from .drain import Drain
from .machine import MACHINE, Machine

EPOLLIN: Final = 1  # the same on every Linux; the select module lacks the names elsewhere
EPOLLOUT: Final = 4

#: How many sockets one poll returns. A bound on the time between two turns of other tasks: a read of the
#: costliest kind takes about a millisecond, and the kernel returns first those that wait longest.
_EVENTS: Final = 64

#: How many waits at most go without polls in a row.
_MAX_WAITS: Final = 64

#: How many times timeouts are checked within the shortest of them, and the longest interval (seconds).
_SWEEPS: Final = 8
_MAX_SWEEP_INTERVAL_S: Final = 1.0


def sweep_interval(limits: Limits) -> float:
    """Return how often timeouts are checked, in seconds."""
    shortest = min(limits.idle_timeout, limits.line_timeout, limits.write_timeout)
    return min(shortest / _SWEEPS, _MAX_SWEEP_INTERVAL_S)


class _HasDescriptor(Protocol):
    def fileno(self) -> int: ...


class Watched(Protocol):
    """A channel that can be watched.

    Attributes:
        watched: the events that epoll reports; 0 if it is not registered.
        limits: its timeouts.
    """

    watched: int
    limits: Limits

    @property
    def sock(self) -> _HasDescriptor:
        """Its socket."""


class Poller:
    """An epoll descriptor with the table of what it watches, by descriptor.

    Attributes:
        limits: the timeouts.
        drain: notified of the stop.
        stats: counts what all channels move; None if nothing is counted.
        counting: whether each channel counts, too.
        counted: whether anything is.
        listening: the events to watch for on a socket that is to be read from.
        woken: whether the hub has woken tasks that have not run yet.
        machine: what the sockets are on.
        channels: what is watched, by descriptor, and None between.
        watching: how many those are.
        sweep: ends the wait for the next check of the timeouts; None if no wait is under way.
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
        self.watching = 0
        self._first: list[tuple[int, int]] = []  # what was ready after the last wait
        self._waits = 0  # how many follow before polls in a row are tried again
        self._waits_next = 1  # and how many, if those are in vain
        self.sweep: trio.CancelScope | None = None

    def poll(self) -> list[tuple[int, int]]:
        """Return the descriptors that are ready, without waiting."""
        return self.epoll.poll(0, _EVENTS)

    def after_wait(self) -> list[tuple[int, int]]:
        """Return the descriptors that are ready, or the only one that is watched: no poll has to name it."""
        if self.lone() is None:
            self._first = self.poll()
        return self._first

    def lone(self) -> Any:
        """Return the only channel that is watched; None if there are more, or it was not seen yet."""
        first = self._first
        return self.channels[first[0][0]] if self.watching == 1 and len(first) == 1 else None

    def prompt(self) -> Any:
        """Return the channel of a client that is alone and may answer at once, for `poll_on`; or None.

        One that does not costs little: after each time in vain, None is returned twice as many times as
        after the one before.
        """
        if self._waits:
            self._waits -= 1
            return None
        return self.lone()

    def poll_on(self) -> list[tuple[int, int]]:
        """Poll for about as long as a wait would take; return what is ready."""
        for _ in range(self.machine.busy_polls):
            if ready := self.poll():
                self._waits_next = 1
                return ready
        self._waits, self._waits_next = self._waits_next, min(2 * self._waits_next, _MAX_WAITS)
        return []

    def watch(self, channel: Watched, events: int) -> None:
        """Watch for these events; for none with 0.

        Raises:
            StateError: the socket is closed.
        """
        if events == channel.watched:
            return
        fd = channel.sock.fileno()
        if fd < 0:
            raise StateError("watch", "closed")
        if not channel.watched:
            if channel.limits is not self.limits:
                self.sweep_for(channel.limits)
            self.epoll.register(fd, events)
            if fd >= len(self.channels):
                self.channels += [None] * (fd + 1 - len(self.channels))
            self.channels[fd] = channel
            self.watching += 1
        elif events:
            self.epoll.modify(fd, events)
        else:
            self.channels[fd] = None
            self.watching -= 1
            self.epoll.unregister(fd)
        channel.watched = events

    def sweep_for(self, limits: Limits) -> None:
        """Check the timeouts as soon as the limits of one channel demand."""
        if self.sweep is not None:
            self.sweep.deadline = min(self.sweep.deadline, trio.current_time() + sweep_interval(limits))

    def sweep_interval(self) -> float:
        """Return how soon the timeouts of all watched channels are to be checked, in seconds."""
        interval = sweep_interval(self.limits)
        for channel in self.all_watched():
            if channel.limits is not self.limits:
                interval = min(interval, sweep_interval(channel.limits))
        return interval

    def all_watched(self) -> Iterator[Any]:
        """Yield each channel that is watched."""
        return filter(None, self.channels)

    def close(self) -> None:
        """Close the epoll descriptor."""
        self.epoll.close()
