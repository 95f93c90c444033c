"""Playing one input in a run of its own, and failures that come out of nurseries."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TypeAlias

import trio
from trio.testing import MockClock

Player: TypeAlias = Callable[[bytes], Awaitable[None]]


def play_alone(open_player: Callable[[], AbstractAsyncContextManager[Player]], data: bytes) -> None:
    """Play one input in a trio run of its own, under a mock clock that jumps."""

    async def play_once() -> None:
        with unwrapped():
            async with open_player() as play:
                await play(data)

    trio.run(play_once, clock=MockClock(autojump_threshold=0))


@contextmanager
def unwrapped() -> Iterator[None]:
    """Raise what is in a group of one instead of the group, so that a failure names itself."""
    try:
        yield
    except ExceptionGroup as group:
        error: Exception = group
        while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        raise error from None
