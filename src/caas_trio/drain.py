"""The stop, as the connections see it: `Drain`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import trio

#: How long a connection that drains waits for bytes the client may already have sent, in seconds.
#: What the kernel holds is read at once, however short this is; it is there for the layers above
#: the kernel (TLS, memory streams) that need a moment to hand on what they hold.
QUIET: Final = 0.01


class Drain:
    """Tells every connection of a server that it is to finish, and wakes those that wait.

    Attributes:
        begun: whether the server is stopping.
    """

    def __init__(self) -> None:
        self.begun = False
        self._waits: set[trio.CancelScope] = set()

    def begin(self) -> None:
        """Ask every connection to finish what it has received; ends all waits for input."""
        self.begun = True
        for scope in self._waits:
            scope.cancel()

    @contextmanager
    def waiting(self, patience: float = math.inf) -> Iterator[trio.CancelScope]:
        """Bound a wait for input: until `patience` seconds are over, or the drain begins.

        Once it has begun, the wait lasts `QUIET` seconds at most: long enough for what is there
        already. `cancelled_caught` of the scope tells whether the wait ended without input.
        """
        if self.begun:
            patience = min(patience, QUIET)
        with trio.move_on_after(patience) as scope:
            self._waits.add(scope)
            try:
                yield scope
            finally:
                self._waits.discard(scope)
