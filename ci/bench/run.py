"""Rounds: every peer does every work once a round, in an order drawn anew each time."""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from ci.bench import buffers, load, machine, server
from ci.bench.figures import Run
from ci.bench.load import LoadReport
from ci.bench.peers import Peer
from ci.bench.works import Work

HOLD_SECONDS = 30  # how long idle connections are held at most; the runner lets go much earlier
SETTLE_SECONDS = 0.7  # between the last connection and the weighing


@dataclass(frozen=True)
class Settings:
    """How to measure: seconds per run, where the C programs are, and on which core the server runs."""

    seconds: float
    warmup: float
    build: Path
    server_core: int


@dataclass(frozen=True)
class Mark:
    """What was read off at one stage of a run.

    Attributes:
        cpu: seconds of CPU time the server has used.
        waited: seconds in which server or load could have run while something else had their core.
        memory: bytes the server holds.
    """

    cpu: float = 0
    waited: float = 0
    memory: int = 0


@dataclass(frozen=True)
class Job:
    """One run to be made; without a peer, `name` is one of the buffers."""

    work: Work
    name: str
    round: int
    peer: Peer | None = None


def plan(
    works: Sequence[Work], peers: Sequence[Peer], rounds: int, shuffle: Callable[[list[Job]], None]
) -> Iterator[Job]:
    """Yield all jobs, round by round and work by work, those of one work in one round in shuffled order."""
    for number in range(rounds):
        for work in works:
            if work.mode == "buffer":
                jobs = [Job(work, name, number) for name in buffers.SUBJECTS]
            else:
                jobs = [Job(work, peer.name, number, peer) for peer in peers if work.takes(peer)]
            shuffle(jobs)
            yield from jobs


class Runner:
    """Makes runs; remembers who is absent, so that nobody waits twice for the same failure."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._absent: dict[str, str] = {}

    def run(self, job: Job) -> Run:
        """Make one run; what goes wrong is in the result, never raised."""
        if job.name in self._absent:
            return Run(job.work.name, job.name, job.round, problem=self._absent[job.name])
        try:
            figures = self._figures(job)
        except server.AbsentError as error:
            self._absent[job.name] = f"absent: {error}"
            return Run(job.work.name, job.name, job.round, problem=self._absent[job.name])
        except ImportError as error:  # the package that is to be measured in this very process
            return Run(job.work.name, job.name, job.round, problem=f"absent: {error}")
        except (load.BenchError, psutil.Error) as error:
            return Run(job.work.name, job.name, job.round, problem=f"failed: {error}")
        return Run(job.work.name, job.name, job.round, figures)

    def _figures(self, job: Job) -> dict[str, float]:
        settings, work = self._settings, job.work
        if job.peer is None:
            return {"megabytes": buffers.rate(job.name, work, settings.seconds)}
        if work.mode == "hold" and work.connections > load.spare_descriptors():
            raise load.BenchError(f"RLIMIT_NOFILE is too low for {work.connections} connections")
        with server.running(
            job.peer, unix=work.unix, build=settings.build, core=settings.server_core
        ) as peer:
            seconds = HOLD_SECONDS if work.mode == "hold" else settings.seconds
            told = load.arguments(work, peer.endpoint, warmup=settings.warmup, seconds=seconds)
            with load.running(settings.build / "load", told) as generator:
                marks = {"before": Mark(memory=peer.memory())} if work.mode == "hold" else {}
                for stage in generator.stages():
                    if stage == "holding":
                        time.sleep(SETTLE_SECONDS)
                        marks[stage] = Mark(memory=peer.memory())
                        generator.let_go()
                    else:
                        waited = machine.waited_seconds(peer.pid) + machine.waited_seconds(generator.pid)
                        marks[stage] = Mark(peer.cpu_seconds(), waited)
        if generator.report is None or generator.report.errors:
            errors = generator.report.errors if generator.report else {}
            raise load.BenchError(
                ", ".join(f"{count} {kind}" for kind, count in errors.items()) or "the load did not end"
            )
        return summarize(work, generator.report, marks)


def summarize(work: Work, report: LoadReport, marks: Mapping[str, Mark]) -> dict[str, float]:
    """Return the figures of a run.

    Args:
        work: what was done.
        report: what the load generator measured.
        marks: what was read off at each stage.

    Raises:
        BenchError: nothing was answered while measuring.
    """
    if work.mode == "hold":
        return {"memory": (marks["holding"].memory - marks["before"].memory) / work.connections}
    if report.lines <= 0 or (work.mode == "firehose" and report.p99_us is None):
        raise load.BenchError("nothing was answered while measuring")
    begin, end = marks["measuring"], marks["measured"]
    cpu = end.cpu - begin.cpu
    figures = {
        "throughput": report.throughput,
        "megabytes": report.throughput * work.line / 1e6,
        "p50": report.p50_us,
        "p99": report.p99_us,
        "cpu": cpu / report.lines * 1e6,
        "cpu_byte": cpu / report.lines / work.line * 1e9,
        "load": report.load_cpu,
        "waited": (end.waited - begin.waited) / report.seconds,
    }
    return {name: value for name, value in figures.items() if value is not None}


def shuffled(seed: int | None) -> Callable[[list[Job]], None]:
    """Return a function that shuffles in place."""
    return random.Random(seed).shuffle  # noqa: S311 - an order, not a secret
