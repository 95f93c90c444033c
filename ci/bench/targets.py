"""The targets of the benchmark, and whether they are reached."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from ci.bench.buffers import BUFFER, READER
from ci.bench.peers import (
    BARE_LOOP,
    C_LOOP,
    C_TLS_LOOP,
    HANDLER,
    METERED,
    OURS,
    REDIS,
    REDIS_ASYNCIO,
    REDIS_UVLOOP,
)
from ci.bench.results import Run, by_round, growth_over, ratios
from ci.bench.works import WORKS, Work


@dataclass(frozen=True)
class Target:
    """One claim: `subject` in `work` is at least `ratio` times as good as `against`.

    Without `against` it is a bound on the subject's own figure: `bound` on the median, or, for a family of
    works, `growth` on the factor from one size to any larger one.
    """

    work: str
    subject: str
    against: str | None = None
    ratio: float | None = None
    bound: float | None = None
    growth: float | None = None

    @property
    def wanted(self) -> str:
        """The claim in words."""
        if self.ratio is not None:
            return f"at least {self.ratio:g} of {self.against}"
        if self.growth is not None:
            return f"grows at most {self.growth:g}-fold"
        return f"at most {self.bound:g}"


@dataclass(frozen=True)
class Verdict:
    """The result for a target: the median over the rounds, None if nothing was measured."""

    target: Target
    measured: float | None
    rounds: int

    @property
    def reached(self) -> bool | None:
        """Whether the target was reached; None if nothing was measured."""
        if self.measured is None:
            return None
        if self.target.ratio is not None:
            return self.measured >= self.target.ratio
        return self.measured <= (self.target.growth or self.target.bound or 0)


def _each(works: tuple[str, ...], subject: str, ratio_of: dict[str, float]) -> tuple[Target, ...]:
    return tuple(Target(work, subject, peer, ratio) for work in works for peer, ratio in ratio_of.items())


TARGETS = (
    *_each(("line-50",), OURS, {"uvloop Protocol": 1.0, BARE_LOOP: 0.9, C_LOOP: 0.85}),
    *_each(("line-1000",), OURS, {"uvloop Protocol": 1.0, BARE_LOOP: 0.9, C_LOOP: 0.75}),
    *_each(("pipeline",), OURS, {"uvloop Protocol": 1.5, BARE_LOOP: 0.75, C_LOOP: 0.8}),
    *_each(("long-line",), OURS, {"uvloop Protocol": 2.0, BARE_LOOP: 0.75, C_LOOP: 0.4}),
    *_each(("connect",), OURS, {"uvloop Protocol": 1.1, C_LOOP: 0.85}),
    *_each(("connect-reset",), OURS, {"uvloop Protocol": 1.0}),
    *_each(("tls-line-50",), OURS, {"uvloop Protocol": 2.5, "asyncio Protocol": 1.3}),
    *_each(("tls-pipeline",), OURS, {"uvloop Protocol": 2.5, "asyncio Protocol": 1.8}),
    *_each(("tls-1MB",), OURS, {"uvloop Protocol": 1.3, "asyncio Protocol": 1.3}),
    *_each(("tls-handshakes",), OURS, {"uvloop Protocol": 1.0, C_TLS_LOOP: 0.8}),
    *_each(("tls-line-50",), HANDLER, {"uvloop streams": 1.5}),
    Target("tls-idle", OURS, bound=24 * 1024),
    Target("idle", OURS, bound=2048),
    *_each(
        ("line-50", "line-1000"), HANDLER, {"asyncio streams": 1.0, "plain trio": 1.5, "uvloop streams": 1.1}
    ),
    *_each(("pipeline",), HANDLER, {"uvloop streams": 6.0}),
    *_each(("line-1",), OURS, {"plain trio": 1.0, "uvloop Protocol": 1.0}),
    *_each(("line-1",), HANDLER, {"plain trio": 0.95, "uvloop streams": 1.05}),
    *_each(("redis-ping-1", "redis-set-1", "redis-get-1"), REDIS, {REDIS_ASYNCIO: 1.1, REDIS_UVLOOP: 1.0}),
    *_each(("redis-ping-16", "redis-set-16", "redis-get-16"), REDIS, {REDIS_ASYNCIO: 3.0, REDIS_UVLOOP: 2.5}),
    *_each(("metrics/line-50", "metrics/connect"), METERED, {OURS: 0.97}),
    *_each(("linebuffer/bytes",), BUFFER, {READER: 10.0}),
    # Linear and flat, but for what caches cost: a line 10,000 times as long, 500 times as many connections.
    Target("line-size", OURS, growth=2.0),
    Target("connections", OURS, growth=1.5),
)


def family(name: str) -> list[Work]:
    """Return the works of a family, sizes ascending."""
    return [work for work in WORKS if work.family == name]


def judge(target: Target, runs: Sequence[Run]) -> Verdict:
    """Hold `target` against what was measured."""
    if target.growth is not None:
        return Verdict(target, *growth_over(runs, family(target.work), target.subject))
    [work] = [work for work in WORKS if work.name == target.work]
    ours = by_round(runs, work.name, target.subject, work.measure.metric)
    values = list(ours.values())
    if target.against is not None:
        theirs = by_round(runs, work.name, target.against, work.measure.metric)
        values = ratios(ours, theirs, work.measure)
    return Verdict(target, median(values) if values else None, len(values))
