"""What the command line tells on standard error while it serves: `Reports`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

import trio

from .endpoint import Endpoint
from .peer import Peer
from .telemetry import Telemetry

#: A kind of event is told once within so many seconds; what repeats it is counted.
INTERVAL: Final = 10.0


class Reports(Telemetry):
    """Tells what happens, a line each, and a flood of the same in one line per interval."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._told_at: dict[str, float] = {}
        self._untold: Counter[str] = Counter()

    def conversation_failed(self, error: Exception, endpoint: Endpoint, peer: Peer) -> None:
        """Tell of a bug."""
        self._report(
            "conversations that failed", f"a conversation with {peer} on {endpoint} failed: {error!r}"
        )

    def connection_refused(self, reason: str, endpoint: Endpoint, peer: Peer) -> None:
        """Tell of a connection that was not let in."""
        self._report(reason, f"refused {peer} on {endpoint}: {reason}")

    def accept_failed(self, error: OSError, endpoint: Endpoint) -> None:
        """Tell that the machine had no room."""
        self._report(
            "no room for another connection",
            f"no room for another connection on {endpoint}: {error.strerror}",
        )

    def drain_timed_out(self) -> None:
        """Tell that the drain was not complete."""
        self._tell("the drain timeout is over; unfinished conversations were cut off")

    def close(self) -> None:
        """Tell how much was counted and not told."""
        for kind, untold in self._untold.items():
            self._tell(f"and {untold} more: {kind}")
        self._untold.clear()

    def _report(self, kind: str, message: str) -> None:
        now = trio.current_time()
        if now - self._told_at.get(kind, -INTERVAL) < INTERVAL:
            self._untold[kind] += 1
            return
        self._told_at[kind] = now
        untold = self._untold.pop(kind, 0)
        self._tell(f"{message} (and {untold} more like this since)" if untold else message)
