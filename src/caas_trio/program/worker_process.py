"""Worker processes, as their supervisor sees them: `Worker`, and `start_process`."""

from __future__ import annotations

import errno
import math
import signal
import socket
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Final, NamedTuple, Protocol, TypeAlias

import trio

from .control import Control
from .interpreter import Interpreter
from .messages import MAX_MESSAGE_BYTES, Command, ControlError, Kind, MessageParser, WorkerConfig
from .signals import signals_held

#: How long a worker may take to get ready, or to end once it has closed its control channel.
WORKER_TIMEOUT_S: Final = 30.0

#: How long a worker may take to end once its drain is over.
GRACE_S: Final = 5.0

#: How long a worker that stood still may take to write its stack and end.
_ABORT_S: Final = 1.0

#: How long to wait for a message that a worker, which seems to stand still, may have sent in time.
_SECOND_LOOK_S: Final = 0.5

#: How often a process is polled for its end, once that is due. This takes neither a thread nor a descriptor.
_POLL_S: Final = 0.01

#: How many seconds lie between two reads of what a worker sends.
_READ_PAUSE_S: Final = 0.01

#: The errors of a machine that has no room for a process, a socket or a thread just now.
_NO_ROOM: Final = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOBUFS})


def is_no_room(failure: BaseException) -> bool:
    """Return whether a failure, or the first one of a group, is want of room, which passes."""
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return isinstance(failure, OSError) and failure.errno in _NO_ROOM


class Process(Protocol):
    """A process, as far as `Worker` uses it."""

    @property
    def pid(self) -> int:
        """The number of the process."""

    @property
    def returncode(self) -> int | None:
        """Its exit status, or minus the signal that ended it; None as long as it runs."""

    async def wait(self) -> int:
        """Return its exit status once it has ended."""

    def kill(self) -> None:
        """Send it SIGKILL."""

    def abort(self) -> None:
        """Send it SIGABRT, at which it writes its stack down and ends."""


class StartedProcess(NamedTuple):
    """A process that waits for its config, and the supervisor's end of its control channel."""

    process: Process
    control: Control


StartProcess: TypeAlias = Callable[[WorkerConfig], StartedProcess]


class Death(NamedTuple):
    """The death of a worker.

    Attributes:
        slot: the number of the worker.
        pid: that of its process; None if there was none.
        reason: why.
        ready_for_s: how many seconds it had been ready; None if it never was.
        refused: whether it said itself that it cannot serve.
        no_room: whether there was no room for it, which is no fault of its own.
        misused: whether it said that a mistake of the user's was the reason.
        stood_still: whether it was killed because its loop did not turn.
    """

    slot: int
    pid: int | None
    reason: str
    ready_for_s: float | None = None
    refused: bool = False
    no_room: bool = False
    misused: bool = False
    stood_still: bool = False

    def log_fields(self) -> dict[str, object]:
        """Return the fields of the log event."""
        process = {} if self.pid is None else {"pid": self.pid}
        return {"worker": self.slot, **process, "reason": self.reason}


