"""Time and events of a simulated network, and the record of what has happened: `Kernel`."""

from __future__ import annotations

import hashlib
import heapq
import math
import random
from collections.abc import Callable
from typing import Final, NamedTuple

#: Decimals of the times in a trace: microseconds.
_DECIMALS: Final = 6


class TraceEvent(NamedTuple):
    """One thing that happened.

    Attributes:
        time: when, in seconds since the network was first used.
        where: the connection, datagram socket or link it happened to, as text.
        what: what happened: `sent`, `arrived`, `fin`, `reset`, ...
        data: the bytes it was about, b"" if none.
    """

    time: float
    where: str
    what: str
    data: bytes = b""


class Kernel:
    """The events to come, in order, and the record of past ones. It never waits: its caller calls `run_due`.

    Args:
        seed: determines every random choice.
        clock: returns the time in seconds.
        traced: whether `record` does anything.

    Attributes:
        trace: the past events.
        scheduled: called when an event is to happen earlier than all others.
    """

    def __init__(self, seed: int, clock: Callable[[], float], *, traced: bool = True) -> None:
        self.trace: list[TraceEvent] = []
        self.scheduled: Callable[[], object] = lambda: None
        self._seed = seed
        self._traced = traced
        self._clock = clock
        self._begun: float | None = None
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._count = 0
        self._hash = hashlib.blake2b(digest_size=16)
        self._hashed = 0

    @property
    def now(self) -> float:
        """The time by the clock."""
        now = self._clock()
        if self._begun is None:
            self._begun = now
        return now

    @property
    def next_due(self) -> float:
        """When the next event is to happen; `math.inf` if there is none."""
        return self._events[0][0] if self._events else math.inf

    @property
    def trace_hash(self) -> str:
        """A hash of the trace: equal for equal traces."""
        for event in self.trace[self._hashed :]:
            self._hash.update(repr((*event[:3], len(event.data))).encode())
            self._hash.update(event.data)
        self._hashed = len(self.trace)
        return self._hash.hexdigest()

    def random_for(self, name: str) -> random.Random:
        """Return a source of random choices that depends on the seed and this name alone."""
        return random.Random(f"{self._seed}/{name}")  # noqa: S311 - to be repeated, not to be secret

    def after(self, seconds: float, action: Callable[[], object]) -> None:
        """Call `action` in `seconds`; actions of the same time run in the order of these calls."""
        self._count += 1
        event = (self.now + seconds, self._count, action)
        heapq.heappush(self._events, event)
        if self._events[0] is event:
            self.scheduled()

    def run_due(self) -> None:
        """Run the events whose time has come."""
        while self._events and self._events[0][0] <= self.now:
            heapq.heappop(self._events)[2]()

    def record(self, where: str, what: str, data: bytes = b"") -> None:
        """Add to the trace."""
        if not self._traced:
            return
        since = self.now - (self._begun or 0.0)
        self.trace.append(TraceEvent(round(since, _DECIMALS), where, what, data))
