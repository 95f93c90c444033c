"""Ctrl-C and SIGTERM for programs that start harnesses, and the end of a harness without its parent."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Final

import trio

#: Set for a harness whose standard input is a pipe that its parent holds open.
_ENDS_WITH_STDIN: Final = "FUZZ_ENDS_WITH_STDIN"
_PARENT_GONE: Final = 1


async def until_signalled(work: Callable[[], Awaitable[None]]) -> int:
    """Run `work`, which SIGINT or SIGTERM cancels.

    Returns:
        0 once it is done; 128 plus the number of the signal if one came first.
    """
    status = 0
    async with trio.open_nursery() as nursery:

        async def cancel_at_signal(task_status: trio.TaskStatus[None]) -> None:
            nonlocal status
            with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                task_status.started()
                async for number in signals:
                    status = status or 128 + number
                    nursery.cancel_scope.cancel()

        await nursery.start(cancel_at_signal)
        await work()
        nursery.cancel_scope.cancel()
    return status


def child_environment() -> dict[str, str]:
    """Return the environment of a harness that is to end with this process."""
    return {**os.environ, _ENDS_WITH_STDIN: "1"}


def end_with_parent() -> None:
    """Start a thread that ends this process once its parent is gone, however that ended.

    Does nothing unless the parent has used `child_environment`.
    """
    if os.environ.pop(_ENDS_WITH_STDIN, None):
        threading.Thread(target=_await_end, args=(sys.stdin.fileno(),), daemon=True).start()


def _await_end(stdin: int) -> None:
    while os.read(stdin, 1):
        pass
    os._exit(_PARENT_GONE)
