"""When a worker that died is replaced, and when that is given up: `Restarts`.

No I/O, no clock, no trio.
"""

from __future__ import annotations

from typing import Final

#: A worker that has been ready for so long (seconds) has lived.
SETTLED: Final = 1.0

#: How long (seconds) the first of those that did not live is waited after; each next one twice as long.
FIRST_DELAY: Final = 0.1

#: So many in a row that did not live are the end.
MAX_FAILURES: Final = 5


class Restarts:
    """Counts the deaths in one place for a worker."""

    def __init__(self) -> None:
        self._failures = 0

    def died(self, ready_for: float | None) -> float | None:
        """Return after how many seconds to start the next one; None to give up.

        Args:
            ready_for: how many seconds the worker had been ready; None if it never was.
        """
        if ready_for is not None and ready_for >= SETTLED:
            self._failures = 0
            return 0.0
        self._failures += 1
        if self._failures == MAX_FAILURES:
            return None
        return float(FIRST_DELAY * 2 ** (self._failures - 1))
