"""What a service does and has done in the last minutes: `Status`, and the `History` behind it.

All of it is read from the metrics, as Prometheus would: nothing else is counted for it.
"""

from __future__ import annotations

import math
from collections import Counter as Tally
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import trio
from prometheus_client.core import Metric

from caas_trio import __version__

#: How often (seconds) the metrics are sampled, and how many samples are kept: five minutes.
PERIOD_S: Final = 5.0
KEPT: Final = 61

#: The period that percentiles of reply times cover, in seconds.
WINDOW_S: Final = 60.0

PERCENTILES: Final = (50, 90, 99)

#: The counters that are shown: name, unit, sample.
_COUNTERS: Final = (
    ("new connections", "/s", "caas_trio_connections_accepted_total"),
    ("lines", "/s", "caas_trio_lines_total"),
    ("received", "B/s", "caas_trio_bytes_received_total"),
    ("sent", "B/s", "caas_trio_bytes_sent_total"),
    ("datagrams", "/s", "caas_trio_datagrams_total"),
    ("refusals", "/s", "caas_trio_connections_refused_total"),
    ("timeouts", "/s", "caas_trio_timeouts_total"),
    ("oversize lines", "/s", "caas_trio_oversize_total"),
    ("bugs", "/s", "caas_trio_handler_failures_total"),
)
_OPEN: Final = "caas_trio_connections_open"
_ENDED: Final = "caas_trio_connections_total"
_BUCKET: Final = "caas_trio_reply_seconds_bucket"


@dataclass(frozen=True, kw_only=True)
class Series:
    """A value, and its history.

    Attributes:
        name: what is counted.
        unit: of `now` and `history`.
        now: the present value.
        total: what has been counted since the start; None for what does not add up.
        history: earlier values, the oldest first, one for each `PERIOD_S`.
    """

    name: str
    unit: str
    now: float
    total: float | None
    history: Sequence[float]


@dataclass(frozen=True, kw_only=True)
class EndpointStatus:
    """The connections of an endpoint; `ended` has how many have ended, by outcome."""

    endpoint: str
    open: float
    accepted: float
    per_second: float
    ended: Sequence[tuple[str, float]]


@dataclass(frozen=True, kw_only=True)
class WorkerStatus:
    """A process that serves: its number, how many seconds it is old, and its resident memory in bytes."""

    number: int
    pid: int
    state: str
    age_s: float
    memory: int


@dataclass(frozen=True, kw_only=True)
class ReloadStatus:
    """The last reload: how many seconds ago it was, and why it failed (None if it did not)."""

    ago_s: float
    failure: str | None


@dataclass(frozen=True, kw_only=True)
class ServiceStatus:
    """The part of the status that is not in the metrics.

    Attributes:
        state: "starting", "serving" or "stopping".
        workers: the processes.
        reload: the last one; None if there was none.
    """

    state: str
    workers: Sequence[WorkerStatus]
    reload: ReloadStatus | None = None


@dataclass(frozen=True, kw_only=True)
class Status:
    """The status of a service at one moment.

    Attributes:
        service: what the metrics do not say.
        age_s: how many seconds ago the history began.
        series: the values that change.
        limit: how many connections may be open.
        reply_times: in seconds, of the last minute, for each of `PERCENTILES`; nan if no client was served.
        endpoints: those for connections.
        refusals: how many there were, by reason.
        timeouts: how many there were, by kind.
        version: of this package.
    """

    service: ServiceStatus
    age_s: float
    series: Sequence[Series]
    limit: float
    reply_times: Sequence[float]
    endpoints: Sequence[EndpointStatus]
    refusals: Sequence[tuple[str, float]]
    timeouts: Sequence[tuple[str, float]]
    version: str = __version__


