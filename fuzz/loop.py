"""One trio run for all inputs: starting one costs more than playing a script."""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final

import outcome
import trio
from trio.testing import MockClock

from .checks.playing import Player

#: How many inputs are played between two garbage collections. An input leaves few cycles; collecting as
#: often as Python does by itself would cost a fifth of the time.
_INPUTS_PER_COLLECTION: Final = 1000


class Loop:
    """A trio run under a mock clock, as a guest of the caller: between calls it stands still.

    Args:
        open_player: yields what plays an input, and keeps open what that needs as long as the loop runs.
            An input must leave nothing behind, since the next one would find it.
    """

    def __init__(self, open_player: Callable[[], AbstractAsyncContextManager[Player]]) -> None:
        gc.freeze()  # what exists now stays; collections need not walk over it again and again
        gc.disable()
        self._open_player = open_player
        self._played = 0
        self._inputs: deque[bytes] = deque()
        self._outcomes: deque[outcome.Outcome[None]] = deque()
        self._ticks: deque[Callable[[], object]] = deque()
        trio.lowlevel.start_guest_run(
            self._answer,
            run_sync_soon_threadsafe=self._ticks.append,
            done_callback=self._outcomes.append,  # only if the player could not be opened
            clock=MockClock(autojump_threshold=0),
        )

    def __call__(self, data: bytes) -> None:
        """Play one input; raises what that raises."""
        self._inputs.append(data)
        while not self._outcomes:
            self._ticks.popleft()()  # never empty: with this clock the run waits for nothing
        self._played += 1
        if self._played % _INPUTS_PER_COLLECTION == 0:
            gc.collect()
        self._outcomes.popleft().unwrap()

    async def _answer(self) -> None:
        async with self._open_player() as play:
            while True:
                await trio.lowlevel.cancel_shielded_checkpoint()
                while self._inputs:
                    self._outcomes.append(await outcome.acapture(play, self._inputs.popleft()))
