"""The log of the command line while it serves: `LogTelemetry`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from structlog.typing import FilteringBoundLogger

from caas_trio.core.endpoint import Endpoint
from caas_trio.core.errors import TlsError
from caas_trio.core.peer import Peer
from caas_trio.core.telemetry import ConnectionStats, Outcome, Telemetry
from caas_trio.server.reporting import ExcInfo, Reporter


class LogTelemetry(Reporter):
    """Logs what is wrong, with structlog: at once, and a flood of the same once in ten seconds.

    Args:
        log: the logger. A bug comes with `exc_info`, which a processor of the log has to render.
    """

    def __init__(self, log: FilteringBoundLogger) -> None:
        super().__init__()
        self._log = log

    def write(self, level: int, event: str, values: Mapping[str, object], bug: ExcInfo | None = None) -> None:
        """Log one event."""
        trace = {} if bug is None else {"exc_info": bug}
        self._log.log(level, event, **values, **trace)

    def metrics_unshared(self, error: OSError) -> None:
        """Log that some metrics of this worker are missing on the supervisor's page for now."""
        self._log.warning("metrics cannot be shared; the page is incomplete", error=error.strerror)

    def metrics_unread(self, error: Exception) -> None:
        """Log that the status page has a gap."""
        self._log.warning("metrics cannot be read; the status page has a gap", error=repr(error))

    def exposed(self, endpoints: Sequence[str]) -> None:
        """Log that these endpoints serve every client that reaches them, in plain."""
        self._log.warning(
            "open to every network, without TLS or --allow-from", endpoints=", ".join(endpoints)
        )

    def drain_timed_out(self) -> None:
        """Log that the drain was not complete."""
        self._log.warning("the drain timeout is over; unfinished conversations were cut off")

    def reloaded(self) -> None:
        """Log that new connections get new certificates."""
        self._log.info("the certificates have been reloaded")

    def reload_failed(self, error: TlsError) -> None:
        """Log why the certificates could not be reloaded."""
        self._log.error("the certificates could not be reloaded; the old ones stay", reason=error)

    def nothing_to_reload(self, *, new_code: bool = False) -> None:
        """Log that there is nothing to reload."""
        reason = "new code needs --workers" if new_code else "there is no certificate"
        self._log.warning(f"nothing to reload: {reason}")


class ConnectionEnds(Telemetry):
    """Logs the end of each connection, at the level "info"."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log

    def connection_closed(
        self, outcome: Outcome, stats: ConnectionStats | None, endpoint: Endpoint, peer: Peer, seconds: float
    ) -> None:
        """Log the end of a connection, and how many bytes it moved."""
        self._log.info(
            "connection ended",
            endpoint=endpoint,
            peer=peer,
            outcome=outcome,
            seconds=round(seconds, 6),
            received=stats.received if stats else 0,
            sent=stats.sent if stats else 0,
        )
