"""Workers under load: reloads without a failure, crashes that cost only their own connections, more cores.

python -m ci.soak.workers, which is what `nox -s workers` runs.
"""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any, Final

import click
import psutil
from rich import box
from rich.console import Console
from rich.table import Table

from ci.bench import load
from ci.bench.results import number
from ci.bench.works import Measure, Work
from ci.process import LISTENING, start
from ci.soak.service import Service, end_as_by_ctrl_c, running

BUILD: Final = Path("build/soak")
EXAMPLE: Final = Path(__file__).parents[2] / "docs" / "examples" / "several_processes.py"

CLIENTS: Final = 50
CONNECT: Final = Work(
    "connect", "connect, ask, check, close", Measure.CONNECTIONS, "connect", connections=CLIENTS
)
LINES: Final = Work("lines", "a line at a time", Measure.LINES, connections=CLIENTS)
WORKERS: Final = 2

#: How long the load goes on after a worker was killed, and how long another one may take (seconds).
_AFTER: Final = 4
_SOON: Final = 1.0
_TIMEOUT_S: Final = 15
_EPOLL: Final = "anon_inode"
_ROUNDS: Final = 5
_ROUND_SECONDS: Final = 2.0


@dataclass(frozen=True)
class Result:
    """The result of one programme: the metrics to show, and what was wrong."""

    name: str
    metrics: dict[str, float]
    faults: list[str]


