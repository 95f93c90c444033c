"""When a worker that still serves is to be replaced: `WorkerLimits`, `wait_until_worn` and `StackPipe`."""

from __future__ import annotations

import math
import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import trio

#: How long (seconds) the loop of a worker may stand still, unless something else is asked for.
DEFAULT_TIMEOUT_S: Final = 30.0

#: How many signs that its loop turns a worker gives in that time.
TURNS_PER_TIMEOUT: Final = 4

#: How often (seconds) the memory of a worker is checked.
_PERIOD_S: Final = 1.0

#: The fraction by which a limit is varied, so that not all workers reach it at the same moment.
_JITTER: Final = 0.1

#: The size of a pipe, which is more than a stack takes.
_MAX_STACK_BYTES: Final = 65536


@dataclass(frozen=True, kw_only=True)
class WorkerLimits:
    """The limits beyond which a worker is replaced; `math.inf` for no limit.

    Attributes:
        timeout: how many seconds its loop may stand still before it is killed.
        lifetime: after about how many seconds it is replaced.
        max_rss: with about how many bytes of resident memory it is replaced; never with more.
    """

    timeout: float = DEFAULT_TIMEOUT_S
    lifetime: float = math.inf
    max_rss: float = math.inf


async def wait_until_worn(
    pid: int,
    limits: WorkerLimits,
    *,
    vary: Callable[[float, float], float] = random.uniform,
    rss_of: Callable[[int], int] | None = None,
) -> str:
    """Return once a process should be replaced, and why: "lifetime" or "max_rss".

    Args:
        pid: the process.
        limits: the limits, which are varied.
        vary: returns a number between two.
        rss_of: returns how many bytes of resident memory a process has.
    """
    rss_of = rss_of or resident_bytes
    end = trio.current_time() + limits.lifetime * vary(1 - _JITTER, 1 + _JITTER)
    max_rss = limits.max_rss * vary(1 - _JITTER, 1)
    while (left := end - trio.current_time()) > 0:
        if max_rss < math.inf and rss_of(pid) > max_rss:
            return "max_rss"
        await trio.sleep(left if max_rss == math.inf else min(left, _PERIOD_S))
    return "lifetime"


def resident_bytes(pid: int) -> int:
    """Return how many bytes of resident memory a process has; 0 if it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


class StackPipe:
    """The pipe to which a worker that crashes, or is killed because it stood still, writes its stack.

    A context manager, for the supervisor's end. No write to it blocks.

    Attributes:
        write_end: the descriptor for the worker.
    """

    def __init__(self) -> None:
        self._read_end, self.write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        os.set_blocking(self.write_end, False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._read_end)
        os.close(self.write_end)

    def read(self) -> str:
        """Return what was written."""
        try:
            return os.read(self._read_end, _MAX_STACK_BYTES).decode("ascii", "backslashreplace")
        except BlockingIOError:
            return ""
