"""Arithmetic on runs: medians, spread, and ratios within a round. Nothing here measures anything."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from ci.bench.load import BenchError, LoadReport
from ci.bench.works import Measure, Work


@dataclass(frozen=True)
class Run:
    """One peer doing one work once.

    Attributes:
        work: the work's name.
        peer: the peer's name.
        round: the number of the round; only runs of one round are compared with one another.
        metrics: what was measured, by name; see `Measure`.
        problem: why there is nothing to compare, in one line; None if all went well.
    """

    work: str
    peer: str
    round: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    problem: str | None = None


@dataclass(frozen=True)
class Mark:
    """The readings at one stage of a run.

    Attributes:
        cpu: seconds of CPU time the server has used.
        waited: seconds in which server or load could have run while something else had their core.
        memory: bytes the server holds.
    """

    cpu: float = 0
    waited: float = 0
    memory: int = 0


def summarize(work: Work, report: LoadReport, marks: Mapping[str, Mark]) -> dict[str, float]:
    """Return the metrics of a run.

    Args:
        work: what was done.
        report: what the load generator measured.
        marks: what was read off at each stage.

    Raises:
        BenchError: there were errors, or nothing was answered while measuring.
    """
    if report.errors:
        raise BenchError(", ".join(f"{count} {kind}" for kind, count in report.errors.items()))
    if work.mode == "hold":
        return {"memory": (marks["holding"].memory - marks["before"].memory) / work.connections}
    if report.lines <= 0 or (work.mode == "firehose" and report.p99_us is None):
        raise BenchError("nothing was answered while measuring")
    begin, end = marks["measuring"], marks["measured"]
    cpu = end.cpu - begin.cpu
    metrics = {
        "throughput": report.throughput,
        "megabytes": report.throughput * work.line / 1e6,
        "p50": report.p50_us,
        "p99": report.p99_us,
        "cpu": cpu / report.lines * 1e6,
        "cpu_byte": cpu / report.lines / work.line * 1e9,
        "load": report.load_cpu,
        "waited": (end.waited - begin.waited) / report.seconds,
    }
    return {name: value for name, value in metrics.items() if value is not None}


@dataclass(frozen=True)
class Spread:
    """The middle and the ends of what several rounds gave."""

    median: float
    minimum: float
    maximum: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread | None":
        """Summarize `values`; None if there are none."""
        return cls(median(values), min(values), max(values)) if values else None


def by_round(runs: Iterable[Run], work: str, peer: str, metric: str) -> dict[int, float]:
    """Return what `peer` reached in each round of `work` in which it reached anything."""
    return {
        run.round: run.metrics[metric]
        for run in runs
        if (run.work, run.peer) == (work, peer) and run.problem is None and metric in run.metrics
    }


def ratios(ours: Mapping[int, float], theirs: Mapping[int, float], measure: Measure) -> list[float]:
    """Return, for each round both took part in, how many times better ours was (below 1: worse)."""
    pairs = [(ours[r], theirs[r]) for r in sorted(ours.keys() & theirs.keys())]
    better = ((a, b) if measure.more_is_better else (b, a) for a, b in pairs)
    return [a / b for a, b in better if b > 0]


def growth(costs: Sequence[float]) -> float | None:
    """Return the worst factor by which a cost exceeds an earlier one; None for fewer than two costs.

    The costs are in order of size. 1 or less: no size costs more than a smaller one did. A cost of 0 was too
    small for the clock and is left out.
    """
    known = [cost for cost in costs if cost > 0]
    return max((later / min(known[:i]) for i, later in enumerate(known) if i), default=None)


def growth_over(runs: Sequence[Run], works: Sequence[Work], peer: str) -> tuple[float | None, int]:
    """Return the growth of a peer's median cost over a family of works, and from how many rounds at least.

    The medians come first: the worst of several noisy steps would be worse than any of them.
    """
    per_work = [list(by_round(runs, work.name, peer, work.measure.metric).values()) for work in works]
    if not all(per_work):
        return None, 0
    return growth([median(values) for values in per_work]), min(map(len, per_work))


def number(value: float | None) -> str:
    """Return a number with three significant digits, thousands apart; an empty text for None."""
    if value is None:
        return ""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:,.{digits}f}"
