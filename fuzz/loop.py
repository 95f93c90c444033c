"""One trio run for all inputs: starting one costs more than playing a script."""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, TypeAlias

import outcome
import trio

from .lean import clock_that_jumps, lean

Player: TypeAlias = Callable[[bytes], Awaitable[None]]

#: So many inputs are played between two collections of garbage. Of cycles an input leaves few; looking for
#: them as often as Python does by itself would cost a fifth of the time.
_COLLECT: Final = 1000


class Loop:
    """A trio run under a mock clock, as a guest of the caller: between calls it stands still.

    Args:
        open_player: gives what plays an input, and what that needs for as long as the loop runs. An
            input has to leave nothing behind, since the next one would find it.
    """

    def __init__(self, open_player: Callable[[], AbstractAsyncContextManager[Player]]) -> None:
        gc.freeze()  # what is there now stays; collections need not walk over it again and again
        gc.disable()
        self._open_player = open_player
        self._played = 0
        self._inputs: deque[bytes] = deque()
        self._outcomes: deque[outcome.Outcome[None]] = deque()
        ticks: deque[Callable[[], object]] = deque()
        clock = clock_that_jumps()
        trio.lowlevel.start_guest_run(
            self._answer,
            run_sync_soon_threadsafe=ticks.append,
            done_callback=self._outcomes.append,  # nothing should end it
            clock=clock,
        )
        # A tick is a step of trio's loop and a look at what is ready, in wrappings for a host with more to
        # do. Without them it takes a tenth less; nothing public does that.
        [tick] = ticks
        self._state: Any = getattr(tick, "__self__")  # noqa: B009
        lean(self._state.runner, clock)
        self._poll = self._state.runner.io_manager._epoll.poll  # what its `get_events` calls

    def __call__(self, data: bytes) -> None:
        """Play one input; raises what that raises."""
        step = self._state.unrolled_run_gen.send
        look = self._poll
        self._inputs.append(data)
        try:
            while not self._outcomes:
                step(look(0))
        except StopIteration:  # the players could not be opened
            self._state.runner.main_task_outcome.unwrap()
        self._played += 1
        if self._played % _COLLECT == 0:
            gc.collect()
        self._outcomes.popleft().unwrap()

    async def _answer(self) -> None:
        async with self._open_player() as play:
            while True:
                await trio.lowlevel.cancel_shielded_checkpoint()
                while self._inputs:
                    self._outcomes.append(await outcome.acapture(play, self._inputs.popleft()))
