"""A network in a seed: `Network`."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import trio

from .host import Host
from .kernel import Kernel, TraceEvent
from .links import Conditions, Link
from .pump import Pump
from .scheduling import seed_scheduler
from .world import World

#: The `ulimit -n` of most systems.
_MAX_DESCRIPTORS = 1024

H = TypeVar("H", bound=Host)


class Network:
    """Hosts in memory, and links between them, with the faults that a seed or a test chooses.

    It belongs to one run of trio, and uses its clock: with a `trio.testing.MockClock` that jumps, no time
    is spent on waiting. Nothing of it has to be closed.

    All that happens follows from the seed, from what the programs on the hosts do, and from their order.
    So trio's scheduler is seeded too, for the whole process; a trio that cannot be makes that order
    random, and `ordered` false.

    Args:
        seed: determines all random choices.
        conditions: of the links between different hosts. Within a host nothing goes wrong, unless its link
            to itself is given other conditions.
        traced: whether events are recorded. A harness that plays scripts to one server for hours has no
            memory for that.

    Attributes:
        seed: the seed.
        ordered: whether trio's scheduler could be seeded.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        conditions: Conditions = Conditions(),  # noqa: B008 - immutable
        traced: bool = True,
    ) -> None:
        self.seed = seed
        self.ordered = seed_scheduler(seed)
        self._kernel = Kernel(seed, trio.current_time, traced=traced)
        self._world = World(self._kernel, conditions)
        self._hosts: dict[str, Host] = {}
        Pump(self._kernel)

    def host(self, name: str) -> Host:
        """Return the host of this name, a new one if there is none yet."""
        if name not in self._hosts:
            return self.add_host(name, Host)
        return self._hosts[name]

    def add_host(self, name: str, kind: type[H]) -> H:
        """Return a new host of a class of one's own, whose methods do what a kernel may do.

        Raises:
            ValueError: there is a host of this name.
        """
        if name in self._hosts:
            raise ValueError(f"there is a host {name!r} already")
        host = self._hosts[name] = kind(self._world.add(name, _MAX_DESCRIPTORS))
        return host

    def link(self, source: str, target: str) -> Link:
        """Return the way from one host to another, by their names; the way back is another one."""
        return self._world.link(source, target)

    def random(self, name: str) -> random.Random:
        """Return a source of random choices that follows from the seed and a name."""
        return self._kernel.random_for(f"test/{name}")

    @property
    def trace(self) -> list[TraceEvent]:
        """The events so far, in order."""
        return self._kernel.trace

    @property
    def trace_hash(self) -> str:
        """A hash of the trace; equal for two runs in which the same happened at the same times."""
        return self._kernel.trace_hash

    def reset(self, one: str, other: str) -> None:
        """Reset all connections between two hosts, as a firewall may: both sides see the reset."""
        self.link(one, other).reset()

    def hold(self, one: str, other: str) -> None:
        """Hold everything between two hosts until `release`; nothing is lost."""
        for link in self._between(one, other):
            link.hold()

    def release(self, one: str, other: str) -> None:
        """Deliver what `hold` has held."""
        for link in self._between(one, other):
            link.release()

    def partition(self, one: str, other: str) -> None:
        """Lose what is sent between two hosts until `repair`; see `Link.partition`, for one way of it."""
        for link in self._between(one, other):
            link.partition()

    def repair(self, one: str, other: str) -> None:
        """End a partition."""
        for link in self._between(one, other):
            link.repair()

    @contextmanager
    def partitioned(self, one: str, other: str) -> Iterator[None]:
        """Partition two hosts for as long as a block runs."""
        self.partition(one, other)
        try:
            yield
        finally:
            self.repair(one, other)

    def _between(self, one: str, other: str) -> tuple[Link, Link]:
        return self.link(one, other), self.link(other, one)
