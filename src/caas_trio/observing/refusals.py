"""Refused connections, a line for each, for programs such as fail2ban that count them: `RefusalStream`.

The log has one line for a flood of refusals; here each refusal has a line, and lines that cannot be
written are counted. Datagrams are not here: an attacker can forge their senders, and have others banned.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from caas_trio.core.endpoint import Endpoint
from caas_trio.core.peer import InternetPeer, Peer
from caas_trio.core.telemetry import Telemetry

from .linewriter import LineWriter
from .logs import FLUSH_TIMEOUT_S, LogFormat, log_to, open_log

#: The permissions of a file that is made: client addresses are private.
_MODE = 0o640

_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY


class RefusalLog(Telemetry):
    """Logs each refused connection, its address first: the client may choose what follows.

    Args:
        log: the logger.
        flush: waits until all is written, at most a number of seconds, and returns whether it is.
    """

    def __init__(self, log: FilteringBoundLogger, flush: Callable[[float], bool]) -> None:
        self._log = log
        self.flush = flush

    def connection_refused(self, reason: str, endpoint: Endpoint, peer: Peer) -> None:
        """Log a refused connection."""
        if isinstance(peer, InternetPeer):
            values = {"address": peer.host or "unknown", "port": peer.port}
        else:
            values = {"pid": peer.pid, "uid": peer.uid}
        self._log.warning("client refused", **values, endpoint=endpoint, reason=reason)


@dataclass(frozen=True)
class RefusalStream:
    """Where refusals are logged, and how.

    Attributes:
        path: of a file that lines are appended to, and that may be moved away at any time; None for the
            service's own log.
        log_format: how lines are rendered.
    """

    path: Path | None
    log_format: LogFormat

    @contextmanager
    def open(self) -> Iterator[RefusalLog]:
        """Yield a telemetry that logs them, without waiting; then wait up to a second for the file.

        Raises:
            OSError: the file cannot be opened, or made.
        """
        if self.path is None:
            yield RefusalLog(open_log(self.log_format, "info"), lambda _: True)
            return
        file = AppendedFile(self.path)
        writer = LineWriter(-1, lambda lost: b"lost lines: %d\n" % lost, write=file.write)
        try:
            yield RefusalLog(log_to(writer, self.log_format, "info", lost="refusals were lost"), writer.flush)
        finally:
            if writer.close(FLUSH_TIMEOUT_S):
                file.close()  # else the writer's thread still has it


class AppendedFile:
    """A file that is appended to, and opened anew where it was moved away, as by logrotate.

    Args:
        path: the file; it is made if there is none.

    Raises:
        OSError: it cannot be opened, or made.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = self._open()

    def write(self, _: int, data: bytes) -> int:
        """Write to the file at the path, as it is now; return how many bytes were written.

        Raises:
            OSError: it cannot be written, or opened anew.
        """
        if self._is_moved():
            fd = self._open()
            self.close()
            self._fd = fd
        return os.write(self._fd, data)

    def close(self) -> None:
        """Close it."""
        os.close(self._fd)

    def _open(self) -> int:
        # So as not to wait for the reader of a named pipe; a write may wait, in its thread.
        fd = os.open(self._path, _FLAGS | os.O_NONBLOCK, _MODE)
        os.set_blocking(fd, True)
        return fd

    def _is_moved(self) -> bool:
        try:
            return not os.path.samestat(self._path.stat(), os.fstat(self._fd))
        except OSError:
            return True
