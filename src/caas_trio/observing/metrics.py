"""Metrics for Prometheus: `PrometheusTelemetry`.

Most of what happens is counted in plain numbers, and handed to prometheus_client only for
a scrape: a scrape now and then pays for what every line would.

All metrics are of prometheus_client's plain kinds and in a registry of their own, without the
collectors that it has for the process and for Python: what is on the page is about the service.
"""

from __future__ import annotations

import platform
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Literal, TypeAlias

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from caas_trio import __version__
from caas_trio.core.endpoint import DATAGRAMS, Endpoint
from caas_trio.core.errors import TooSlow
from caas_trio.core.limits import Limits
from caas_trio.core.peer import Peer
from caas_trio.core.printable import printable
from caas_trio.core.telemetry import BOUNDS, BoundedNames, ListenerStats, Outcome, ServerStats, Telemetry
from caas_trio.server.admission import connection_limit

#: The timeouts that end a connection.
_TIMEOUTS: Final = ("opening_timeout", "idle_timeout", "line_timeout", "write_timeout")


#: What `ServerStats` counts, and the counters of the same names.
_MOVED: Final = ("received", "sent", "lines", "oversize")

#: How a gauge is added up where several processes serve: over those that live, or over all there were.
_Mode: TypeAlias = Literal["livemax", "livesum", "sum"]


class _Times(Histogram):
    """A histogram of values that were counted elsewhere."""

    def add(self, counts: Iterable[int], seconds: float) -> None:
        """Add observations, as a number for each bucket; the last bucket is for those beyond the bounds."""
        for bucket, count in zip(self._buckets, counts, strict=True):
            bucket.inc(count)
        self._sum.inc(seconds)


class _Running:
    """A counter whose sum is counted elsewhere."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._told = 0

    def advance_to(self, total: int) -> None:
        self._counter.inc(total - self._told)
        self._told = total


class _Connections:
    """The connections of an endpoint.

    Attributes:
        listener_stats: their statistics; several listeners may be at one endpoint.
    """

    def __init__(self, metrics: _Metrics, endpoint: Endpoint) -> None:
        at = printable(str(endpoint))
        self.listener_stats: list[ListenerStats] = []
        self._accepted = _Running(metrics.accepted.labels(at))
        self._ended = {outcome: _Running(metrics.ended.labels(at, outcome)) for outcome in Outcome}
        self._open = metrics.open.labels(at)

    def update(self) -> None:
        accepted = sum(each.accepted for each in self.listener_stats)
        ended = {outcome: sum(each.ended[outcome] for each in self.listener_stats) for outcome in Outcome}
        self._accepted.advance_to(
            accepted
        )  # first, so that a concurrent reader never sees more ended than admitted
        for outcome, total in ended.items():
            self._ended[outcome].advance_to(total)
        self._open.set(accepted - sum(ended.values()))


class _Metrics:
    """The metrics, as objects of prometheus_client."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"caas_trio_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str, mode: _Mode) -> Gauge:
            return Gauge(f"caas_trio_{name}", text, labels, registry=registry, multiprocess_mode=mode)

        at = "endpoint"
        self.build = gauge("build_info", "Always 1.", "version", "python_version", mode="livemax")
        self.limit = gauge("connections_limit", "How many connections may be open.", mode="livesum")
        self.open = gauge("connections_open", "Connections that are open now.", at, mode="sum")
        self.accepted = counter("connections_accepted", "Connections admitted.", at)
        self.ended = counter("connections", "Connections that have ended.", at, "outcome")
        self.refused = counter("connections_refused", "Connections refused, handshakes included.", "reason")
        self.timeouts = counter("timeouts", "Connections ended by this timeout.", "kind")
        self.failures = counter("handler_failures", "Conversations that failed by a bug.")
        self.accept_errors = counter("accept_errors", "Accepts without descriptors or memory.")
        self.drain_timeouts = counter("drain_timeouts", "Stops that cut connections off.")
        self.datagrams = counter("datagrams", "Datagrams that were served.", at)
        self.dropped = counter("datagrams_dropped", "Datagrams that were not answered.", "reason")
        self.failed = counter("datagram_failures", "Datagrams whose service failed by a bug.")
        self.oversize = counter("oversize", "Lines that were too long; none with --oversize stream.")
        self.lines = counter("lines", "Lines received: LFs, whatever they are part of.")
        self.received = counter("bytes_received", "Bytes received.")
        self.sent = counter("bytes_sent", "Bytes sent.")
        text = "Time from finding what a client has sent to having served it, the reply included."
        self.times = _Times("caas_trio_reply_seconds", text, buckets=BOUNDS, registry=registry)


class _UpdateFirst(Collector):
    """Updates the metrics before the registry collects them."""

    def __init__(self, update: Callable[[], None]) -> None:
        self._update = update

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        self._update()
        return ()


