"""The links between simulated hosts, and their faults: `Conditions`, `Link`."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from .kernel import Kernel

#: The interval at which the pieces of a cut stream arrive (seconds), or they would be read as one.
_GAP_S: Final = 0.001

#: How long a lost segment or SYN waits for its first retransmission, and at most (seconds).
RETRY_S: Final = 1.0
_MAX_RETRY_S: Final = 120.0


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """The faults of a link; by default, none.

    Attributes:
        latency: how many seconds everything takes to arrive.
        jitter: how many random seconds are added, at most.
        rate: how many bytes arrive in a second, at most.
        cuts: the probability that a piece of a stream is cut once more, at any byte.
        stall: the probability that a piece of a stream waits for `stall_time`, and all that follows it.
        stall_time: in seconds.
        reset: the probability that a connection is reset, after at most `reset_within` bytes one way.
        reset_within: in bytes.
        loss: the probability that a datagram is lost.
        duplication: the probability that it arrives twice.
        reordering: the probability that those that were sent after it overtake it.
    """

    latency: float = 0.0
    jitter: float = 0.0
    rate: float = math.inf
    cuts: float = 0.0
    stall: float = 0.0
    stall_time: float = 1.0
    reset: float = 0.0
    reset_within: int = 1000
    loss: float = 0.0
    duplication: float = 0.0
    reordering: float = 0.0

    @property
    def are_clear(self) -> bool:
        """Whether all streams arrive at once, in one piece."""
        return not (self.latency or self.jitter or self.cuts or self.stall) and self.rate == math.inf

    @classmethod
    def drawn(cls, choices: random.Random, *, resets: bool = True) -> Conditions:
        """Return randomly chosen conditions; each is harmless in most cases.

        Args:
            choices: the source.
            resets: whether connections may be reset.
        """

        def some(value: float) -> float:
            return choices.choice((0.0, 0.0, value * choices.random()))

        return cls(
            latency=some(0.2),
            jitter=some(0.1),
            rate=choices.choice((math.inf, math.inf, 10.0 ** choices.uniform(3, 6))),
            cuts=choices.choice((0.0, 0.5, 0.9)),
            stall=some(0.2),
            stall_time=choices.uniform(0.1, 3),
            reset=some(0.5) if resets else 0.0,
            loss=some(0.5),
            duplication=some(0.5),
            reordering=some(0.5),
        )


class Blocked(Protocol):
    """A sender that waits until a link is open again."""

    def push(self) -> object:
        """Send on."""


class Breakable(Protocol):
    """One direction of a connection over a link."""

    def break_off(self) -> object:
        """Reset the connection."""


class Link:
    """One way from a host to another.

    Attributes:
        name: which one, as text.
        is_open: whether it carries anything now.
        is_clear: whether it carries everything at once, in one piece.
        choices: the source of its random choices.
        carried: the directions of connections that go over it.
    """

    def __init__(self, kernel: Kernel, name: str, conditions: Conditions) -> None:
        self.name = name
        self.choices = kernel.random_for(name)
        self.carried: dict[Breakable, None] = {}
        self._kernel = kernel
        self._held = False
        self._partitioned_at: float | None = None
        self._waiting: dict[Blocked, None] = {}
        self._free_at = 0.0
        self._conditions = conditions
        self._changed()

    @property
    def conditions(self) -> Conditions:
        """What it does to what departs from now on."""
        return self._conditions

    @conditions.setter
    def conditions(self, conditions: Conditions) -> None:
        self._conditions = conditions
        self._changed()

    def _changed(self) -> None:
        """Note what there is to ask for each piece."""
        self.is_open = not self._held and self._partitioned_at is None
        self.is_clear = self.is_open and self._conditions.are_clear

    @property
    def loses(self) -> bool:
        """Whether what is sent now is lost, and not only late."""
        return self._partitioned_at is not None

    def wait(self, blocked: Blocked) -> None:
        """Send `blocked` on when the link is open again."""
        self._waiting[blocked] = None

    def reset(self) -> None:
        """Reset all connections that go over it, whichever side has opened them: both sides see the reset."""
        for each in list(self.carried):
            each.break_off()

    def hold(self) -> None:
        """Carry nothing until `release`; nothing is lost."""
        self._kernel.record(self.name, "hold")
        self._held = True
        self._changed()

    def release(self) -> None:
        """Carry again; what has waited goes first."""
        self._kernel.record(self.name, "release")
        self._held = False
        self._changed()
        self._send_on()

    def partition(self) -> None:
        """Lose all that is sent until `repair`: datagrams for good; streams repeat what is lost."""
        self._kernel.record(self.name, "partition")
        if self._partitioned_at is None:
            self._partitioned_at = self._kernel.now
            self._changed()

    def repair(self) -> None:
        """Carry again. Streams notice when they next repeat what was lost, as TCP does."""
        self._kernel.record(self.name, "repair")
        if self._partitioned_at is not None:
            lost_for = self._kernel.now - self._partitioned_at
            self._partitioned_at = None
            self._changed()
            # Each retransmission waits as long as all before it together.
            self._kernel.after(min(lost_for, _MAX_RETRY_S), self._send_on)

    def delay(self, size: int) -> float:
        """Return in how many seconds a piece of a given size arrives that departs now."""
        conditions = self.conditions
        departs = self._kernel.now
        if conditions.rate != math.inf:
            departs = self._free_at = max(departs, self._free_at) + size / conditions.rate
        jitter = conditions.jitter and self.choices.uniform(0, conditions.jitter)
        return departs - self._kernel.now + conditions.latency + jitter

    def happens(self, probability: float) -> bool:
        """Return whether an event of this probability happens."""
        return probability > 0 and self.choices.random() < probability

    def piece(self, size: int) -> tuple[int, float]:
        """Return how many of the bytes go in one piece, and for how long the rest waits (seconds)."""
        whole = size
        while size > 1 and self.happens(self.conditions.cuts):
            size = self.choices.randrange(1, size)
        return size, _GAP_S if size < whole else 0.0

    def _send_on(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for blocked in waiting:
            blocked.push()


def schedule_datagram(link: Link, kernel: Kernel, size: int, deliver: Callable[[], object]) -> None:
    """Carry a datagram over a link, or lose it."""
    conditions = link.conditions
    if link.loses or link.happens(conditions.loss):
        kernel.record(link.name, "lost")
        return
    copies = 2 if link.happens(conditions.duplication) else 1
    for _ in range(copies):
        late = conditions.latency + conditions.jitter + _GAP_S if link.happens(conditions.reordering) else 0.0
        seconds = link.delay(size) + late
        if seconds or not link.is_open:
            _Departure(link, kernel, seconds, deliver).push()
        else:
            deliver()


class _Departure:
    """A datagram that waits for its link to carry again, or for its time."""

    def __init__(self, link: Link, kernel: Kernel, seconds: float, deliver: Callable[[], object]) -> None:
        self._link = link
        self._kernel = kernel
        self._seconds = seconds
        self._deliver = deliver

    def push(self) -> None:
        """Send it, or keep waiting."""
        if self._link.is_open:
            self._kernel.after(self._seconds, self._deliver)
        else:
            self._link.wait(self)
