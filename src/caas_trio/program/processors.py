"""How many processors this process may use: `processors`."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any


def schedulable(system: Any = os) -> int:
    """Return how many processors the scheduler lets this process use.

    Args:
        system: what the functions of `os` are asked of, as far as it has them.
    """
    count = getattr(system, "process_cpu_count", None)  # Python 3.13, where -X cpu_count counts
    if count is not None:
        return int(count() or 1)
    try:
        return len(system.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return system.cpu_count() or 1


def processors(root: Path = Path("/"), count: Callable[[], int] = schedulable) -> int:
    """Return how many processors this process may use, 1 at least.

    They are those that it may be scheduled on, limited by the quotas of its cgroups, rounded up: in a
    container with 1.5 of a machine's 64 processors, that is 2.

    Args:
        root: the folder of /proc and /sys.
        count: how many it may be scheduled on.
    """
    quota = min(_quotas(root), default=math.inf)
    return max(1, count() if quota == math.inf else min(count(), math.ceil(quota)))


def _quotas(root: Path) -> Iterator[float]:
    """Yield how many processors each cgroup allows that this process is in; see cgroups(7)."""
    mounted = root / "sys/fs/cgroup"
    for line in _words(root / "proc/self/cgroup", "\n"):
        match line.split(":", 2):
            case [_, controllers, path]:
                group = PurePosixPath(path.lstrip("/"))
            case _:
                continue
        for each in (group, *group.parents):  # in a container, the first ones may not be seen
            if not controllers:
                yield from _ratio(_words(mounted / each / "cpu.max"))
            elif "cpu" in controllers.split(","):
                folder = mounted / "cpu" / each
                yield from _ratio(_words(folder / "cpu.cfs_quota_us") + _words(folder / "cpu.cfs_period_us"))


def _ratio(words: list[str]) -> Iterator[float]:
    """Yield quota by period if there is a quota: `max`, and -1 in version 1, mean no quota."""
    with suppress(ValueError, ZeroDivisionError):
        quota, period = map(int, words)
        if quota > 0:
            yield quota / period


def _words(file: Path, separator: str | None = None) -> list[str]:
    """Return the words in a file; none if it cannot be read."""
    try:
        return file.read_text("utf-8", errors="surrogateescape").split(separator)
    except OSError:
        return []
