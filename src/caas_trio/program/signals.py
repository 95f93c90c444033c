"""What the signals ask for: `handle_signals`."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Callable
from typing import Final

#: Two that ask for a stop, a second of which cuts everything off, and one that asks for a reload.
HANDLED: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


async def handle_signals(
    signals: AsyncIterator[int],
    *,
    again: Callable[[], object],
    stop: Callable[[], object],
    cut: Callable[[], object],
) -> None:
    """Do what each signal asks for: read the settings again, stop, and cut everything off.

    Once it stops, there is nothing that other settings would be for.
    """
    stopping = False
    async for number in signals:
        if number == signal.SIGHUP:
            if not stopping:
                again()
        elif stopping:
            cut()
        else:
            stopping = True
            stop()


def ignore_signals() -> None:
    """Have the end of this process left alone: one signal too many must not spoil it."""
    for number in HANDLED:
        signal.signal(number, signal.SIG_IGN)
