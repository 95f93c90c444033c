"""The supervisor with played workers: deaths, slow starts, signals and failures when a seed says so.

No process is started, and by the mock clock no time passes. What has to hold is in `Supervision`.
`python -m ci.simulate.supervisor --seeds N` prints for each seed that fails what was wrong, and the command
that repeats it.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import multiprocessing
import os
import random
import signal
import socket
import sys
import time
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Final, NamedTuple

import structlog
import trio
from trio.testing import MockClock

from caas_trio import ListenError, UsageError
from caas_trio.program.command import parse
from caas_trio.program.control import Control
from caas_trio.program.interpreter import Interpreter
from caas_trio.program.messages import MAX_MESSAGE_BYTES, WorkerConfig
from caas_trio.program.program import Program
from caas_trio.program.recycling import WorkerLimits
from caas_trio.program.sharedsockets import SharedSockets
from caas_trio.program.startup import HANDLED
from caas_trio.program.supervisor import Supervisor, WorkersFailed
from caas_trio.program.worker_process import StartedProcess
from caas_trio.testing.scheduling import seed_scheduler
from tests.support.workers import FakeWorker, HookedSockets, SocketHooks

from .course import DISTURBED_S, QUIET_S, SETTLED_S, Course, Event
from .observed import require

#: What may become of a new worker; see `FakeWorker`.
_BAD: Final = (
    *("fails", "no room", "crashes", "mute", "brief", "rude", "detached", "frozen", "busy"),
    *("uninterruptible", "sick", "stubborn", "lingering", "deaf", "impossible"),
)

#: How long a worker takes to get ready; two of them are about as long as it may take.
_SLOWNESS_S: Final = (0.0, 0.0, 0.1, 0.5, 2.0, 29.9, 30.0)

#: The longest that the stop may take: twice a drain of 100 seconds, where a worker retires, and more.
_STOP_S: Final = 250.0

#: The longest that the stop may take after a second signal.
_CUT_S: Final = 8.0

#: The longest that a reload may take: the one before it, and a start that fails.
_RELOAD_S: Final = 90.0

_RESULTS: Final = frozenset({"reloaded", "the settings could not be reloaded; the old workers stay"})


class Result(NamedTuple):
    """The result of a seed.

    Attributes:
        seed: the seed.
        trace_hash: what happened, in short.
        failure: what was wrong; None if nothing was.
        ended: how the service ended.
    """

    seed: int
    trace_hash: str
    failure: str | None
    ended: str


@dataclass
class Supervision:
    """A supervisor at work, and what has happened.

    What has to hold:

    * no two workers have a slot at the same time;
    * each reload comes to a result, and no result comes without one;
    * workers are not started over and over;
    * once nothing more goes wrong, there are as many workers as there should be, and all of them serve;
    * workers that all die end the service, and those that do not do not;
    * a stop ends everything, in time, and a second one at once; nothing is left open.
    """

    course: Course
    nursery: trio.Nursery
    choices: random.Random
    trace: list[tuple[float, str]] = field(default_factory=list)
    started: list[FakeWorker] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    worn: dict[int, trio.Event] = field(default_factory=dict)
    mistake: str | None = None
    failing_listen: int = 0
    failing_takeover: int = 0
    calm: bool = True
    #: How many workers the settings ask for, as they are read next.
    wanted: int = 0
    #: How many the last reload that succeeded asked for.
    current: int = 0
    reloads: list[float] = field(default_factory=list)
    results: list[float] = field(default_factory=list)
    stops: list[float] = field(default_factory=list)
    over: trio.Event = field(default_factory=trio.Event)
    failure: Exception | None = None
    ended_at: float = 0.0
    begun: bool = False

    def note(self, what: str) -> None:
        """Add to the trace."""
        self.trace.append((round(trio.current_time(), 6), what))

    # What the supervisor is given.

    def program(self) -> Program:
        """Return the settings as they are now."""
        log: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
            None, processors=[self._logged], wrapper_class=structlog.make_filtering_bound_logger(0)
        )
        limits = WorkerLimits(timeout=self.course.timeout)
        return replace(_settings(), log=log, workers=self.wanted, worker_limits=limits)

    def _logged(self, _: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        text = str(event["event"])
        self.note(f"{text} {event.get('reason', '')} {event.get('worker', '')}")
        if text in _RESULTS:
            self.results.append(trio.current_time())
        if text == "reloaded":
            self.current = event["workers"]
        raise structlog.DropEvent

    def parse(self, _: object) -> Program:
        """Read the settings again."""
        if self.mistake is not None:
            reason, self.mistake = self.mistake, None
            raise UsageError(reason)
        return self.program()

    def start(self, config: WorkerConfig) -> StartedProcess:
        """Start a worker, as the seed has it."""
        taken = {worker.config.slot for worker in self.started if worker.returncode is None}
        require(config.slot not in taken, f"two workers have the slot {config.slot}")
        behavior, slowness = self._behavior()
        self.starts.append(trio.current_time())
        self.note(f"start {len(self.started)} {behavior} {slowness} in slot {config.slot}")
        if behavior == "impossible":
            raise OSError(11, "no room for it")
        ours, theirs = socket.socketpair()
        worker = FakeWorker(100 + len(self.started), config, theirs, behavior, slowness)
        self.worn[worker.pid] = trio.Event()
        self.started.append(worker)
        self.nursery.start_soon(_play, worker)
        return StartedProcess(worker, Control(ours, MAX_MESSAGE_BYTES))

    def _behavior(self) -> tuple[str, float]:
        if self.doomed:
            return self.choices.choice(("crashes", "brief")), 0.0
        if self.calm or self.choices.random() >= self.course.badness:
            return "good", 0.0 if self.calm else self.choices.choice(_SLOWNESS_S)
        return self.choices.choice(_BAD), self.choices.choice(_SLOWNESS_S)

    @property
    def doomed(self) -> bool:
        """Whether every new worker dies at once."""
        return self.course.doomed and self.begun and trio.current_time() >= DISTURBED_S / 2

    async def wait_until_worn(self, pid: int, _: WorkerLimits) -> str:
        """Return once a worker is worn."""
        await self.worn[pid].wait()
        return "lifetime"

    async def before_change(self) -> None:
        """Fail as it is to be."""
        if self.failing_listen:
            self.failing_listen -= 1
            raise ListenError("tcp://127.0.0.1:0", "the address is in use")

    async def before_takeover(self) -> None:
        """Likewise."""
        if self.failing_takeover:
            self.failing_takeover -= 1
            raise ListenError("unix:/a", "the server that listens on it does not stop")

    # What happens.

    async def serve(self) -> None:
        """Run the supervisor to its end."""
        hooks = SocketHooks(before_change=self.before_change, before_takeover=self.before_takeover)
        supervisor = Supervisor(
            [],
            self.program(),
            Interpreter.current(),
            parse=self.parse,
            start=self.start,
            wait_until_worn=self.wait_until_worn,
            sockets=HookedSockets(hooks, SharedSockets()),
        )
        try:
            await supervisor.run()
        except* (WorkersFailed, ListenError, UsageError) as failures:
            self.failure = failures
            while isinstance(self.failure, ExceptionGroup):
                [self.failure] = self.failure.exceptions
        self.ended_at = trio.current_time()
        self.note(f"over {self.failure}")
        self.over.set()

    async def disturb(self) -> None:
        """Do what the course says, then let it settle."""
        await trio.sleep(QUIET_S)
        self.begun, self.calm = True, False
        for event in self.course.events:
            await trio.sleep_until(event.at)
            if self.over.is_set():
                return
            self._do(event)
        await trio.sleep_until(DISTURBED_S)
        self.calm = True
        self.failing_listen = self.failing_takeover = 0
        self.mistake = None
        if self.course.doomed and self.alive:
            self.alive[0].end(-signal.SIGKILL)
        await trio.sleep(SETTLED_S)

    def _do(self, event: Event) -> None:
        self.note(f"{event.what} {event.number}")
        match event.what:
            case "reload":
                self.wanted = event.number
                if not self.stops:
                    self.reloads.append(trio.current_time())
                signal.raise_signal(signal.SIGHUP)
            case "stop":
                self.stop()
            case "kill" | "wear":
                for worker in self.alive[: event.number]:
                    worker.end(-signal.SIGKILL) if event.what == "kill" else self.worn[worker.pid].set()
            case "settings":
                self.mistake = "that is no number"
            case "listen":
                self.failing_listen = event.number
            case "take over":
                self.failing_takeover = event.number

    def stop(self) -> None:
        """Send a signal to stop."""
        self.stops.append(trio.current_time())
        signal.raise_signal(self.choices.choice((signal.SIGTERM, signal.SIGINT)))

    @property
    def alive(self) -> list[FakeWorker]:
        """The workers that run."""
        return [worker for worker in self.started if worker.returncode is None]

    # What has to hold.

    def check_settled(self) -> None:
        """Check a service in which nothing has gone wrong for a while."""
        serving = [worker for worker in self.alive if not worker.commands]
        told = [(worker.pid, worker.behavior) for worker in serving]
        require(len(serving) == self.current, f"{told} serve, and {self.current} should")
        require(serving == self.alive, f"of {len(self.alive)} workers, only {told} serve")
        require(self.starts[-1] < trio.current_time() - 100, "workers are still being started")

    def check_reloads(self) -> None:
        """Check that each reload has come to a result."""
        until = min([self.ended_at if self.failure is None else self.ended_at - _STOP_S, *self.stops])
        for asked in self.reloads:
            answered = any(asked <= result <= asked + _RELOAD_S for result in self.results)
            require(answered or until <= asked + _RELOAD_S, f"the reload of {asked:g} s has no result")
        require(len(self.results) <= len(self.reloads), "there are more results than reloads")

    def check_starts(self) -> None:
        """Check that workers are not started without end."""
        for first in self.starts:
            number = sum(first <= start < first + 1 for start in self.starts)
            # In each place five fail within two seconds; there may be places of two reloads at a time.
            asked = sum(first - _RELOAD_S <= reload < first + 1 for reload in self.reloads) + 1
            require(number <= 5 * 6 * asked, f"{number} workers are started within a second")

    def check_end(self) -> None:
        """Check the end of the service."""
        require(not self.alive, f"workers are left: {[worker.pid for worker in self.alive]}")
        if self.stops:
            took = self.ended_at - self.stops[0]
            require(took <= _STOP_S, f"the stop took {took:g} seconds")
        if len(self.stops) > 1:
            took = self.ended_at - self.stops[1]
            require(took <= _CUT_S, f"the second stop took {took:g} seconds")
        if self.failure is not None:
            killed = self.started and any(event.what == "kill" for event in self.course.events)
            bad = any(worker.behavior != "good" for worker in self.started)
            require(bad or killed, f"it has given up without a reason: {self.failure}")


@cache
def _settings() -> Program:
    """Return what all settings have in common; the log that comes with them opens a descriptor, once."""
    program = parse(["tcp://127.0.0.1:0"])
    assert isinstance(program, Program)  # noqa: S101 - nothing is shown and no more
    return program


async def _play(worker: FakeWorker) -> None:
    with suppress(trio.ClosedResourceError):  # it is killed
        await worker.run()


async def _course(course: Course, runs: list[Supervision]) -> None:
    with trio.fail_after(5000):
        async with trio.open_nursery() as nursery:
            choices = random.Random(f"workers/{course.seed}")  # noqa: S311 - to be repeated
            run = Supervision(course, nursery, choices, wanted=course.workers, current=course.workers)
            runs.append(run)
            nursery.start_soon(run.serve)
            await run.disturb()
            if not run.over.is_set() and not run.stops:
                require(not course.doomed, "workers die at once, and the service goes on")
                run.check_settled()
                run.stop()
            with trio.move_on_after(_STOP_S):
                await run.over.wait()
            require(run.over.is_set(), "the stop has no end")
            nursery.cancel_scope.cancel()
    run.check_reloads()
    run.check_starts()
    run.check_end()


def play(seed: int, kind: type[Course] = Course) -> Result:
    """Play one seed in a run of its own."""
    runs: list[Supervision] = []
    failure: str | None = None
    seed_scheduler(seed)
    _settings()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - their number
    try:
        with redirect_stdout(io.StringIO()):
            trio.run(_course, kind.drawn(seed), runs, clock=MockClock(autojump_threshold=0))
        after = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - their number
        require(after == before, f"{after - before} descriptors are left open")
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is this seed's
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        failure = f"{type(error).__name__}: {error}"
    trace = repr(runs[0].trace if runs else None)
    ended = "not at all" if not runs or not runs[0].over.is_set() else str(runs[0].failure or "stopped")
    return Result(seed, hashlib.blake2b(trace.encode(), digest_size=16).hexdigest(), failure, ended)


def show(seed: int) -> None:
    """Print what happens in one seed."""
    runs: list[Supervision] = []
    seed_scheduler(seed)
    try:
        trio.run(_course, Course.drawn(seed), runs, clock=MockClock(autojump_threshold=0))
    finally:
        print(Course.drawn(seed))
        for at, what in runs[0].trace:
            print(f"{at:12.6f}  {what}")


def main() -> int:
    """Run the command; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="the first of them")
    parser.add_argument("--trace", action="store_true", help="show what happens in the first seed")
    options = parser.parse_args()
    for number in HANDLED:  # nohup ignores one, a shell's `&` another, and a supervisor leaves both ignored
        signal.signal(number, signal.SIG_DFL)
    if options.trace:
        show(options.seed)
        return 0
    begun, failures, gave_up = time.monotonic(), 0, 0
    with multiprocessing.Pool() as pool:
        for result in pool.imap(play, range(options.seed, options.seed + options.seeds), chunksize=10):
            gave_up += result.ended != "stopped"
            if result.failure is not None:
                failures += 1
                print(f"seed {result.seed}: {result.failure}")
                print(f"    python -m ci.simulate.supervisor --trace --seed {result.seed}", flush=True)
    seconds = time.monotonic() - begun
    print(f"{options.seeds} seeds in {seconds:.0f} s, {failures} failed; {gave_up} services gave up")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
