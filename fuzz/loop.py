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


class StuckError(BaseException):
    """No more can be played. It is no Exception, so that it ends a harness that would go on."""


class Loop:
    """A trio run under a mock clock, as a guest of the caller: between calls it stands still.

    Args:
        open_player: yields what plays an input, and keeps open what that needs as long as no input fails.
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
        """Play one input; raises what that raises.

        Raises:
            StuckError: the run has come to its end, or waits for what nothing brings about.
        """
        self._inputs.append(data)
        while not self._outcomes:
            if not self._ticks:
                raise StuckError
            self._ticks.popleft()()
        self._played += 1
        if self._played % _INPUTS_PER_COLLECTION == 0:
            gc.collect()
        self._outcomes.popleft().unwrap()

    async def _answer(self) -> None:
        while True:
            failed = False
            try:
                async with self._open_player() as play:
                    while not failed:
                        failed = await self._fails_next(play)
            except Exception:
                if not failed:  # else what the input has broken may well not close in order
                    raise

    async def _fails_next(self, play: Player) -> bool:
        """Play the next input; return whether it fails, so that nothing may be played behind it."""
        while not self._inputs:
            await trio.lowlevel.cancel_shielded_checkpoint()
        result = await outcome.acapture(play, self._inputs.popleft())
        self._outcomes.append(result)
        return isinstance(result, outcome.Error)
