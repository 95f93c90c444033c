"""The stop, as the connections see it: `Drain`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import trio

#: The shortest wait for input, in seconds: with none at all, trio would cancel a read before it has
#: looked, and what the client has sent already would go unread. What the kernel holds is read at
#: once, however short this is; the layers above it (TLS, memory streams) may need a moment.
DRAIN_READ_TIMEOUT_S: Final = 0.01

#: How long a handshake may still take once the server is stopping: a few round trips.
STOPPING_TIMEOUT_S: Final = 1.0


async def either(*events: trio.Event | None) -> None:
    """Return once one of some events is set; never, if there are none."""
    async with trio.open_nursery() as nursery:

        async def wait(event: trio.Event) -> None:
            await event.wait()
            nursery.cancel_scope.cancel()

        for event in events:
            if event is not None:
                nursery.start_soon(wait, event)
        await trio.sleep_forever()


class Drain:
    """Notifies every connection of a server to finish, and wakes those that wait.

    Attributes:
        begun: whether the server is stopping.
    """

    def __init__(self) -> None:
        self.begun = False
        self._callbacks: dict[Callable[[], None], None] = {}  # in order, unlike a set

    def begin(self) -> None:
        """Ask every connection to finish what it has received; ends all waits for input."""
        self.begun = True
        for callback in list(self._callbacks):
            callback()

    @contextmanager
    def notifying(self, callback: Callable[[], None]) -> Iterator[None]:
        """Call `callback` when the drain begins, if that is within the block; at once if it has begun."""
        if self.begun:
            callback()
        self._callbacks[callback] = None
        try:
            yield
        finally:
            self._callbacks.pop(callback, None)

    @contextmanager
    def opening(self, seconds: float) -> Iterator[trio.CancelScope]:
        """Bound a handshake to `seconds`, and to `STOPPING_TIMEOUT_S` once the drain has begun."""

        def hurry() -> None:
            scope.deadline = min(scope.deadline, trio.current_time() + STOPPING_TIMEOUT_S)

        with trio.move_on_after(seconds) as scope, self.notifying(hurry):
            yield scope

    @contextmanager
    def waiting(self, seconds: float = math.inf) -> Iterator[trio.CancelScope]:
        """Bound a wait for input: until `seconds` are over, or the drain begins.

        Once it has begun, the wait lasts `DRAIN_READ_TIMEOUT_S`: long enough for what is there
        already. `cancelled_caught` of the scope tells whether the wait ended without input.
        """
        with trio.move_on_after(
            DRAIN_READ_TIMEOUT_S if self.begun else max(seconds, DRAIN_READ_TIMEOUT_S)
        ) as scope:
            self._callbacks[scope.cancel] = None
            try:
                yield scope
            finally:
                self._callbacks.pop(scope.cancel, None)
