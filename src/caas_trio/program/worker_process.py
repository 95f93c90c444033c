"""Worker processes, as their supervisor sees them: `Worker`, and `start_process`."""

from __future__ import annotations

import math
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple, Protocol, TypeAlias

import trio

from caas_trio.server.threads import thread_needed

from .control import Control, Order

#: How long (seconds) a worker may take to get ready.
WORKER_TIMEOUT_S: Final = 30.0


class Process(Protocol):
    """What a worker needs of `trio.Process`."""

    @property
    def pid(self) -> int:
        """The number of the process."""

    @property
    def returncode(self) -> int | None:
        """Its exit status, or minus the signal that ended it; None as long as it runs."""

    async def wait(self) -> int:
        """Wait for its end."""

    def kill(self) -> None:
        """Send it SIGKILL."""


class Started(NamedTuple):
    """A process that waits for its order, and the way to it."""

    process: Process
    control: Control


Start: TypeAlias = Callable[[Order], Awaitable[Started]]


class Death(NamedTuple):
    """What a worker died of.

    Attributes:
        slot: the number of the worker.
        pid: that of its process; None if there was none.
        reason: why.
        lived: how many seconds it had been ready; None if it never was.
        refused: whether it said itself that it cannot serve.
    """

    slot: int
    pid: int | None
    reason: str
    lived: float | None = None
    refused: bool = False

    def told(self) -> dict[str, object]:
        """Return what is logged of it."""
        process = {} if self.pid is None else {"pid": self.pid}
        return {"worker": self.slot, **process, "reason": self.reason}


class Worker:
    """A worker process, from its start to its end.

    Args:
        order: what it is to do.
        started: the process.
        heard: called with the worker whenever it has said something: that it is ready, or goes on.

    Attributes:
        slot: its number.
        pid: that of its process.
    """

    def __init__(self, order: Order, started: Started, heard: Callable[[Worker], object]) -> None:
        self.slot = order.slot
        self.pid = started.process.pid
        self._order = order
        self._process, self._control = started
        self._heard = heard
        self._patience = trio.CancelScope(deadline=trio.current_time() + WORKER_TIMEOUT_S)
        self._ordered = False
        self._word: str | None = None
        self._failure: str | None = None
        self._ready_at: float | None = None
        self._ended_at = 0.0

    @property
    def told(self) -> bool:
        """Whether it has been told to end."""
        return self._word is not None

    @property
    def ready(self) -> bool:
        """Whether it serves, and has not been told to end."""
        return self._ready_at is not None and not self.told

    def tell(self, word: str, patience: float) -> None:
        """Tell it to end; it is killed unless it has done so within so many seconds.

        Told once more, it has no longer than it had.
        """
        deadline = trio.current_time() + patience
        self._patience.deadline = min(deadline, self._patience.deadline) if self.told else deadline
        self._word = word
        if self._ordered:
            self._control.say(word)

    async def run(self) -> None:
        """Give it its order, and return when it is gone. Cancelled, kill it."""
        try:
            with self._patience:
                await self._control.send(self._order.line())
                self._ordered = True
                if self._word is not None:
                    self._control.say(self._word)
                while (line := await self._control.next_line()) is not None:
                    self._hear(line)
                await self._process.wait()
        finally:
            with trio.CancelScope(shield=True):
                if self._process.returncode is None:
                    self._process.kill()
                await self._process.wait()
            self._control.close()
            self._ended_at = trio.current_time()

    def death(self) -> Death | None:
        """Return what it died of, once it is gone; None if it ended as it was told."""
        status = self._process.returncode or 0
        if self._patience.cancelled_caught:
            reason = (
                "it did not end" if self.told else f"it was not ready within {WORKER_TIMEOUT_S:.0f} seconds"
            )
        elif self._failure is not None:
            reason = self._failure
        elif self.told and not status:
            return None
        else:
            reason = f"signal {-status}" if status < 0 else f"exit status {status}"
        lived = None if self._ready_at is None else self._ended_at - self._ready_at
        return Death(self.slot, self.pid, reason, lived, refused=self._failure is not None)

    def _hear(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        if word == "failed":
            self._failure = rest
        elif word == "ready":
            self._ready_at = trio.current_time()
            if not self.told:
                self._patience.deadline = math.inf
        self._heard(self)


async def start_process(order: Order) -> Started:
    """Start a worker that inherits the sockets of its order.

    It has a process group of its own: what is typed at a terminal is for the supervisor alone.

    Raises:
        OSError: the machine has no room for it.
    """
    ours, theirs = socket.socketpair()
    with ExitStack() as on_failure, theirs:
        on_failure.callback(ours.close)
        shared = [number for each in order.sockets for number in each.descriptors]
        # The directory it is started in is on its path where it is on ours, and not otherwise.
        safe = [] if {"", str(Path.cwd())} & set(sys.path) else ["-P"]
        with thread_needed():
            process = await trio.lowlevel.open_process(
                [sys.executable, *safe, "-m", "caas_trio.program.worker_main", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno(), *shared],
                process_group=0,
            )
        on_failure.pop_all()
    return Started(process, Control(ours))