class LastReload:
    """Remembers how the last reload went.

    Args:
        clock: returns the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = trio.current_time) -> None:
        self._clock = clock
        self._last: tuple[float, str | None] | None = None

    def note(self, failure: str | None) -> None:
        """Note that a reload has succeeded, or why it has failed."""
        self._last = self._clock(), failure

    def status(self) -> ReloadStatus | None:
        """Return the last reload; None if there was none."""
        if self._last is None:
            return None
        at, failure = self._last
        return ReloadStatus(ago_s=self._clock() - at, failure=failure)


@dataclass(frozen=True)
class _Look:
    """One sample of the metrics.

    Attributes:
        at: its time, in seconds.
        sums: over all labels, by the name of the sample.
        labelled: by the name of the sample and its labels.
        buckets: by bound in seconds: how many replies took no longer.
    """

    at: float
    sums: Tally[str] = field(default_factory=Tally)
    labelled: dict[str, dict[tuple[str, ...], float]] = field(default_factory=dict)
    buckets: dict[float, float] = field(default_factory=dict)

    def add(self, families: Iterable[Metric]) -> None:
        """Add the values of some metrics."""
        for family in families:
            for sample in family.samples:
                if sample.name == _BUCKET:
                    self.buckets[float(sample.labels["le"])] = sample.value
                else:
                    self.sums[sample.name] += sample.value  # type: ignore[assignment] # floats, too
                    self.labelled.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value

    def by_label(self, name: str) -> list[tuple[str, float]]:
        """Return the values of a metric with one label that are not 0, the highest first."""
        found = [(label, value) for (label,), value in self.labelled.get(name, {}).items() if value]
        return sorted(found, key=lambda each: -each[1])


class History:
    """Samples the metrics at intervals, and keeps those of the last minutes.

    Args:
        collect: returns the metrics.
        clock: returns the time in seconds.
    """

    def __init__(
        self, collect: Callable[[], Iterable[Metric]], clock: Callable[[], float] = trio.current_time
    ) -> None:
        self._collect = collect
        self._clock = clock
        self._begun = clock()
        self._looks: deque[_Look] = deque([_Look(self._begun)], KEPT)

    async def keep(self, failed: Callable[[Exception], object]) -> None:
        """Sample the metrics every `PERIOD_S`, until cancelled.

        Args:
            failed: called with the error of a sample that fails, once until one succeeds:
                workers share their metrics in files, where one that was taken over may write anything.
        """
        failing = False
        while True:
            await trio.sleep(PERIOD_S)
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - whatever is said of what holds no metrics
                if not failing:
                    failed(error)
                failing = True
            else:
                failing = False

    def look(self) -> None:
        """Take a sample of the metrics."""
        self._looks.append(self._now())

    def status(self, service: ServiceStatus) -> Status:
        """Return what the service does now."""
        now = self._now()
        looks = [*self._looks, now]
        before = _older(looks, PERIOD_S)
        return Status(
            service=service,
            age_s=now.at - self._begun,
            series=list(_series(looks, before)),
            limit=now.sums["caas_trio_connections_limit"],
            reply_times=[percentile(_older(looks, WINDOW_S), now, each) for each in PERCENTILES],
            endpoints=list(_endpoints(before, now)),
            refusals=now.by_label("caas_trio_connections_refused_total"),
            timeouts=now.by_label("caas_trio_timeouts_total"),
        )

    def _now(self) -> _Look:
        look = _Look(self._clock())
        look.add(self._collect())
        return look


def _older(looks: Sequence[_Look], seconds: float) -> _Look:
    """Return the newest sample that is at least this much older than the last one; the oldest if none is."""
    latest = looks[-1].at - seconds
    return next((look for look in reversed(looks) if look.at <= latest), looks[0])


def _series(looks: Sequence[_Look], before: _Look) -> Iterable[Series]:
    now, pairs = looks[-1], list(pairwise(looks))
    is_open = now.sums[_OPEN]
    history = [look.sums[_OPEN] for look in looks[1:]]
    yield Series(name="open connections", unit="", now=is_open, total=None, history=history)
    for name, unit, sample in _COUNTERS:
        yield Series(
            name=name,
            unit=unit,
            now=_rate(before, now, before.sums[sample], now.sums[sample]),
            total=now.sums[sample],
            history=[_rate(one, two, one.sums[sample], two.sums[sample]) for one, two in pairs],
        )
    last = [percentile(one, two, PERCENTILES[-1]) for one, two in pairs]
    yield Series(
        name=f"reply time, {PERCENTILES[-1]} %",
        unit="s",
        now=percentile(before, now, PERCENTILES[-1]),
        total=None,
        history=[0.0 if math.isnan(each) else each for each in last],
    )


def _rate(one: _Look, two: _Look, before: float, after: float) -> float:
    """Return the growth of a counter per second; 0 if it is gone."""
    return max(0.0, after - before) / max(two.at - one.at, 1e-3)


def _endpoints(before: _Look, now: _Look) -> Iterable[EndpointStatus]:
    name = "caas_trio_connections_accepted_total"
    for (endpoint,), accepted in now.labelled.get(name, {}).items():
        earlier = before.labelled.get(name, {}).get((endpoint,), 0)
        ended = {
            outcome: number
            for (at, outcome), number in now.labelled.get(_ENDED, {}).items()
            if at == endpoint and number
        }
        yield EndpointStatus(
            endpoint=endpoint,
            open=now.labelled.get(_OPEN, {}).get((endpoint,), 0),
            accepted=accepted,
            per_second=_rate(before, now, earlier, accepted),
            ended=sorted(ended.items(), key=lambda each: -each[1]),
        )


def percentile(one: _Look, two: _Look, share: float) -> float:
    """Return the seconds within which `percent` per cent of the replies between two samples were made.

    As in Prometheus, a bucket counts as filled evenly. Return nan if there were no replies.
    """
    counts = sorted((bound, count - one.buckets.get(bound, 0)) for bound, count in two.buckets.items())
    total = counts[-1][1] if counts else 0
    if total <= 0:
        return math.nan
    wanted = total * share / 100
    place = next(place for place, (_, count) in enumerate(counts) if count >= wanted)
    bound, count = counts[place]
    lower, below = counts[place - 1] if place else (0.0, 0.0)
    return lower if bound == math.inf else lower + (bound - lower) * (wanted - below) / (count - below)