class PrometheusTelemetry(Telemetry):
    """Counts events, for prometheus_client; give it to `serve`.

    Admitted connections add up: `connections_accepted_total` is `connections_open` and all of
    `connections_total`, at every moment.

    Args:
        limits: those of the server that is observed.
        registry: where the metrics are registered; one of their own by default.
    """

    def __init__(self, limits: Limits, registry: CollectorRegistry | None = None) -> None:
        self._registry = CollectorRegistry() if registry is None else registry
        self._registry.register(_UpdateFirst(self.update))
        self._metrics = metrics = _Metrics(self._registry)
        self._connections: dict[Endpoint, _Connections] = {}
        self._datagrams: Tally[Endpoint] = Tally()
        self._datagrams_told: Tally[Endpoint] = Tally()
        self._stats: list[ServerStats] = []
        self._so_far = {name: _Running(getattr(metrics, name)) for name in _MOVED}
        self._waits_told = ServerStats().waits
        self._waited_told = 0.0
        self._reason = BoundedNames()
        metrics.build.labels(__version__, platform.python_version()).set(1)
        metrics.limit.set(connection_limit(limits.max_connections))
        for kind in _TIMEOUTS:
            metrics.timeouts.labels(kind)

    def page(self) -> bytes:
        """Return all metrics as they are now, in Prometheus's text format."""
        return generate_latest(self._registry)

    def families(self) -> Iterator[Metric]:
        """Yield the metrics as they are now, without those of others that are in the same registry."""
        self.update()
        for metric in vars(self._metrics).values():
            yield from metric.collect()

    def update(self) -> None:
        """Pass on to prometheus_client what was counted since the last time."""
        metrics = self._metrics
        for connections in self._connections.values():
            connections.update()
        for endpoint, served in self._datagrams.items():
            metrics.datagrams.labels(printable(str(endpoint))).inc(served - self._datagrams_told[endpoint])
            self._datagrams_told[endpoint] = served
        for name, running in self._so_far.items():
            running.advance_to(sum(getattr(each, name) for each in self._stats))
        waits = [sum(counts) for counts in zip(*(each.waits for each in self._stats), strict=True)]
        waited = sum(each.waited for each in self._stats)
        more = (now - before for now, before in zip(waits, self._waits_told, strict=True))
        if waits:
            metrics.times.add(more, waited - self._waited_told)
            self._waits_told, self._waited_told = waits, waited

    def listening(self, endpoint: Endpoint) -> None:
        """Put an endpoint of datagrams on the page before the first one; `counting` puts the others."""
        if endpoint.scheme in DATAGRAMS:
            self._datagrams[endpoint] += 0

    def counting(self, stats: ServerStats) -> None:
        """Keep the statistics of a server."""
        self._stats.append(stats)
        for listener_stats in stats.listeners:
            endpoint = listener_stats.endpoint
            if endpoint not in self._connections:
                self._connections[endpoint] = _Connections(self._metrics, endpoint)
            self._connections[endpoint].listener_stats.append(listener_stats)

    def conversation_failed(self, error: Exception, endpoint: Endpoint, peer: Peer) -> None:  # noqa: ARG002
        """Count a bug."""
        self._metrics.failures.inc()

    def conversation_ended(self, error: Exception | None, endpoint: Endpoint) -> None:  # noqa: ARG002
        """Count a timeout, if it was one."""
        if isinstance(error, TooSlow):
            self._metrics.timeouts.labels(error.limit).inc()

    def connection_refused(self, reason: str, endpoint: Endpoint, peer: Peer) -> None:  # noqa: ARG002
        """Count a refused connection."""
        self._metrics.refused.labels(printable(self._reason(reason))).inc()
        if reason == str(TooSlow("opening_timeout")):
            self._metrics.timeouts.labels("opening_timeout").inc()

    def datagram_served(self, endpoint: Endpoint) -> None:
        """Count a datagram."""
        self._datagrams[endpoint] += 1

    def datagram_dropped(self, reason: str, endpoint: Endpoint, sender: Peer | None) -> None:  # noqa: ARG002
        """Count a datagram that was not answered."""
        self._metrics.dropped.labels(printable(self._reason(reason))).inc()

    def datagram_failed(self, error: Exception, endpoint: Endpoint, sender: Peer) -> None:  # noqa: ARG002
        """Count a bug."""
        self._metrics.failed.inc()

    def accept_failed(self, error: OSError, endpoint: Endpoint) -> None:  # noqa: ARG002
        """Count a connection or a datagram that the machine had no room for."""
        self._metrics.accept_errors.inc()

    def drain_timed_out(self) -> None:
        """Count a drain that was not complete."""
        self._metrics.drain_timeouts.inc()
