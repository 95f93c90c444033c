"""Runs a simulated network's events as trio's clock goes on: `Pump`."""

from __future__ import annotations

import math

import trio

from .kernel import Kernel


class Pump:
    """Runs a kernel's events when they are due, in a system task that lasts as long as there are any."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._sleep: trio.CancelScope | None = None
        kernel.scheduled = self._scheduled

    def _scheduled(self) -> None:
        if self._sleep is None:
            self._sleep = trio.CancelScope()
            trio.lowlevel.spawn_system_task(self._run)
        else:
            self._sleep.deadline = self._kernel.next_due

    async def _run(self) -> None:
        kernel = self._kernel
        while kernel.next_due < math.inf:
            with trio.CancelScope(deadline=kernel.next_due) as self._sleep:
                await trio.sleep_forever()
            kernel.run_due()
        self._sleep = None
