"""How fast hosts connect: `HostRates`, a token bucket for each of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final

import trio

#: How many hosts are remembered. Each is forgotten a second after its last connection, so more than these
#: would have to connect within one second.
MAX_HOSTS: Final = 65536

#: The rounding error allowed for sums of intervals, in seconds.
_ROUNDING_S: Final = 1e-6


class HostRates:
    """Holds each host to a rate of new connections; as many as come in a second may come at once.

    A full bucket is as good as none, so the memory is that of the hosts that have connected in the last
    second, `MAX_HOSTS` at most. Of one more, the host that has been silent for longest is forgotten: its
    bucket is full again a little too early.

    Args:
        rate: how many connections per second, 1 or more.
        clock: returns the time in seconds.
        max_hosts: how many hosts are remembered.
    """

    def __init__(
        self, rate: int, clock: Callable[[], float] = trio.current_time, max_hosts: int = MAX_HOSTS
    ) -> None:
        self._interval = 1 / rate
        self._clock = clock
        self._max_hosts = max_hosts
        self._full_at: OrderedDict[Hashable, float] = OrderedDict()  # the one that connected last at the end

    def __len__(self) -> int:
        """Return how many hosts are remembered."""
        return len(self._full_at)

    def admit(self, host: Hashable) -> bool:
        """Count a connection; return false, and count nothing, if it comes too early."""
        now = self._clock()
        full_at = max(self._full_at.get(host, now), now) + self._interval
        if full_at - now > 1 + _ROUNDING_S:
            return False
        self._full_at[host] = full_at
        self._full_at.move_to_end(host)
        self._forget(now)
        return True

    def _forget(self, now: float) -> None:
        """Forget hosts whose buckets are full, two at a time, so that no connection pays for many."""
        for _ in range(2):
            oldest, full_at = next(iter(self._full_at.items()))
            if full_at > now and len(self._full_at) <= self._max_hosts:
                return
            del self._full_at[oldest]
