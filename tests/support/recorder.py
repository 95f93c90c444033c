"""Observers that keep the events they receive.

What a server is asked to tell changes the way it takes: so there is one that wants failures and ends only,
one that has the server count, and one that is told of each connection. None of them asserts anything: what
an observer raises is logged, and fails no test.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from caas_trio import Endpoint, Telemetry
from caas_trio.core.peer import Peer
from caas_trio.core.telemetry import ConnectionStats, ListenerStats, Outcome, ServerStats


class Recorder(Telemetry):
    """Keeps failures, ends and refusals.

    Attributes:
        failures: what handlers and sessions have raised, where, and on whose connection.
        ends: how each conversation ended; None if well.
        refused: why each connection was refused, and whose it was.
        accept_errors: the errno of each failure to accept.
        drain_timeouts: how often the drain has taken too long.
        announced: where connections are taken, as the server has said so.
        places: the endpoint of each of the events.
        peers: the peer of each that has one.
    """

    def __init__(self) -> None:
        self.announced: list[Endpoint] = []
        self.places: list[Endpoint] = []
        self.peers: list[Peer] = []
        self.failures: list[tuple[Exception, Endpoint, Peer]] = []
        self.ends: list[Exception | None] = []
        self.refused: list[tuple[str, Peer]] = []
        self.accept_errors: list[int | None] = []
        self.drain_timeouts = 0

    @property
    def errors(self) -> list[Exception]:
        """What handlers and sessions have raised."""
        return [error for error, _, _ in self.failures]

    @property
    def reasons(self) -> list[str]:
        """Why connections were refused."""
        return [reason for reason, _ in self.refused]

    def listening(self, endpoint: Endpoint) -> None:
        """Keep an endpoint."""
        self.announced.append(endpoint)

    def conversation_failed(self, error: Exception, endpoint: Endpoint, peer: Peer) -> None:
        """Keep a failure."""
        self._note(endpoint, peer)
        self.failures.append((error, endpoint, peer))

    def conversation_ended(self, error: Exception | None, endpoint: Endpoint) -> None:
        """Keep an end."""
        self._note(endpoint)
        self.ends.append(error)

    def connection_refused(self, reason: str, endpoint: Endpoint, peer: Peer) -> None:
        """Keep a refusal."""
        self._note(endpoint, peer)
        self.refused.append((reason, peer))

    def accept_failed(self, error: OSError, endpoint: Endpoint) -> None:
        """Keep a failure to accept."""
        self._note(endpoint)
        self.accept_errors.append(error.errno)

    def drain_timed_out(self) -> None:
        """Count a drain that has taken too long."""
        self.drain_timeouts += 1

    def _note(self, endpoint: Endpoint, *peers: Peer) -> None:
        self.places.append(endpoint)
        self.peers += peers


class StatsRecorder(Recorder):
    """Has the server count, too.

    Attributes:
        stats: what the server counts.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stats = ServerStats()

    def counting(self, stats: ServerStats) -> None:
        """Keep what the server counts in."""
        self.stats = stats

    @property
    def listener_stats(self) -> ListenerStats:
        """The counts of the one endpoint that there is."""
        [listener_stats] = self.stats.listeners
        return listener_stats

    @property
    def outcomes(self) -> dict[Outcome, int]:
        """How many connections have ended, by how they did."""
        return {outcome: count for outcome, count in self.listener_stats.ended.items() if count}


class ConnectionRecorder(Recorder):
    """Receives the end of each connection, too.

    Attributes:
        outcomes: how each connection ended.
        closed: where it was, and whose.
        moved: what each has counted; None where no conversation began.
        durations: how long each lasted, in seconds.
    """

    def __init__(self) -> None:
        super().__init__()
        self.outcomes: list[Outcome] = []
        self.closed: list[tuple[Endpoint, Peer]] = []
        self.moved: list[ConnectionStats | None] = []
        self.durations: list[float] = []

    def connection_closed(
        self, outcome: Outcome, stats: ConnectionStats | None, endpoint: Endpoint, peer: Peer, seconds: float
    ) -> None:
        """Keep an end."""
        self._note(endpoint, peer)
        self.outcomes.append(outcome)
        self.closed.append((endpoint, peer))
        self.moved.append(stats)
        self.durations.append(seconds)


class DatagramRecorder(Recorder):
    """Keeps the events of datagrams, too.

    Attributes:
        served: how many were answered, or had no reply.
        when_served: called for each of them.
        dropped: how many were not, by the reason.
        senders: whose those were.
    """

    def __init__(self) -> None:
        super().__init__()
        self.served = 0
        self.when_served: Callable[[], object] = lambda: None
        self.dropped: Counter[str] = Counter()
        self.senders: list[Peer | None] = []

    def datagram_served(self, endpoint: Endpoint) -> None:
        """Count it."""
        self._note(endpoint)
        self.served += 1
        self.when_served()

    def datagram_dropped(self, reason: str, endpoint: Endpoint, sender: Peer | None) -> None:
        """Count it by the reason, and keep its sender."""
        self._note(endpoint)
        self.dropped[reason] += 1
        self.senders.append(sender)

    def datagram_failed(self, error: Exception, endpoint: Endpoint, sender: Peer) -> None:
        """Keep a failure."""
        self._note(endpoint, sender)
        self.failures.append((error, endpoint, sender))