class Worker:
    """A worker process, from its start to its end.

    Args:
        config: its configuration.
        started: the process.
        on_message: called with the worker after each of its messages.
        turn_timeout: how many seconds may lie between two messages once it is ready.

    Attributes:
        slot: its number.
        pid: that of its process.
        started_at: when it was started, by trio's clock.
        was_ready: set once it serves.
        drain_timeout: how many seconds its drain may take; None before it has reported that.
    """

    def __init__(
        self,
        config: WorkerConfig,
        started: StartedProcess,
        on_message: Callable[[Worker], object],
        turn_timeout: float = math.inf,
    ) -> None:
        self.slot = config.slot
        self.pid = started.process.pid
        self.started_at = trio.current_time()
        self._config = config
        self._process, self._control = started
        self._on_message = on_message
        self._messages = MessageParser()
        self._deadline = trio.CancelScope(deadline=trio.current_time() + WORKER_TIMEOUT_S)
        self._configured = False
        self._command: Command | None = None
        self._failure: str | None = None
        self._no_room = False
        self._refused = False
        self._misused = False
        self._turn_timeout = turn_timeout
        self._stood_still = False
        self.was_ready = trio.Event()
        self.drain_timeout: float | None = None
        self._ready_at: float | None = None
        self._ended_at = 0.0

    @property
    def ending(self) -> bool:
        """Whether it has been sent the command to end."""
        return self._command is not None

    @property
    def ready(self) -> bool:
        """Whether it serves, and has not been sent the command to end."""
        return self._ready_at is not None and not self.ending

    @property
    def state(self) -> str:
        """Its state: it starts, serves, retires or stops."""
        if self._command is not None:
            return "retiring" if self._command is Command.RETIRE else "stopping"
        return "serving" if self.ready else "starting"

    def end(self, command: Command, seconds: float) -> None:
        """Send it a command to end; kill it unless it has ended within `seconds`.

        A further command does not put that off.
        """
        deadline = trio.current_time() + seconds
        self._deadline.deadline = min(deadline, self._deadline.deadline) if self.ending else deadline
        self._command = command
        if self._configured:
            self._control.send_nowait(command)

    async def run(self) -> None:
        """Send it its config, and return when it is gone. Cancelled, kill it."""
        try:
            with self._deadline:
                await self._converse()
        except ControlError as error:
            self._failure = f"it broke the control protocol: {error}"
        finally:
            with trio.CancelScope(shield=True):
                if self._stood_still:
                    self._process.abort()
                    with trio.move_on_after(_ABORT_S):
                        await self._process.wait()
                if self._process.returncode is None:
                    self._process.kill()
                await self._process.wait()
            self._control.close()
            self._ended_at = trio.current_time()

    async def _converse(self) -> None:
        await self._control.send(self._config.to_line())
        self._configured = True
        if self._command is not None:
            self._control.send_nowait(self._command)
        while (line := await self._next_line()) is not None:
            self._receive(line)
        if self._stood_still:
            return
        if not self.ending:
            self._deadline.deadline = trio.current_time() + WORKER_TIMEOUT_S
        await self._process.wait()

    async def _next_line(self) -> str | None:
        """Return the next line of the worker; None if it is gone, or stands still.

        When the time is up, look once more: it may be this process that stood still.
        """
        timeout = self._turn_timeout if self.was_ready.is_set() else math.inf
        for seconds in (timeout, _SECOND_LOOK_S):
            with trio.move_on_after(seconds):
                return await self._control.next_line()
        self._stood_still = True
        return None

    def death(self) -> Death | None:
        """Return why it died, once it is gone; None if it ended on command.

        A worker that was killed before it served has ended on command: it was still being loaded.
        """
        status = self._process.returncode or 0
        if self._failure is not None:
            reason = self._failure
        elif self._stood_still:
            reason = f"its loop has not turned for {self._turn_timeout:g} seconds"
        elif self._deadline.cancelled_caught and self.ending and not self.was_ready.is_set():
            return None
        elif self._deadline.cancelled_caught:
            reason = self._why_it_was_killed()
        elif self.ending and not status:
            return None
        else:
            reason = f"signal {-status}" if status < 0 else f"exit status {status}"
        ready_for_s = None if self._ready_at is None else self._ended_at - self._ready_at
        return Death(
            self.slot,
            self.pid,
            reason,
            ready_for_s,
            refused=self._refused,
            no_room=self._no_room,
            misused=self._misused,
            stood_still=self._stood_still,
        )

    def _why_it_was_killed(self) -> str:
        if self.ending:
            return "it did not end"
        if self._ready_at is not None:
            return "it closed its control channel and did not end"
        return f"it was not ready within {WORKER_TIMEOUT_S:.0f} seconds"

    def _receive(self, line: str) -> None:
        message = self._messages.parse(line)
        match message.kind:
            case Kind.FAILED | Kind.MISUSED:
                self._failure, self._refused = message.reason, True
                self._misused = message.kind is Kind.MISUSED
            case Kind.DRAIN:
                self.drain_timeout = float(message.reason)
            case Kind.NO_ROOM:
                self._failure, self._no_room = message.reason, True
            case Kind.READY:
                self._ready_at = trio.current_time()
                self.was_ready.set()
                if not self.ending:
                    self._deadline.deadline = math.inf
        self._on_message(self)


class _PolledProcess:
    """A process that is polled for its end; see `Process`."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.pid = process.pid
        self.kill = process.kill
        self.abort = partial(process.send_signal, signal.SIGABRT)

    @property
    def returncode(self) -> int | None:
        return self._process.poll()

    async def wait(self) -> int:
        while (status := self._process.poll()) is None:  # noqa: ASYNC110 - nothing else tells
            await trio.sleep(_POLL_S)
        return status


def start_process(
    config: WorkerConfig,
    interpreter: Interpreter,
    *,
    popen: Callable[..., subprocess.Popen[bytes]] = subprocess.Popen,
) -> StartedProcess:
    """Start a worker that inherits the sockets of its config; return once it runs, in milliseconds.

    It has a process group of its own: signals from a terminal go to the supervisor alone. It begins
    with signals held, so that none ends it before it can handle them.

    Args:
        config: what it is to do; `Worker.run` sends it.
        interpreter: the supervisor's.
        popen: starts it.

    Raises:
        OSError: the machine does not allow it, or has no room for it.
    """
    ours, theirs = socket.socketpair()
    with ExitStack() as on_failure, theirs:
        on_failure.callback(ours.close)
        shared = [number for each in config.sockets for number in each.descriptors]
        with signals_held():
            process = popen(
                interpreter.command("caas_trio.program.worker_main", theirs.fileno()),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno(), *shared, *([] if config.stacks is None else [config.stacks])],
                process_group=0,
            )
        on_failure.pop_all()
    return StartedProcess(_PolledProcess(process), Control(ours, MAX_MESSAGE_BYTES, pause_s=_READ_PAUSE_S))
