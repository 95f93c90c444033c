"""Full load for a long time, by good clients and bad ones, and what the service holds meanwhile."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final

from caas_trio import Oversize
from caas_trio.core.telemetry import Outcome
from ci.bench import load
from ci.bench.works import Measure, Work
from ci.soak.chance import dice
from ci.soak.clients import KINDS, MAX_LINE, TIMEOUT, keep_coming, notice_stalls
from ci.soak.growth import MAX_GROWTH, growth, second_half
from ci.soak.ledger import Ledger, adds_up
from ci.soak.service import SERVICE, Page, Service, Weight, running

#: How long a round of the load generator takes, and how often the service is looked at (seconds).
_ROUND: Final = 5.0
_LOOK: Final = 2.0
#: How long clients have to leave, and the service to let go of all of them (seconds).
_LEAVING: Final = 90
_SETTLING: Final = 30

#: What the load generator does in turn.
_WORKS: Final = (
    Work("connect", "", Measure.CONNECTIONS, "connect", connections=50, line=40),
    Work("lines", "", Measure.LINES, connections=50, line=32),
    Work("connect", "", Measure.CONNECTIONS, "connect", connections=20, line=1000),
    Work("pipeline", "", Measure.LINES, connections=20, depth=100, line=60),
    Work("connect", "", Measure.CONNECTIONS, "connect", connections=100, line=MAX_LINE),
    Work("long lines", "", Measure.LINES, connections=5, depth=50, line=MAX_LINE),
)

COMPLETED: Final = frozenset({Outcome.COMPLETED})


@dataclass(frozen=True)
class Look:
    """One sample of a service, and its time in seconds since the beginning."""

    seconds: float
    weight: Weight
    open: int
    accepted: int
    lines: int


@dataclass
class Watched:
    """A service under load, and what is known of it.

    Attributes:
        policy: what it does with lines that are too long.
        service: its processes.
        workers: how many processes of it serve.
        first: how it was before any load, but for one look.
        last: how it was once all clients had gone.
        ledger: what its clients have done.
        looks: how it was meanwhile.
    """

    policy: Oversize
    service: Service
    workers: int
    first: Weight
    ledger: Ledger = field(default_factory=Ledger)
    looks: list[Look] = field(default_factory=list)
    last: Weight | None = None

    def look(self, seconds: float) -> Page:
        """Take a sample of metrics and processes."""
        page, weight = self.service.scrape(), self.service.weigh()
        counted = (
            page.total(name) for name in ("connections_open", "connections_accepted_total", "lines_total")
        )
        self.looks.append(Look(seconds, weight, *counted))
        for problem in adds_up(page):
            self.ledger.fault(f"after {seconds:.0f} s: {problem}")
        return page

    def growth(self) -> float:
        """Return by how many bytes its memory grew over the second half."""
        return growth(second_half([(look.seconds, look.weight.memory) for look in self.looks]))

    def metrics(self) -> dict[str, float]:
        """Return what there is to show."""
        half = second_half([(look.seconds, float(look.accepted)) for look in self.looks])
        hours = (half[-1][0] - half[0][0]) / 3600
        millions = (half[-1][1] - half[0][1]) / 1e6
        last, end = self.last or self.looks[-1].weight, self.looks[-1]
        grown = self.growth() / 1024
        return {
            "seconds": end.seconds,
            "connections": end.accepted,
            "lines": end.lines,
            "visits": self.ledger.visits.total(),
            "most open": max(look.open for look in self.looks),
            "cores": (end.weight.cpu - self.first.cpu) / end.seconds,
            "memory at first, KiB": self.first.memory / 1024,
            "memory at most, KiB": max(look.weight.memory for look in self.looks) / 1024,
            "memory at last, KiB": last.memory / 1024,
            "growth in the second half, KiB": grown,
            "KiB per hour": grown / hours if hours else 0,
            "KiB per million connections": grown / millions if millions else 0,
            "descriptors at first": self.first.descriptors,
            "descriptors at most": max(look.weight.descriptors for look in self.looks),
            "descriptors at last": last.descriptors,
            "threads at last": last.threads,
            "clients that were held up themselves": self.ledger.excused,
            "faults": self.ledger.faulty,
        }


async def generate(generator: Path, watched: Watched, over: asyncio.Event) -> None:
    """Run the load generator on one work after the other, until it is over."""
    ledger = watched.ledger
    works = list(_WORKS)
    while not over.is_set():
        dice.shuffle(works)
        for work in works:
            if over.is_set():
                break
            endpoint = dice.choice(watched.service.endpoints)
            arguments = load.arguments(work, endpoint, warmup=0, seconds=_ROUND)
            process = await asyncio.create_subprocess_exec(
                generator, *arguments, stdout=asyncio.subprocess.PIPE
            )
            said, _ = await process.communicate()
            report: dict[str, Any] = json.loads(said.splitlines()[-1])
            moved = report["whole_bytes"]
            ledger.visits[work.name] += report["whole"]
            ledger.ends[endpoint][COMPLETED] += report["whole"]
            ledger.received.add(moved, sure=True)
            ledger.lines.add(moved // work.line, sure=True)
            ledger.answered += moved
            for kind, count in report["errors"].items():
                if count:
                    ledger.fault(f"{work.name} at {endpoint}: {count} {kind}")


async def watch(services: Sequence[Watched], begun: float, over: asyncio.Event) -> None:
    """Take a sample of each service now and then, until it is over."""
    while not over.is_set():
        for each in services:
            await asyncio.to_thread(each.look, monotonic() - begun)
        await asyncio.sleep(_LOOK)


async def strain(services: Sequence[Watched], generator: Path, seconds: float) -> None:
    """Load all services for so long; return when all clients have gone."""
    over = asyncio.Event()
    async with asyncio.timeout(seconds + _LEAVING), asyncio.TaskGroup() as tasks:
        tasks.create_task(watch(services, monotonic(), over))
        tasks.create_task(notice_stalls([each.ledger for each in services], over))
        for each in services:
            tasks.create_task(generate(generator, each, over))
            for kind in KINDS:
                for _ in range(kind.count):
                    tasks.create_task(
                        keep_coming(kind, list(each.service.endpoints), each.policy, each.ledger, over)
                    )
        await asyncio.sleep(seconds)
        over.set()


async def check_at_rest(watched: Watched) -> None:
    """Wait until the service has let go of all; then its counts have to be the clients'."""
    ledger, deadline = watched.ledger, monotonic() + _SETTLING
    while True:
        page, weight = watched.service.scrape(), watched.service.weigh()
        if page.total("connections_open") == 0 and weight.descriptors == watched.first.descriptors:
            break
        if monotonic() > deadline:
            ledger.fault(
                f"{page.total('connections_open')} connections are left, and {weight.descriptors} "
                f"descriptors where there were {watched.first.descriptors}"
            )
            break
        await asyncio.sleep(0.5)
    watched.last = weight
    for difference in ledger.differences(page):
        ledger.fault(difference)
    if watched.growth() > MAX_GROWTH * watched.workers:
        ledger.fault(f"memory grew by {watched.growth() / 1024:.0f} KiB over the second half")
    if (status := watched.service.stop()) != 0:
        ledger.fault(f"it ended with {status}")
    if said := watched.service.said():
        ledger.fault(f"it said {said[:500]!r}")


