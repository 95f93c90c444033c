"""Writing lines where a write may block, without ever waiting for it: `LineWriter`.

A pipe that is not read, a terminal stopped with Ctrl-S and a network file system that hangs all block
the process that writes. O_NONBLOCK does not help: it belongs to the open file, which other processes
share. So a thread writes; lines for which there is no room are dropped and counted.
"""

from __future__ import annotations

import os
import select
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

#: How many bytes may wait to be written; more only in one piece.
MAX_WAITING: Final = 1 << 18

#: The most bytes that a write puts into a pipe whole, wherever others write to it, too (pipe(7)).
MAX_LINE: Final = select.PIPE_BUF

#: How often (seconds) the notice that lines were lost is tried again.
RETRY_DELAY_S: Final = 1.0

Write: TypeAlias = Callable[[int, bytes], int]


class LineWriter:
    """Writes lines to a descriptor, from a thread that starts with the first of them.

    A line of at most `MAX_LINE` bytes is written in one piece. If a write fails, its lines are lost; the
    next one is tried all the same, since a full disk is not full for ever.

    Args:
        fd: the descriptor; the caller keeps it open.
        notice: returns what to write in place of a number of lost lines.
        write: writes to a descriptor, as `os.write`.
        start: starts a thread.
        retry_delay: how often (seconds) writing the notice is tried again.
    """

    def __init__(
        self,
        fd: int,
        notice: Callable[[int], bytes],
        *,
        write: Write = os.write,
        start: Callable[[threading.Thread], None] = threading.Thread.start,
        retry_delay: float = RETRY_DELAY_S,
    ) -> None:
        self.notice = notice
        self._fd = fd
        self._write = write
        self._start = start
        self._retry_delay = retry_delay
        self._changed = threading.Condition()
        self._waiting: deque[bytes] = deque()
        self._size = 0  # of those that wait, and the one that is being written
        self._lost = 0
        self._torn = False  # whether the last write ended within a line
        self._thread: threading.Thread | None = None
        self._closed = False

    def write(self, lines: bytes) -> None:
        """Accept lines to be written together; drop and count them if too much waits already."""
        with self._changed:
            if (self._size and self._size + len(lines) > MAX_WAITING) or not self._started():
                self._lost += 1
                return
            self._waiting.append(lines)
            self._size += len(lines)
            self._changed.notify_all()

    def flush(self, seconds: float) -> bool:
        """Wait until all is written, `seconds` at most; return whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._size, seconds)

    def close(self, seconds: float) -> bool:
        """Flush, and end the thread; return whether all is written."""
        written = self.flush(seconds)
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if written and self._thread is not None:
            self._thread.join(seconds)
        return written

    def _started(self) -> bool:
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="log", daemon=True)
            # Signals are for the main thread: those that it blocks would be delivered to this one.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            try:
                self._start(thread)
            except RuntimeError:  # no room for a thread; there may be for the next line
                return False
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
            self._thread = thread
        return True

    def _run(self) -> None:
        while not self._closed:
            with self._changed:
                self._changed.wait_for(self._woken, self._retry_delay if self._lost else None)
                lines = self._waiting.popleft() if self._waiting else b""
                lost = self._lost
            failed = 0
            if lost and not self._put(self.notice(lost)):
                lost = 0
            if lines and not self._put(lines):
                failed = 1
            with self._changed:
                self._lost += failed - lost
                self._size -= len(lines)
                self._changed.notify_all()

    def _woken(self) -> bool:
        return bool(self._waiting) or self._closed

    def _put(self, lines: bytes) -> bool:
        """Write lines; return whether all of them could be written."""
        if self._torn:
            lines = b"\n" + lines
        written = 0
        try:
            for piece in _pieces(lines):
                rest = piece
                while rest:
                    taken = self._write_some(rest)
                    written += taken
                    rest = rest[taken:]
        except OSError:
            self._torn = self._torn if not written else lines[written - 1 : written] != b"\n"
            return False
        self._torn = False
        return True

    def _write_some(self, data: bytes) -> int:
        try:
            return self._write(self._fd, data)
        except BlockingIOError:  # another process has made it non-blocking
            poll = select.poll()
            poll.register(self._fd, select.POLLOUT)
            poll.poll()
            return 0


def _pieces(lines: bytes) -> Iterator[bytes]:
    """Yield lines joined into pieces of at most `MAX_LINE` bytes; a longer line by itself."""
    while len(lines) > MAX_LINE:
        end = lines.rfind(b"\n", 0, MAX_LINE) + 1 or lines.find(b"\n") + 1 or len(lines)
        yield lines[:end]
        lines = lines[end:]
    yield lines
