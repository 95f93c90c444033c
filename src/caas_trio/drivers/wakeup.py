"""The value that the hub wakes a task with: `WakeUp`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import TypeVar

import outcome

T = TypeVar("T")


class WakeUp(outcome.Outcome[None]):
    """Wakes a parked task, with None. One object serves all.

    An `outcome.Value` can be used once, and making and unwrapping it is a quarter of the cost of waking a
    task, which a handler pays for each line.
    """

    __slots__ = ()

    def unwrap(self) -> None:
        """Return None."""

    def send(self, gen: Generator[T, None, object]) -> T:
        """Send None."""
        return gen.send(None)

    async def asend(self, agen: AsyncGenerator[T, None]) -> T:
        """Send None."""
        return await agen.asend(None)
