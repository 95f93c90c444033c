"""What the servers of scripts report: failures, connections, and how many bytes and lines there were."""

from __future__ import annotations

from typing import Final

from caas_trio import Endpoint, Telemetry
from caas_trio.core.peer import Peer
from caas_trio.core.telemetry import ConnectionStats, Outcome, ServerStats

RECEIVED: Final = "bytes received"
SENT: Final = "bytes sent"
LINES: Final = "lines received"


class LogTelemetry(Telemetry):
    """Keeps what the server reports."""

    def __init__(self) -> None:
        self.failures: list[Exception] = []
        self.refusals: list[OSError] = []
        self.timed_out = False
        self._before: dict[tuple[str, str], int] = {}

    @property
    def open(self) -> int:
        """How many connections are open, by the events received."""
        return 0

    @property
    def counted(self) -> dict[tuple[str, str], int]:
        """How many of what have been counted so far, and by whom."""
        return {}

    def begin(self) -> None:
        """Begin with another script."""
        self.failures.clear()
        self._before = self.counted

    def compare(self, due: dict[str, int]) -> None:
        """Compare what was counted during the script with what is due; the rest is open."""
        for (what, by), total in self.counted.items():
            counted = total - self._before[what, by]
            assert counted == due.get(what, counted), f"{by} counts {counted} {what}, {due[what]} due"

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
        self._begun = self._ended = self._received = self._sent = 0

    @property
    def open(self) -> int:
        """How many have begun and not ended."""
        return self._begun - self._ended

    @property
    def counted(self) -> dict[tuple[str, str], int]:
        """The sums over the connections that have ended."""
        each = "each connection"
        return {**super().counted, (RECEIVED, each): self._received, (SENT, each): self._sent}

    def connection_opened(self, endpoint: Endpoint, peer: Peer) -> None:  # noqa: ARG002
        self._begun += 1

    def connection_closed(
        self,
        outcome: Outcome,  # noqa: ARG002
        stats: ConnectionStats | None,
        endpoint: Endpoint,  # noqa: ARG002
        peer: Peer,  # noqa: ARG002
        seconds: float,  # noqa: ARG002
    ) -> None:
        self._ended += 1
        if stats is not None:
            self._received += stats.received
            self._sent += stats.sent


class ReportsInSum(LogTelemetry):
    """Is given the sums."""

    def __init__(self) -> None:
        super().__init__()
        self._stats = ServerStats()
        self._last: list[int] = []

    @property
    def open(self) -> int:
        """How many were let in and have not ended."""
        return sum(each.accepted - sum(each.ended.values()) for each in self._stats.listeners)

    @property
    def counted(self) -> dict[tuple[str, str], int]:
        """The sums, as the server has them."""
        counts = {RECEIVED: self._stats.received, SENT: self._stats.sent, LINES: self._stats.lines}
        return {**super().counted, **{(what, "the server"): count for what, count in counts.items()}}

    def counting(self, stats: ServerStats) -> None:
        self._stats = stats

    def compare_counts(self) -> None:
        stats, last = self._stats, self._last
        counts = self._last = [stats.received, stats.sent, stats.lines, stats.oversize, *stats.waits]
        fell = [(old, new) for old, new in zip(last, counts, strict=False) if new < old]
        assert not fell, f"counts go down: {fell}"


class ReportsInBoth(ReportsInSum, ReportsOnEach):
    """Is given the sums, and receives each connection's events."""

    @property
    def open(self) -> int:
        """How many are open, as both say."""
        by_sums, by_events = super().open, self._begun - self._ended
        assert by_sums == by_events, f"{by_sums} connections are open by the sums, {by_events} by the events"
        return by_sums