@contextmanager
def loaded(work: Work, endpoint: str, seconds: float) -> Iterator["subprocess.Popen[str]"]:
    """Run the load generator meanwhile."""
    arguments = load.arguments(work, endpoint, warmup=0, seconds=seconds)
    with subprocess.Popen([BUILD / "load", *arguments], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def report(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """Wait for the load generator's end, and return its report."""
    said, _ = process.communicate()
    result: dict[str, Any] = json.loads(said.splitlines()[-1])
    return result


def wait_for(what: str, happened: Callable[[], bool]) -> float:
    """Return after how many seconds it happened."""
    begun = time.monotonic()
    while not happened():
        if time.monotonic() - begun > _TIMEOUT_S:
            raise TimeoutError(f"{what} has not happened in {_TIMEOUT_S} s")
        time.sleep(0.002)
    return time.monotonic() - begun


def pids(service: Service) -> set[int]:
    """Return the workers there are."""
    return {each.pid for each in service.workers() if each.is_running()}


def held(process: psutil.Process) -> Counter[str]:
    """Return what kinds of descriptors a process has, and how many of each."""
    kinds: Counter[str] = Counter()
    for each in Path(f"/proc/{process.pid}/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            kinds[each.readlink().name.partition(":[")[0]] += 1
    return kinds


def reload(endpoint: str, seconds: float, signals: int) -> Result:
    """Reload the service again and again under clients that connect all the time."""
    faults: list[str] = []
    with running(["--workers", str(WORKERS)], [endpoint]) as service:
        with loaded(CONNECT, service.endpoints[0], seconds) as clients:
            took = []
            for turn in range(1, signals + 1):
                due = time.monotonic() + seconds / (signals + 1)
                old = pids(service)
                service.process.send_signal(signal.SIGHUP)
                took.append(wait_for(f"reload {turn}", lambda: not old & pids(service)))  # noqa: B023 - at once
                time.sleep(max(0, due - time.monotonic()))
            said = report(clients)
        faults += [f"{count} of {said['whole']} {kind}" for kind, count in said["errors"].items() if count]
        if (status := service.stop()) != 0:
            faults.append(f"it ended with {status}")
    metrics = {
        "connections": said["whole"],
        "failures": sum(said["errors"].values()),
        "reloads": len(took),
        "seconds until the old have gone, median": median(took),
        "p99 of a visit, ms": said["p99_us"] / 1000,
        "the slowest, ms": said["max_us"] / 1000,
    }
    return Result(f"reload over {endpoint}", metrics, faults)


def crash(endpoint: str, work: Work) -> Result:
    """Kill a worker under load: what it served breaks, and nothing else."""
    faults: list[str] = []
    with running(["--workers", str(WORKERS)], [endpoint]) as service:
        workers = {each.pid: each for each in service.workers()}
        idle = held(next(iter(workers.values())))
        with loaded(work, service.endpoints[0], 2 + _AFTER) as clients:
            time.sleep(2)
            victim = max(workers.values(), key=psutil.Process.num_fds)
            victim.suspend()  # so that what it serves can be counted
            serving = held(victim)["socket"] - idle["socket"]
            victim.kill()

            def replaced() -> bool:
                """Whether there is a new one that has all it needs to accept."""
                new = [each for each in service.workers() if each.pid not in workers]
                return any(held(each)[_EPOLL] == idle[_EPOLL] for each in new)

            there = wait_for("another worker", replaced)
            said = report(clients)
        failures = sum(said["errors"].values())
        if failures > serving or (work.mode == "lines" and failures != serving):
            faults.append(
                f"{failures} failures, and {serving} connections were the worker's: {said['errors']}"
            )
        if there > _SOON:
            faults.append(f"another worker took {there:.1f} s")
        if (status := service.stop()) != 0:
            faults.append(f"it ended with {status}")
    metrics = {
        "connections that ended well": said["whole"],
        "connections of the killed worker": serving,
        "failures": failures,
        "seconds until another one was at work": there,
    }
    return Result(f"kill -9 over {endpoint}, {work.title}", metrics, faults)


@contextmanager
def several_processes(count: int) -> Iterator[str]:
    """Run the example whose handler works for a millisecond; yield where it listens."""
    command = [sys.executable, str(EXAMPLE), str(count), "0"]
    with start(command, announcements=[LISTENING] * count) as server:
        yield server.endpoint


@contextmanager
def service(count: int) -> Iterator[str]:
    """Run the service with `count` workers; yield where it listens."""
    with running(["--workers", str(count)] if count > 1 else [], ["tcp"]) as started:
        yield started.endpoints[0]
        started.stop()


def scale() -> Iterator[Result]:
    """Compare one process with two, round by round."""
    busy = replace(LINES, name="busy", title="1 ms of work per line", connections=20)
    for server, work in [(several_processes, busy), (service, LINES), (service, CONNECT)]:
        rates: dict[int, list[float]] = {1: [], WORKERS: []}
        for _, count in product(range(_ROUNDS), rates):
            with server(count) as endpoint, loaded(work, endpoint, _ROUND_SECONDS) as clients:
                rates[count].append(report(clients)["throughput"])
        metrics = {
            f"{work.measure.value[1]}, 1 process": median(rates[1]),
            f"{work.measure.value[1]}, {WORKERS} processes": median(rates[WORKERS]),
            "ratio, median of the rounds": median(
                more / one for one, more in zip(rates[1], rates[WORKERS], strict=True)
            ),
        }
        yield Result(f"{WORKERS} processes beside 1: {work.title}", metrics, [])


def show(console: Console, results: Sequence[Result]) -> None:
    """Print what came of it."""
    for result in results:
        table = Table(title=result.name, title_justify="left", box=box.SIMPLE, show_header=False)
        for name, value in result.metrics.items():
            table.add_row(name, number(value))
        console.print(table)
        for fault in result.faults:
            console.print(f"  {fault}", highlight=False)


@click.command()
@click.option("--only", type=click.Choice(["reload", "crash", "scale"]), help="This alone.")
@click.option("--seconds", type=click.FloatRange(5), default=60, show_default=True, help="For the reloads.")
@click.option("--signals", type=click.IntRange(1), default=10, show_default=True, help="How many reloads.")
@click.option(
    "--endpoint", "endpoints", type=click.Choice(["tcp", "unix"]), multiple=True, default=("tcp", "unix"),
    show_default=True, help="Where; may be repeated.",
)  # fmt: skip
def main(*, only: str | None, seconds: float, signals: int, endpoints: tuple[str, ...]) -> None:
    """Reload the service, kill its workers and add some, all under load, and see what it costs."""
    end_as_by_ctrl_c()
    load.build(BUILD)
    load.raise_file_limit()
    console, results = Console(), []
    for endpoint in endpoints:
        if only in {None, "reload"}:
            results.append(reload(endpoint, seconds, signals))
            show(console, results[-1:])
        if only in {None, "crash"}:
            for work in (LINES, CONNECT):
                results.append(crash(endpoint, work))
                show(console, results[-1:])
    if only in {None, "scale"}:
        for result in scale():
            results.append(result)
            show(console, [result])
    kept = [{"name": each.name, "metrics": each.metrics, "faults": each.faults} for each in results]
    (BUILD / "workers.json").write_text(json.dumps(kept, indent=1))
    if any(each.faults for each in results):
        sys.exit(1)


if __name__ == "__main__":
    main()
