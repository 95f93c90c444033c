"""One run: start the server, let the load work, read off what it cost, and stop both."""

import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from ci.bench import buffers, load, machine, redis, server
from ci.bench.peers import Peer
from ci.bench.plan import Job
from ci.bench.results import Mark, Run, summarize
from ci.bench.works import Work

HOLD_SECONDS = 30  # how long idle connections are held at most; the runner lets go much earlier
COMMANDS_PER_SECOND = {1: 20_000, 16: 80_000}  # by how many are sent at a time; roughly what peers reach
SETTLE_SECONDS = 0.7  # between the last connection and the weighing


@dataclass(frozen=True)
class Settings:
    """How to measure: seconds per run, where the C programs are, and on which core the server runs."""

    seconds: float
    warmup: float
    build: Path
    server_core: int


class Runner:
    """Runs jobs; a peer that is absent is tried once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._absent: dict[tuple[str, bool, bool], str] = {}  # by name and transport

    def run(self, job: Job) -> Run:
        """Run one job; what goes wrong is in the result, never raised."""
        identity, key = (job.work.name, job.name, job.round), (job.name, job.work.unix, job.work.tls)
        if key not in self._absent:
            try:
                return Run(*identity, self._metrics(job))
            except (server.AbsentError, ImportError) as error:
                self._absent[key] = f"absent: {error}"
            except (load.BenchError, psutil.Error, OSError) as error:
                return Run(*identity, problem=f"failed: {error}")
        return Run(*identity, problem=self._absent[key])

    def _metrics(self, job: Job) -> dict[str, float]:
        if job.peer is None:
            return {"megabytes": buffers.rate(job.name, job.work, self._settings.seconds)}
        return self._serve(job.peer, job.work)

    def _serve(self, peer: Peer, work: Work) -> dict[str, float]:
        settings = self._settings
        if work.connections > load.spare_descriptors():
            raise load.BenchError(f"RLIMIT_NOFILE is too low for {work.connections} connections")
        place = server.running(
            peer, unix=work.unix, tls=work.tls, build=settings.build, core=settings.server_core
        )
        with place as serving:
            if work.command:
                return self._command(serving, work)
            seconds = HOLD_SECONDS if work.mode == "hold" else settings.seconds
            arguments = load.arguments(work, serving.endpoint, warmup=settings.warmup, seconds=seconds)
            program = settings.build / ("load_tls" if work.tls else "load")
            with load.running(program, arguments) as generator:
                marks = {"before": Mark(memory=serving.memory())} if work.mode == "hold" else {}
                for stage in generator.stages():
                    if stage == "holding":
                        time.sleep(SETTLE_SECONDS)
                        marks[stage] = Mark(memory=serving.memory())
                        generator.let_go()
                    else:
                        waited = machine.waited_seconds(serving.pid) + machine.waited_seconds(generator.pid)
                        marks[stage] = Mark(serving.cpu_seconds(), waited)
        return summarize(work, generator.report, marks)

    def _command(self, serving: server.RunningPeer, work: Work) -> dict[str, float]:
        """Send the commands of a work by redis-benchmark, as many as take about the seconds of a run."""
        requests = int(COMMANDS_PER_SECOND[work.depth] * self._settings.seconds)
        port = int(serving.endpoint.rpartition(":")[2])
        before = serving.cpu_seconds()
        found = redis.rates(
            port, [work.command], depth=work.depth, requests=requests, connections=work.connections
        )
        [rate] = found.values()
        return {"throughput": rate, "cpu": (serving.cpu_seconds() - before) / requests * 1e6}
