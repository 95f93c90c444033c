"""Signals before there is a service to handle them, and after it: loaded first, and at once.

From the first moment, a stop ends the process with 0, and SIGHUP is held: blocked, so that the kernel
keeps it until `caas_trio.program.signals` unblocks it. A signal that was ignored when the process started
(nohup, or the background job of a shell script) stays ignored.
"""

from __future__ import annotations

import os
import signal

TYPE_CHECKING = False  # for type checkers it is true: importing typing takes time
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

#: Two that ask for a stop, and at the second time for an immediate end; one that asks for a reload.
HANDLED: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def handled_signals() -> list[signal.Signals]:
    """Return those of `HANDLED` that are not ignored."""
    return [number for number in HANDLED if signal.getsignal(number) is not signal.SIG_IGN]


def exit_on_stop(leave: Callable[[int], object] = os._exit) -> None:
    """End the process with 0 at a stop from now on, and hold SIGHUP: nothing is served yet.

    Args:
        leave: ends the process; a module that is being imported must not be able to prevent it.
    """
    for number in handled_signals():
        if number != signal.SIGHUP:
            signal.signal(number, lambda *_: leave(0))
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])


def hold_signals() -> None:
    """Block `HANDLED` for good: the kernel keeps the signals, which do nothing unless they are unblocked."""
    signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
