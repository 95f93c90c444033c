"""The metrics of several worker processes on one page: `SharedMetrics`, and a worker's part in it.

This is prometheus_client's multiprocess mode: each worker writes its metrics into mapped files, and
the supervisor adds them up for each scrape. What a worker has written is not lost when it is killed.

That mode names files after process ids, and they pile up with every worker there ever was
(github.com/prometheus/client_python/issues/568). Here they are named after slots: small numbers that
are used again. A worker goes on counting where the one before it in its slot left off.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import trio
from prometheus_client import CollectorRegistry, generate_latest, values
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, Sample
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from caas_trio.core.telemetry import Outcome

from .slotvalues import OnError, check_file, slot_values

#: How often (seconds) a worker writes down what it has counted.
PERIOD: Final = 1.0


#: Why a worker may be replaced although it serves, or should.
REPLACED_FOR: Final = ("timeout", "lifetime", "max_rss")


class SharedMetrics:
    """The metrics of all workers: a context manager, which owns the folder that they write to.

    Connections add up at every moment, as they do in one process: those admitted are open or have
    ended, and those that a worker had open when it died were cut off.

    Attributes:
        folder: where the workers write.
    """

    folder: Path

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._gone = 0
        self._replaced = dict.fromkeys(REPLACED_FOR, 0)
        self._cut_off: dict[int, Tally[str]] = {}  # what workers had open, by slot and endpoint

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            self.folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="caas-trio-")))
            # Programs that remove old files, such as systemd-tmpfiles, leave locked folders alone
            # (github.com/python/cpython/issues/81831); without this one no worker could start.
            lock = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            opened.callback(os.close, lock)
            fcntl.flock(lock, fcntl.LOCK_SH)
            self._owned = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._owned.close()

    def page(self) -> bytes:
        """Return the sums over all workers, in Prometheus's text format."""
        return generate_latest(self._registry)

    def worker_gone(self, slot: int) -> bool:
        """Count the connections that the worker in this slot had open as cut off; its process has ended.

        If its files cannot be read, for want of a descriptor for example, the last known numbers stay. A
        worker that had been taken over may have written anything: such files are removed, for the next
        worker would go on with them.

        Returns:
            Whether its files held metrics.
        """
        self._gone += 1
        with suppress(OSError):
            try:
                accepted, ended = _let_in(self._sums(f"*_{slot}.db"))
            except OSError:
                return True
            except Exception:  # noqa: BLE001 - whatever prometheus_client raises for a file that is not its own
                self._cut_off.pop(slot, None)
                for file in self.folder.glob(f"*_{slot}.db"):
                    file.unlink()
                return False
            self._cut_off[slot] = accepted - ended  # over all workers the slot has had
            mark_process_dead(slot, str(self.folder))  # type: ignore[no-untyped-call]
        return True

    def worker_replaced(self, reason: str) -> None:
        """Count a worker that stood still, or is worn: for one of `REPLACED_FOR`."""
        self._replaced[reason] += 1

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics, for prometheus_client."""
        sums = self._sums("*.db")
        accepted, ended = _let_in(sums)
        ended += (cut_off := sum(self._cut_off.values(), Tally[str]()))
        for family in sums:
            if family.name == "caas_trio_connections":
                _correct(family, lambda at, sample: sample.value + cut_off[at] * _is_cut_off(sample))
            elif family.name == "caas_trio_connections_open":  # a moment older or newer than the others
                _correct(family, lambda at, _: accepted[at] - ended[at])
            yield family
        yield GaugeMetricFamily("caas_trio_workers", "Worker processes that serve, or drain.", self._alive())
        yield CounterMetricFamily("caas_trio_workers_gone", "Worker processes that have ended.", self._gone)
        text = "Worker processes that were replaced by a limit of theirs."
        replaced = CounterMetricFamily("caas_trio_workers_replaced", text, labels=["reason"])
        for reason, number in self._replaced.items():
            replaced.add_metric([reason], number)
        yield replaced

    def _alive(self) -> int:
        return sum(1 for _ in self.folder.glob("gauge_livesum_*.db"))

    def _sums(self, files: str) -> list[Metric]:
        """Return the sums over these files; one that is being made may be empty yet."""
        begun = [file for file in self.folder.glob(files) if file.stat().st_size]
        for file in begun:
            check_file(file)
        return list(MultiProcessCollector.merge(map(str, begun)))  # type: ignore[no-untyped-call]


def join(folder: Path, slot: int, on_error: OnError) -> None:
    """Write the metrics of this process, a worker, into the supervisor's folder.

    Call it before any metric is made. No two processes may have one slot at a time. Values for which
    there is no room are kept in memory until there is; `on_error` is called with the reason, once.

    Without this, `prometheus_client` decides by the environment at the moment it is imported.
    """
    values.ValueClass = slot_values(folder, slot, on_error)


async def keep_writing(update: Callable[[], None]) -> None:
    """Call `update` at intervals, and once more when cancelled."""
    try:
        while True:
            await trio.sleep(PERIOD)
            update()
    finally:
        update()


def _let_in(sums: Iterable[Metric]) -> tuple[Tally[str], Tally[str]]:
    """Return how many connections were admitted, and how many of them have ended, by endpoint."""
    accepted, ended = Tally[str](), Tally[str]()
    tallies = {"caas_trio_connections_accepted": accepted, "caas_trio_connections": ended}
    for family in sums:
        if family.name in tallies:
            for sample in family.samples:
                tallies[family.name][sample.labels["endpoint"]] += int(sample.value)
    return accepted, ended


def _correct(family: Metric, value: Callable[[str, Sample], float]) -> None:
    """Replace the value of each sample by a value computed from its endpoint and itself."""
    family.samples = [each._replace(value=value(each.labels["endpoint"], each)) for each in family.samples]


def _is_cut_off(sample: Sample) -> bool:
    return sample.labels["outcome"] == Outcome.CUT_OFF
