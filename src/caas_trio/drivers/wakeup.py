"""What the hub wakes a task with: `WakeUp`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import TypeVar

import outcome

T = TypeVar("T")


class WakeUp(outcome.Outcome[None]):
    """What a parked task is woken with: nothing. One object serves all.

    An `outcome.Value` is good for once, and to make and unwrap it is a quarter of what trio takes to
    wake a task, which a handler pays for each line.
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
