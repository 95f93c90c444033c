"""One trio run for all inputs: starting one costs more than playing a script."""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias

import outcome
import trio
from trio.testing import MockClock

Player: TypeAlias = Callable[[bytes], Awaitable[None]]


class Loop:
    """A trio run under a mock clock, as a guest of whoever calls: between calls it stands still.

    Args:
        open_player: gives what plays an input, and what that needs for as long as the loop runs. An
            input has to leave nothing behind, since the next one would find it.
    """

    def __init__(self, open_player: Callable[[], AbstractAsyncContextManager[Player]]) -> None:
        gc.freeze()  # what is there now stays; collections need not walk over it again and again
        self._open_player = open_player
        self._ticks: deque[Callable[[], object]] = deque()
        self._inputs: deque[bytes] = deque()
        self._outcomes: deque[outcome.Outcome[None]] = deque()
        trio.lowlevel.start_guest_run(
            self._answer,
            run_sync_soon_threadsafe=self._ticks.append,
            done_callback=self._outcomes.append,  # nothing should end it
            clock=MockClock(autojump_threshold=0),
        )

    def __call__(self, data: bytes) -> None:
        """Play one input; raises what that raises."""
        self._inputs.append(data)
        while not self._outcomes:
            self._ticks.popleft()()
        self._outcomes.popleft().unwrap()

    async def _answer(self) -> None:
        async with self._open_player() as play:
            while True:
                await trio.lowlevel.checkpoint()
                while self._inputs:
                    self._outcomes.append(await outcome.acapture(play, self._inputs.popleft()))