def at_rest(service: Service) -> Weight:
    """Return what a service holds once it is ready, before the first client."""
    service.scrape()
    while True:
        before = service.weigh()
        sleep(2)
        if (now := service.weigh()).descriptors == before.descriptors:
            return now


def soak(
    policies: Sequence[Oversize],
    endpoints: Sequence[str],
    workers: int,
    seconds: float,
    generator: Path,
    *,
    program: Sequence[str] = SERVICE,
) -> list[Watched]:
    """Load a service for each policy, side by side, for `seconds`; return the results."""
    with ExitStack() as opened:
        services = []
        for policy in policies:
            arguments = ["--oversize", policy.value, "--max-line", str(MAX_LINE)]
            for name in ("idle", "line", "write"):
                arguments += [f"--{name}-timeout", str(TIMEOUT)]
            if workers > 1:
                arguments += ["--workers", str(workers)]
            service = opened.enter_context(running(arguments, endpoints, program))
            services.append(Watched(policy, service, workers, at_rest(service)))
        asyncio.run(strain(services, generator, seconds))
        for each in services:
            asyncio.run(check_at_rest(each))
        return services


def as_json(services: Sequence[Watched]) -> list[dict[str, Any]]:
    """Return all there is to keep."""
    return [
        {
            "oversize": each.policy.value,
            "metrics": each.metrics(),
            "visits": dict(each.ledger.visits),
            "faults": each.ledger.faults,
            "looks": [asdict(look) for look in each.looks],
        }
        for each in services
    ]
