"""One trio run for all inputs: starting one costs more than playing a script."""

from __future__ import annotations

import gc
import queue
import threading
from collections.abc import Awaitable, Callable

import outcome
import trio
from trio.testing import MockClock

from .checks.running import Servers, open_servers


class Loop:
    """A thread in which trio runs under a mock clock, idle between calls.

    Args:
        play: what each call runs. It has to leave nothing behind, since the next call would find it.
    """

    def __init__(self, play: Callable[[bytes, Servers], Awaitable[None]]) -> None:
        gc.freeze()  # what is there now stays; collections need not walk over it again and again
        self._play = play
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
        async with open_servers() as servers:
            while True:
                data = self._inputs.get()  # blocks, which is right: nothing else is to run
                self._outcomes.put(await outcome.acapture(self._play, data, servers))
