"""Room for a thread: `thread_needed`."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def thread_needed() -> Iterator[None]:
    """Raise OSError(EAGAIN) if no thread can be started, as for a process.

    trio looks names up and starts processes in a thread; without one, Python raises a mere RuntimeError.
    """
    try:
        yield
    except RuntimeError as error:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from error
