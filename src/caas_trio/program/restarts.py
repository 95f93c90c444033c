"""When a worker that died is replaced, and when its place is given up: `Restarts`.

No I/O, no clock, no trio.
"""

from __future__ import annotations

from typing import Final

#: A worker that has been ready for this long (seconds) counts as a good one.
SETTLED_S: Final = 1.0

#: The delay after the first failure; it doubles with each one that follows.
FIRST_DELAY_S: Final = 0.1

#: The longest delay while there is no room.
MAX_DELAY_S: Final = 5.0

#: After this many failures in a row, the place is given up.
MAX_FAILURES: Final = 5


class Restarts:
    """Counts the failures in one place for a worker."""

    def __init__(self) -> None:
        self._failures = 0
        self._next_delay = FIRST_DELAY_S

    def died(self, ready_for_s: float | None) -> float | None:
        """Return after how many seconds to start the next worker; None to give up.

        Args:
            ready_for_s: how many seconds the worker had been ready; None if it never was.
        """
        self._next_delay = FIRST_DELAY_S
        if ready_for_s is not None and ready_for_s >= SETTLED_S:
            self._failures = 0
            return 0.0
        self._failures += 1
        if self._failures == MAX_FAILURES:
            return None
        return FIRST_DELAY_S * 2.0 ** (self._failures - 1)

    def had_no_room(self) -> float:
        """Return after how many seconds to try again to start a worker that there was no room for.

        That is no failure of the worker's, so it is never given up.
        """
        delay, self._next_delay = self._next_delay, min(2 * self._next_delay, MAX_DELAY_S)
        return delay
