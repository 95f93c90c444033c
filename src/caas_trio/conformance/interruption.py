"""SIGINT and SIGTERM end a run early: what was judged by then is reported all the same."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

import trio

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interruptible(scope: trio.CancelScope) -> Iterator[list[signal.Signals]]:
    """Cancel a scope at the first signal that comes within the block; yield the signals that came.

    A second one has its usual effect. A signal that the process was started to ignore stays
    ignored. To be entered in trio, in the main thread.
    """
    token = trio.lowlevel.current_trio_token()
    received: list[signal.Signals] = []
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    handled = {number: action for number, action in before.items() if action is not signal.SIG_IGN}

    def restore() -> None:
        for number, action in handled.items():
            signal.signal(number, action)

    def end_early(number: int, _frame: FrameType | None) -> None:
        received.append(signal.Signals(number))
        restore()
        token.run_sync_soon(scope.cancel)

    for number in handled:
        signal.signal(number, end_early)
    try:
        yield received
    finally:
        restore()
