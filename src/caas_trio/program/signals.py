"""Signals while the service runs: `receive_signals`, `handle_signals`, `signals_held`; `Terminal`."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Final

import trio

from .startup import HANDLED, handled_signals

#: The errors of open(2) for /dev/tty where the process has no terminal, or one that has been hung up.
_NO_TERMINAL: Final = frozenset({errno.ENXIO, errno.EIO})


@contextmanager
def signals_held() -> Iterator[None]:
    """Block `HANDLED` for a block of code; a process started meanwhile begins with them blocked."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def stops_released() -> Iterator[None]:
    """Unblock SIGTERM and SIGINT for a block of code, which `exit_on_stop` lets them end."""
    before = signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM, signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def receive_signals(
    wanted: Collection[signal.Signals] = HANDLED,
) -> Iterator[AsyncIterator[int]]:
    """Yield the signals that arrive from now on, and first those that were held until now.

    Signals that are ignored stay ignored. On exit, signals are held again if they were held before.

    Args:
        wanted: which of `HANDLED`.
    """
    handled = [number for number in handled_signals() if number in wanted]
    if not handled:
        open_, nothing = trio.open_memory_channel[int](0)
        with open_, nothing:
            yield nothing
        return
    with trio.open_signal_receiver(*handled) as signals:
        before = signal.pthread_sigmask(signal.SIG_UNBLOCK, handled)
        try:
            yield signals
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


async def handle_signals(
    signals: AsyncIterator[int],
    *,
    reload: Callable[[], object],
    stop: Callable[[], object],
    cut: Callable[[], object],
    hung_up: Callable[[], bool] = lambda: False,
) -> None:
    """Call `reload` at SIGHUP, `stop` at the first SIGTERM or SIGINT and `cut` at each one after it.

    Once it stops, there is nothing left to reload.

    Args:
        signals: the numbers of those that arrive.
        reload: reads the settings again.
        stop: begins the drain.
        cut: ends everything at once.
        hung_up: whether SIGHUP means that the terminal was closed, which is a stop.
    """
    stopping = False
    async for number in signals:
        if number == signal.SIGHUP and not hung_up():
            if not stopping:
                reload()
        elif stopping:
            cut()
        else:
            stopping = True
            stop()


class Terminal:
    """The controlling terminal that the process was started at, if there was one.

    Args:
        name: its file.
    """

    def __init__(self, name: str = "/dev/tty") -> None:
        self._name = name
        self._was_there = self._error() is None

    def is_lost(self) -> bool:
        """Return whether there was a terminal and it has been closed."""
        return self._was_there and self._error() in _NO_TERMINAL

    def _error(self) -> int | None:
        try:
            os.close(os.open(self._name, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
        except OSError as error:
            return error.errno
        return None
