"""The wait of a hub's task, and the value that wakes it: `parked`, `WAKE_UP`."""

from __future__ import annotations

import types
from collections.abc import Callable, Generator
from typing import Any, Final, TypeAlias

import outcome
import trio

Abort: TypeAlias = Callable[[Any], trio.lowlevel.Abort]

#: Wakes a parked task. One object serves all, since `parked` does not unwrap it.
WAKE_UP: Final = outcome.Value(None)


def yielded(abort: Abort) -> object:
    """Return what `trio.lowlevel.wait_task_rescheduled(abort)` yields to trio."""
    waiting = trio.lowlevel.wait_task_rescheduled(abort)  # noqa: ASYNC105 - it waits for nothing here
    try:
        return waiting.send(None)
    finally:
        waiting.close()


#: Returns what `yielded` does, for a third of the cost: it is the class of that.
request_to_wait: Final[Callable[[Abort], object]] = type(yielded(trio.lowlevel.Abort))


@types.coroutine
def parked(request: object) -> Generator[object, outcome.Outcome[object], None]:
    """Wait until the task is rescheduled, as `trio.lowlevel.wait_task_rescheduled` does.

    Args:
        request: what `request_to_wait` has returned. It serves all waits: to make another one for each,
            and the two coroutines around it, is a third of what trio takes to wake a task.
    """
    woken_with = yield request
    if woken_with is not WAKE_UP:
        try:
            woken_with.unwrap()
        finally:
            del woken_with  # or the error would be in a cycle with its traceback
