"""The workers of one load of the settings, and the places that they fill: `Generation`, `Place`."""

from __future__ import annotations

from collections.abc import Iterator

import trio

from caas_trio.observing.status import WorkerStatus

from .messages import Command
from .program import Program
from .recycling import resident_bytes
from .sharedsockets import SharedSockets
from .worker_process import GRACE_S, Worker


class Generation:
    """The workers of one load of the settings.

    Args:
        program: the settings.
        sockets: what they serve.

    Attributes:
        workers: those that there are now.
        settled: set once all have been ready at the same time, or will not be.
        over: set once they have been sent the command to end.
        failure: why they did not all get ready.
    """

    def __init__(self, program: Program, sockets: SharedSockets) -> None:
        self.program = program
        self.sockets = sockets
        self.workers: set[Worker] = set()
        self.places: trio.Nursery
        self.settled = trio.Event()
        self.over = trio.Event()
        self.failure: str | None = None
        self._command = Command.STOP

    @property
    def ready(self) -> bool:
        """Whether it has workers that serve."""
        return any(worker.ready for worker in self.workers)

    def worker_statuses(self) -> Iterator[WorkerStatus]:
        """Yield what each worker does, how old it is and what memory it has."""
        for worker in self.workers:
            yield WorkerStatus(
                number=worker.slot,
                pid=worker.pid,
                state=worker.state,
                age_s=trio.current_time() - worker.started_at,
                memory=resident_bytes(worker.pid),
            )

    def check(self) -> None:
        """Set `settled` if enough workers are ready."""
        if sum(worker.ready for worker in self.workers) >= self.program.workers:
            self.settled.set()

    def fail(self, reason: str) -> None:
        """Abandon the generation before it is settled."""
        self.failure = reason
        self.end(Command.STOP)

    def end(self, command: Command) -> None:
        """Send a command to all workers, and to those that are being started once they are."""
        self._command = command
        self.over.set()
        self.settled.set()
        for worker in self.workers:
            self.end_worker(worker)

    def end_worker(self, worker: Worker) -> None:
        """Send one worker the command that all were sent."""
        worker.end(self._command, self.seconds_for(worker, self._command))

    def seconds_for(self, worker: Worker, command: Command) -> float:
        """Return how many seconds a worker may take to end at a command.

        A worker that does not serve yet has nothing to drain, and reads no commands before it is loaded.
        """
        if not worker.was_ready.is_set():
            return GRACE_S
        own = worker.drain_timeout
        drain = self.program.limits.drain_timeout if own is None else own
        return {Command.RETIRE: 2 * drain, Command.CUT: 0.0}.get(command, drain) + GRACE_S


class Place:
    """A place for one worker at a time.

    Args:
        predecessor: a worker that serves until there is one here, and then retires.
        origin: the place of the predecessor, which is handed on to this one.

    Attributes:
        filled: whether there has been a worker that served.
        settled: set once it is filled, or will not be while the predecessor serves.
        handed_on: whether its worker has a successor, in a place of its own.
    """

    def __init__(self, predecessor: Worker | None = None, origin: Place | None = None) -> None:
        self.predecessor = predecessor
        self.filled = False
        self.settled = trio.Event()
        self.handed_on = False
        self._origin = origin
        if origin is not None:
            origin.handed_on = True

    def give_back(self) -> None:
        """Leave the place to the predecessor, and to those that are started after it.

        Call it while that is one of the workers: later, its place may have been left to this one for good.
        """
        assert self._origin is not None  # noqa: S101 - there is a predecessor
        self._origin.handed_on = False
        self.settled.set()

    def fill(self) -> None:
        """Note that there is a worker that serves."""
        self.filled = True
        self.settled.set()
