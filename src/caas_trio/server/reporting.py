"""Reports of what goes wrong: `LoggingTelemetry`, the default, and `Reporter`, which every log shares."""

from __future__ import annotations

import abc
import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, TypeAlias

import trio

from caas_trio.core.endpoint import Endpoint
from caas_trio.core.errors import TooSlow
from caas_trio.core.peer import Peer
from caas_trio.core.telemetry import BoundedNames, Telemetry
from caas_trio.drivers.connection import current_connection

#: How often events of one kind are reported, in seconds; the others are counted.
INTERVAL_S: Final = 10.0

#: What `logging` takes for `exc_info`.
ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None]

_PACKAGE: Final = str(Path(__file__).parent.parent)


class _Kind(NamedTuple):
    """Events of one kind, which are logged once per interval."""

    event: str
    reason: str = ""


class Reporter(Telemetry, abc.ABC):
    """Reports what is wrong: at once, and a flood of the same once per interval."""

    def __init__(self) -> None:
        self._reason = BoundedNames()
        self._told_at: dict[_Kind, float] = {}
        self._untold: Counter[_Kind] = Counter()

    @abc.abstractmethod
    def write(self, level: int, event: str, values: Mapping[str, object], bug: ExcInfo | None = None) -> None:
        """Log one event; `level` is one of the logging module's."""

    def conversation_failed(self, error: Exception, endpoint: Endpoint, peer: Peer) -> None:
        """Report a bug, with its traceback."""
        self._failed("conversation failed", error, endpoint, peer)

    def datagram_failed(self, error: Exception, endpoint: Endpoint, sender: Peer) -> None:
        """Report a bug, with its traceback."""
        self._failed("datagram failed", error, endpoint, sender)

    def connection_refused(self, reason: str, endpoint: Endpoint, peer: Peer) -> None:
        """Report a refused connection."""
        kind = _Kind("connection refused", self._reason(reason))
        self._report(kind, logging.WARNING, {"endpoint": endpoint, "peer": peer, "reason": reason})

    def datagram_dropped(self, reason: str, endpoint: Endpoint, sender: Peer | None) -> None:
        """Report a datagram that was not answered."""
        kind = _Kind("datagram not answered", self._reason(reason))
        whose = {"peer": sender} if sender else {}
        self._report(kind, logging.WARNING, {"endpoint": endpoint, **whose, "reason": reason})

    def accept_failed(self, error: OSError, endpoint: Endpoint) -> None:
        """Report that the machine had no room."""
        kind = _Kind("no room for another connection")
        self._report(kind, logging.WARNING, {"endpoint": endpoint, "error": error.strerror})

    def drain_timed_out(self) -> None:
        """Report that the drain was not complete."""
        self.write(logging.WARNING, "the drain timeout is over; unfinished conversations were cut off", {})

    def close(self) -> None:
        """Report how many were counted and not logged."""
        for kind, untold in self._untold.items():
            reason = {"reason": kind.reason} if kind.reason else {}
            self.write(logging.WARNING, f"and {untold} more like this: {kind.event}", reason)
        self._untold.clear()

    def _failed(self, event: str, error: Exception, endpoint: Endpoint, peer: Peer) -> None:
        """Report a bug; a bug raised at another place is another kind of event."""
        frames = app_frames(error.__traceback__)
        kind = _Kind(event, self._reason(f"{type(error).__name__} at {_where(frames)}"))
        exc_info: ExcInfo = (type(error), error, frames)
        self._report(
            kind, logging.ERROR, {"endpoint": endpoint, "peer": peer, "error": repr(error)}, exc_info
        )

    def _report(
        self, kind: _Kind, level: int, values: Mapping[str, object], bug: ExcInfo | None = None
    ) -> None:
        now = trio.current_time()
        if now - self._told_at.get(kind, -INTERVAL_S) < INTERVAL_S:
            self._untold[kind] += 1
            return
        self._told_at[kind] = now
        untold = self._untold[kind]
        del self._untold[kind]
        more = f" (and {untold} more like this since)" if untold else ""
        self.write(level, kind.event + more, values, bug)


class LoggingTelemetry(Reporter):
    """Reports to the logging module, under "caas_trio": what a server does by default.

    Bugs are errors, with their traceback. Connections and datagrams that are not served, and timeouts, are
    warnings; a connection that was idle for too long is information.
    """

    def __init__(self) -> None:
        super().__init__()
        self._logger = logging.getLogger("caas_trio")

    def conversation_ended(self, error: Exception | None, endpoint: Endpoint) -> None:
        """Report a timeout."""
        if isinstance(error, TooSlow):
            level = logging.INFO if error.limit == "idle_timeout" else logging.WARNING
            kind = _Kind("conversation ended", str(error))
            self._report(kind, level, {"endpoint": endpoint, "reason": str(error)})

    def write(self, level: int, event: str, values: Mapping[str, object], bug: ExcInfo | None = None) -> None:
        """Log one event."""
        connection = current_connection.get()
        named = {} if connection is None else {"connection": connection.id}
        text = "".join(f" {name}={str(value)!r}" for name, value in {**named, **values}.items())
        self._logger.log(level, "%s%s", event, text, exc_info=bug)


def app_frames(traceback: TracebackType | None) -> TracebackType | None:
    """Return the part of a traceback from the app's first frame on; all of it if there is none."""
    rest = traceback
    while rest is not None and rest.tb_frame.f_code.co_filename.startswith(_PACKAGE):
        rest = rest.tb_next
    return rest or traceback


def _where(traceback: TracebackType | None) -> str:
    """Return the place of the last frame."""
    place = "an unknown place"
    while traceback is not None:
        place = f"{traceback.tb_frame.f_code.co_filename}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return place
