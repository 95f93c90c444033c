"""One trio run for all inputs: starting one costs more than playing a script."""

from __future__ import annotations

import gc
import queue
import threading
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias

import outcome
import trio
from trio.testing import MockClock

Player: TypeAlias = Callable[[bytes], Awaitable[None]]


class Loop:
    """A thread in which trio runs under a mock clock, idle between calls.

    Args:
        open_player: gives what plays an input, and what that needs for as long as the loop runs. An
            input has to leave nothing behind, since the next one would find it.
    """

    def __init__(self, open_player: Callable[[], AbstractAsyncContextManager[Player]]) -> None:
        gc.freeze()  # what is there now stays; collections need not walk over it again and again
        self._open_player = open_player
        self._inputs: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._outcomes: queue.SimpleQueue[outcome.Outcome[None]] = queue.SimpleQueue()
        threading.Thread(target=self._run, daemon=True).start()

    def __call__(self, data: bytes) -> None:
        """Play one input; raises what that raises."""
        self._inputs.put(data)
        self._outcomes.get().unwrap()

    def _run(self) -> None:
        trio.run(self._answer, clock=MockClock(autojump_threshold=0))

    async def _answer(self) -> None:
        async with self._open_player() as play:
            while True:
                data = self._inputs.get()  # blocks, which is right: nothing else is to run
                self._outcomes.put(await outcome.acapture(play, data))
