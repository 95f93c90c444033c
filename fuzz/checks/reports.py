"""What a server reports: of each connection, in sums, or failures alone."""

from __future__ import annotations

from caas_trio import Endpoint, Telemetry
from caas_trio.core.peer import Peer
from caas_trio.core.telemetry import ConnectionStats, ListenerStats, Outcome, ServerStats


class LogTelemetry(Telemetry):
    """Keeps what the server reports."""

    def __init__(self) -> None:
        self.failures: list[Exception] = []
        self.refusals: list[OSError] = []
        self.timed_out = False

    @property
    def open(self) -> int:
        """How many connections are open, by the events received."""
        return 0

    def compare_counts(self) -> None:
        """See that no count has gone down, if it is given any."""

    def conversation_failed(self, error: Exception, endpoint: Endpoint, peer: Peer) -> None:  # noqa: ARG002
        self.failures.append(error)

    def accept_failed(self, error: OSError, endpoint: Endpoint) -> None:  # noqa: ARG002
        self.refusals.append(error)

    def drain_timed_out(self) -> None:
        self.timed_out = True


class ReportsOnEach(LogTelemetry):
    """Receives each connection's events too; a server whose telemetry does not is spared the cost."""

    def __init__(self) -> None:
        super().__init__()
        self._begun = self._ended = 0

    @property
    def open(self) -> int:
        """How many have begun and not ended."""
        return self._begun - self._ended

    def connection_opened(self, endpoint: Endpoint, peer: Peer) -> None:  # noqa: ARG002
        self._begun += 1

    def connection_closed(
        self,
        outcome: Outcome,  # noqa: ARG002
        stats: ConnectionStats | None,  # noqa: ARG002
        endpoint: Endpoint,  # noqa: ARG002
        peer: Peer,  # noqa: ARG002
        seconds: float,  # noqa: ARG002
    ) -> None:
        self._ended += 1


class ReportsInSum(LogTelemetry):
    """Is given the sums."""

    def __init__(self) -> None:
        super().__init__()
        self._arrivals: list[ListenerStats] = []
        self._stats = ServerStats()
        self._before: list[int] = []

    @property
    def open(self) -> int:
        """How many were let in and have not ended."""
        return sum(each.accepted - sum(each.ended.values()) for each in self._arrivals)

    def counting(self, stats: ServerStats) -> None:
        self._arrivals = stats.listeners
        self._stats = stats

    def compare_counts(self) -> None:
        stats, before = self._stats, self._before
        counts = self._before = [stats.received, stats.sent, stats.lines, stats.oversize, *stats.waits]
        fell = [(old, new) for old, new in zip(before, counts, strict=False) if new < old]
        assert not fell, f"counts go down: {fell}"
