"""What the command line logs while it serves: `LogTelemetry`."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

import trio
from structlog.typing import FilteringBoundLogger

from caas_trio.core.endpoint import Endpoint
from caas_trio.core.errors import TlsError
from caas_trio.core.peer import Peer
from caas_trio.core.telemetry import BoundedNames, ConnectionStats, Outcome, Telemetry

#: A kind of event is logged once within so many seconds; what repeats it is counted.
INTERVAL: Final = 10.0


class _Kind(NamedTuple):
    """Events that are so alike that one of them tells of all."""

    event: str
    reason: str = ""


class LogTelemetry(Telemetry):
    """Logs what is wrong: at once, and a flood of the same once per interval."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log
        self._reason = BoundedNames()
        self._told_at: dict[_Kind, float] = {}
        self._untold: Counter[_Kind] = Counter()

    def conversation_failed(self, error: Exception, endpoint: Endpoint, peer: Peer) -> None:
        """Log a bug, and the place it was noticed at."""
        self._report(
            _Kind("conversation failed"),
            "error",
            endpoint=endpoint,
            peer=peer,
            error=repr(error),
            where=_where(error),
        )

    def connection_refused(self, reason: str, endpoint: Endpoint, peer: Peer) -> None:
        """Log a connection that was not let in."""
        self._report(
            _Kind("connection refused", self._reason(reason)),
            "warning",
            endpoint=endpoint,
            peer=peer,
            reason=reason,
        )

    def datagram_dropped(self, reason: str, endpoint: Endpoint, sender: Peer | None) -> None:
        """Log a datagram that was not answered."""
        whose = {"peer": sender} if sender else {}
        self._report(
            _Kind("datagram not answered", self._reason(reason)),
            "warning",
            endpoint=endpoint,
            **whose,
            reason=reason,
        )

    def datagram_failed(self, error: Exception, endpoint: Endpoint, sender: Peer) -> None:
        """Log a bug, and the place it was noticed at."""
        self._report(
            _Kind("datagram failed"),
            "error",
            endpoint=endpoint,
            peer=sender,
            error=repr(error),
            where=_where(error),
        )

    def accept_failed(self, error: OSError, endpoint: Endpoint) -> None:
        """Log that the machine had no room."""
        self._report(
            _Kind("no room for another connection"), "warning", endpoint=endpoint, error=error.strerror
        )

    def exposed(self, endpoints: Sequence[str]) -> None:
        """Log that whoever reaches these endpoints may talk to them, and that others may listen."""
        self._log.warning(
            "open to every network, without TLS or --allow-from", endpoints=", ".join(endpoints)
        )

    def drain_timed_out(self) -> None:
        """Log that the drain was not complete."""
        self._log.warning("the drain timeout is over; unfinished conversations were cut off")

    def reloaded(self) -> None:
        """Log that new connections are shown new certificates."""
        self._log.info("the certificates have been reloaded")

    def reload_failed(self, error: TlsError) -> None:
        """Log why they are not."""
        self._log.error("the certificates could not be reloaded; the old ones stay", reason=error)

    def nothing_to_reload(self) -> None:
        """Log that a reload was asked for in vain."""
        self._log.warning("nothing to reload: there is no tls endpoint")

    def close(self) -> None:
        """Log how much was counted and not told."""
        for kind, untold in self._untold.items():
            reason = {"reason": kind.reason} if kind.reason else {}
            self._log.warning(f"and {untold} more like this: {kind.event}", **reason)
        self._untold.clear()

    def _report(self, kind: _Kind, level: str, **told: object) -> None:
        now = trio.current_time()
        if now - self._told_at.get(kind, -INTERVAL) < INTERVAL:
            self._untold[kind] += 1
            return
        self._told_at[kind] = now
        untold = self._untold.pop(kind, 0)
        more = f" (and {untold} more like this since)" if untold else ""
        getattr(self._log, level)(kind.event + more, **told)


class ConnectionEnds(Telemetry):
    """Logs the end of each connection, at the level "info"."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log

    def connection_closed(
        self, outcome: Outcome, stats: ConnectionStats | None, endpoint: Endpoint, peer: Peer, seconds: float
    ) -> None:
        """Log the end of a connection, and what went over it."""
        self._log.info(
            "connection ended",
            endpoint=endpoint,
            peer=peer,
            outcome=outcome,
            seconds=round(seconds, 6),
            received=stats.received if stats else 0,
            sent=stats.sent if stats else 0,
        )


def _where(error: Exception) -> list[str]:
    """Return the place an error was raised at, if it is known."""
    where = [f"{frame.f_code.co_filename}:{line}" for frame, line in traceback.walk_tb(error.__traceback__)]
    return where[-1:]
