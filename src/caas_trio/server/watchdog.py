"""Signs of life of the loops that take connections and datagrams: `Watchdog`."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

import trio


def _nothing() -> None:
    """Do nothing."""


class Watchdog:
    """Calls `beat` as long as every loop that takes connections or datagrams runs.

    Args:
        beat: called from the loops themselves; it must not block.
        longest: how many seconds may lie between two calls, at most; `math.inf` for no call.

    Attributes:
        turn: how many seconds a loop may wait at a time.
    """

    def __init__(self, beat: Callable[[], object] = _nothing, longest: float = math.inf) -> None:
        self.turn = longest / 2
        self._beat = beat
        self._due = -math.inf if longest < math.inf else math.inf
        self._loops: set[object] = set()
        self._missing: set[object] = set()

    def unregister(self, loop: object) -> None:
        """Note that a loop is over."""
        self._loops.discard(loop)
        self._missing.discard(loop)

    def tick(self, loop: object) -> None:
        """Note that a loop has run."""
        self._loops.add(loop)
        self._missing.discard(loop)
        now = trio.current_time()
        if now >= self._due and not self._missing:
            self._due = now + self.turn
            self._missing = set(self._loops)
            self._beat()

    async def wait(self, until_ready: Callable[[], Awaitable[object]]) -> bool:
        """Wait for something, a turn long at most; return whether it has come."""
        if self.turn == math.inf:  # no need for a cancel scope, which costs as much as the wait
            await until_ready()
            return True
        with trio.move_on_after(self.turn) as scope:
            await until_ready()
        return not scope.cancelled_caught
