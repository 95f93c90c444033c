"""The telemetry of a simulated server, which checks the reports: `Observed`."""

from __future__ import annotations

from collections import Counter
from typing import Final

import trio

from caas_trio import Endpoint, Telemetry
from caas_trio.core.peer import InternetPeer, Peer
from caas_trio.core.telemetry import ConnectionStats, ListenerStats, Outcome, ServerStats

from .scenario import Scenario

_TOO_MANY: Final = "too many connections"
_TOO_MANY_FROM_HOST: Final = "too many connections from this host"
_TOO_FAST_FROM_HOST: Final = "too many new connections from this host"
#: The reasons for refusals that come with an error line.
TOLD: Final = frozenset({_TOO_MANY, _TOO_MANY_FROM_HOST, _TOO_FAST_FROM_HOST})

#: What sums of times may be off by, in seconds.
_ROUNDING_S: Final = 1e-6


def require(kept: object, broken: str) -> None:
    """Raise an AssertionError if a promise is not kept, which `broken` tells of."""
    if not kept:
        raise AssertionError(broken)


class Observed(Telemetry):
    """Keeps the reports on failures and refusals; `check` raises an error for each that is wrong.

    Attributes:
        refused: the reasons of refusals, by the peers.
        accept_failures: how often the machine had no room.
        failures: the errors of conversations.
        drain_timeouts: how often the drain was cut off.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.refused: dict[Peer, str] = {}
        self.accept_failures = 0
        self.failures: list[Exception] = []
        self.drain_timeouts = 0
        self._scenario = scenario
        self._ended = 0
        self._broken: dict[str, None] = {}

    def conversation_failed(self, error: Exception, endpoint: Endpoint, peer: Peer) -> None:  # noqa: ARG002
        """Keep a failure."""
        self.failures.append(error)

    def conversation_ended(self, error: Exception | None, endpoint: Endpoint) -> None:  # noqa: ARG002
        """Count."""
        self._ended += 1

    def connection_refused(self, reason: str, endpoint: Endpoint, peer: Peer) -> None:  # noqa: ARG002
        """Keep the reason."""
        self.refused[peer] = reason

    def accept_failed(self, error: OSError, endpoint: Endpoint) -> None:  # noqa: ARG002
        """Count."""
        self._require(self._scenario.faults, f"out of {error} without a fault")
        self.accept_failures += 1

    def drain_timed_out(self) -> None:
        """Count."""
        self.drain_timeouts += 1

    def look(self) -> None:
        """Check what has to hold whenever a conversation begins."""

    def check(self) -> None:
        """Check what has to hold in the end."""
        failing = self._scenario.fails or self._scenario.begins_badly
        for failure in self.failures:
            planned = type(failure).__name__ == "ServiceFailed" and failing
            self._require(planned, f"reported: {failure!r}")
        require(not self._broken, "; ".join(self._broken))

    def _require(self, kept: object, broken: str) -> None:
        """Keep a broken promise for the end: an error that a telemetry raises is only logged."""
        if not kept:
            self._broken[broken] = None


class Summed(Observed):
    """Gets the sums, too."""

    def __init__(self, scenario: Scenario) -> None:
        super().__init__(scenario)
        self.stats = ServerStats()

    @property
    def _listeners(self) -> list[ListenerStats]:
        return self.stats.listeners

    def counting(self, stats: ServerStats) -> None:
        """Keep the sums."""
        self.stats = stats

    def connection_refused(self, reason: str, endpoint: Endpoint, peer: Peer) -> None:
        """Check that there is no room."""
        super().connection_refused(reason, endpoint, peer)
        full = self._open >= self._scenario.limits.max_connections
        self._require(full or reason != _TOO_MANY, "a client is refused although there is room")

    def look(self) -> None:
        """Check that no more are let in than may be."""
        if not self._scenario.proxied:  # what is refused by its header has left its place before its end
            most = self._scenario.limits.max_connections
            self._require(self._open <= most, f"{self._open} connections of {most}")

    @property
    def _open(self) -> int:
        return sum(each.accepted - sum(each.ended.values()) for each in self._listeners)

    def _count(self, outcome: Outcome) -> int:
        return sum(each.ended[outcome] for each in self._listeners)

    def check(self) -> None:
        """Check the sums."""
        self._require(not self._open, f"{self._open} connections have not ended")
        failed, cut_off = self._count(Outcome.FAILED), self._count(Outcome.CUT_OFF)
        failures = len(self.failures)
        # Of those that were cut off, some had only to close their connections.
        self._require(failed <= failures <= failed + cut_off, f"{failed} failed, {failures} failures")
        if not self._scenario.proxied:  # a client may be gone before it has shown its header
            ended = sum(sum(each.ended.values()) for each in self._listeners)
            told = self._ended + failures
            self._require(ended - cut_off <= told <= ended, f"{ended} have ended, {told} are reported")
        super().check()


class Each(Summed):
    """Gets a report on each connection, too."""

    def __init__(self, scenario: Scenario) -> None:
        super().__init__(scenario)
        self._here: Counter[str] = Counter()
        self._came: list[tuple[str, float]] = []
        self._peers: dict[Peer, None] = {}

    def connection_opened(self, endpoint: Endpoint, peer: Peer) -> None:
        """Check the limits of its host, unless a header names the host."""
        limits = self._scenario.limits
        self.look()
        if self._scenario.proxied and endpoint.port != _first_port(self._listeners):
            return
        host = _host(peer)
        self._here[host] += 1
        self._peers[peer] = None
        self._came.append((host, trio.current_time()))
        if limits.max_per_host is not None:
            self._require(self._here[host] <= limits.max_per_host, f"{self._here[host]} from one host")
        if limits.max_rate_per_host is not None:
            count = self._came_lately(host)
            self._require(count <= 2 * limits.max_rate_per_host, f"{count} from one host in a second")

    def connection_closed(
        self,
        outcome: Outcome,  # noqa: ARG002
        stats: ConnectionStats | None,  # noqa: ARG002
        endpoint: Endpoint,  # noqa: ARG002
        peer: Peer,
        seconds: float,
    ) -> None:
        """Count it out."""
        self._require(seconds >= 0, f"it took {seconds} seconds")
        if peer in self._peers:
            del self._peers[peer]
            self._here[_host(peer)] -= 1

    def connection_refused(self, reason: str, endpoint: Endpoint, peer: Peer) -> None:
        """Check that its host has as many as it may, or comes too fast."""
        super().connection_refused(reason, endpoint, peer)
        limits, host = self._scenario.limits, _host(peer)
        if self._scenario.proxied:
            return
        if reason == _TOO_MANY_FROM_HOST:
            self._require(self._here[host] >= (limits.max_per_host or 0), "a host has fewer than it may")
        if reason == _TOO_FAST_FROM_HOST:
            enough = self._came_lately(host) >= (limits.max_rate_per_host or 0)
            self._require(enough, "a host comes no faster than it may")

    def _came_lately(self, host: str) -> int:
        since = trio.current_time() - 1 - _ROUNDING_S
        return sum(each == host and when >= since for each, when in self._came)

    def check(self) -> None:
        """Check that each connection was reported to its end."""
        self._require(not self._peers, f"the ends of {len(self._peers)} connections are not reported")
        super().check()


def _host(peer: Peer) -> str:
    return peer.host if isinstance(peer, InternetPeer) else ""


def _first_port(listeners: list[ListenerStats]) -> int:
    return listeners[0].endpoint.port
