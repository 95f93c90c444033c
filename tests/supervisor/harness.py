"""A supervisor in this process, whose workers the test simulates."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pytest
import trio

from caas_trio import Endpoint, ListenError, UsageError
from caas_trio.program.command import parse
from caas_trio.program.control import Control
from caas_trio.program.interpreter import Interpreter
from caas_trio.program.messages import MAX_MESSAGE_BYTES, WorkerConfig
from caas_trio.program.program import Program
from caas_trio.program.recycling import WorkerLimits
from caas_trio.program.sharedsockets import SharedSockets
from caas_trio.program.supervisor import Supervisor, WorkersFailed
from caas_trio.program.worker_process import StartedProcess
from tests.support.fakes import FakeProcess

DIED: Final = "worker died"
FAILED: Final = "the settings could not be reloaded; the old workers stay"


class FakeWorker(FakeProcess):
    """A worker process that the test simulates.

    Attributes:
        behavior: what it does. "good" serves until any command. Before it is ready it "fails", saying why,
            reports "no room" or a "misused" command line, "crashes", or is "mute" and never ready. Once it
            is ready it is "brief", and crashes soon; "rude", and breaks the control protocol; "detached",
            and closes its channel; "frozen"; "busy", a loop that hangs after ten seconds; or
            "uninterruptible", which does not end at SIGABRT either. At a command "sick" exits with a status
            of its own, "stubborn" ends only when it is cut, and so do "lingering", which asks for 100
            seconds, and "deaf", which is also mute.
        commands: what it has received.
    """

    def __init__(self, pid: int, config: WorkerConfig, sock: socket.socket, behavior: str) -> None:
        super().__init__(pid)
        self.config = config
        self.behavior = behavior
        self.commands: list[str] = []
        self.control = Control(sock)

    def abort(self) -> None:
        if self.behavior != "uninterruptible":
            assert self.config.stacks is not None
            os.write(self.config.stacks, b'Fatal Python error: Aborted\n  File "app.py", line 7 in handler\n')
            super().abort()

    def end(self, status: int = 0) -> None:
        if self.returncode is None:
            self.control.close()
        super().end(status)

    async def run(self, gate: trio.Event | None) -> None:
        if gate is not None:
            await gate.wait()
        line = await self.control.next_line()
        assert line is not None
        assert WorkerConfig.from_line(line) == self.config
        if self.behavior == "fails":
            self.control.send_nowait("failed cannot use it")
            self.end(1)
        elif self.behavior == "misused":
            self.control.send_nowait("misused there is no such app")
            self.end(2)
        elif self.behavior == "no room":
            self.control.send_nowait("no-room cannot allocate memory")
            self.end(1)
        elif self.behavior == "crashes":
            self.end(3)
        else:
            await self.serve()

    async def next_command(self) -> str | None:
        while True:
            with trio.move_on_after(self.config.turn_interval):
                return await self.control.next_line()
            self.control.send_nowait("turned")

    async def serve(self) -> None:
        # It does not count as a sign of life before it is ready.
        self.control.send_nowait("drain 100" if self.behavior == "lingering" else "alive")
        if self.behavior not in ("mute", "deaf"):
            self.control.send_nowait("ready")
        if self.behavior == "rude":
            self.control.send_nowait("ready")
            return
        if self.behavior == "detached":
            self.control.close()
            return
        if self.behavior == "brief":
            await trio.sleep(0.5)
            self.end(-signal.SIGSEGV)
            return
        if self.behavior == "frozen":
            return
        if self.behavior in ("busy", "uninterruptible"):
            for _ in range(10):
                await trio.sleep(1)
                self.control.send_nowait("turned")
            return
        with suppress(trio.ClosedResourceError):
            while (command := await self.next_command()) is not None:
                self.commands.append(command)
                if self.behavior not in ("stubborn", "lingering", "deaf") or command == "cut":
                    self.end(7 if self.behavior == "sick" else 0)
                    return


async def _do_nothing() -> None: ...


@dataclass
class SocketHooks:
    """What the test does while the supervisor opens sockets."""

    before_change: Callable[[], Awaitable[object]] = _do_nothing
    after_change: Callable[[], Awaitable[object]] = _do_nothing
    before_takeover: Callable[[], Awaitable[object]] = _do_nothing


class HookedSockets(SharedSockets):
    """Shared sockets that call hooks of the test."""

    def __init__(self, hooks: SocketHooks, sockets: SharedSockets) -> None:
        super().__init__(sockets.groups, sockets.kept)
        self._hooks = hooks

    async def changed_to(self, endpoints: Iterable[Endpoint], **options: Any) -> SharedSockets:
        await self._hooks.before_change()
        sockets = await super().changed_to(endpoints, **options)
        await self._hooks.after_change()
        return HookedSockets(self._hooks, sockets)

    async def take_over(self) -> None:
        await self._hooks.before_takeover()
        await super().take_over()


class SupervisorHarness:
    """A supervisor with simulated workers.

    Attributes:
        started: all workers that have been started.
        behaviors: those of the workers that are started next; "good" once there are no more.
        arguments: the command line, as the supervisor reads it next.
        hooks: called while the supervisor opens sockets.
        gate: if there is one, workers read nothing before it is set.
        failure: what the supervisor raised.
    """

    def __init__(self, nursery: trio.Nursery, capsys: pytest.CaptureFixture[str]) -> None:
        self.started: list[FakeWorker] = []
        self.behaviors: list[str] = []
        self.arguments = [
            "--workers",
            "2",
            "--log-format",
            "json",
            "--log-level",
            "info",
            "tcp://127.0.0.1:0",
        ]
        self.changed = trio.open_memory_channel[list[str]](0)
        self.watched: Path | None = None
        self.worn = trio.open_memory_channel[str](0)
        self.gate: trio.Event | None = None
        self.hooks = SocketHooks()
        self.original: list[str] = []
        self.failure: BaseException | None = None
        self.over = trio.Event()
        self.out = ""
        self._logged = ""
        self._nursery = nursery
        self._capsys = capsys

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        program = self.parse()
        assert isinstance(program, Program)
        self.supervisor = Supervisor(
            self.original,
            program,
            Interpreter.current(),
            parse=lambda _: self.parse(),
            start=self.start,
            wait_until_worn=self.wait_until_worn,
            changes=self.changes,
            sockets=HookedSockets(self.hooks, SharedSockets()),
        )
        task_status.started()
        try:
            await self.supervisor.run()
        except* (WorkersFailed, ListenError, UsageError) as failures:
            self.failure = failures
            while isinstance(self.failure, BaseExceptionGroup):
                [self.failure] = self.failure.exceptions
        self.over.set()

    def parse(self) -> Program | int:
        program = parse(["--worker-timeout", "0", *self.arguments])
        return replace(program, watched=self.watched) if isinstance(program, Program) else program

    async def changes(self, folder: Path) -> AsyncGenerator[list[str]]:
        assert folder == self.watched
        async for files in self.changed[1]:
            yield files

    async def wait_until_worn(self, _: int, __: WorkerLimits) -> str:
        return await self.worn[1].receive()

    def start(self, config: WorkerConfig) -> StartedProcess:
        ours, theirs = socket.socketpair()
        behavior = self.behaviors.pop(0) if self.behaviors else "good"
        if behavior == "impossible":
            ours.close()
            theirs.close()
            raise OSError(11, "no room for it")
        worker = FakeWorker(100 + len(self.started), config, theirs, behavior)
        self.started.append(worker)
        self._nursery.start_soon(worker.run, self.gate)
        return StartedProcess(worker, Control(ours, MAX_MESSAGE_BYTES))

    @property
    def alive(self) -> list[FakeWorker]:
        return [worker for worker in self.started if worker.returncode is None]

    def logged(self) -> list[tuple[str, str]]:
        """Return the events since the last time, and the reason, if there is one."""
        captured = self._capsys.readouterr()
        self.out += captured.out
        events = map(json.loads, captured.err.splitlines())
        return [(event["event"], event.get("reason", "")) for event in events]

    async def signal(self, number: int) -> None:
        signal.raise_signal(number)
        await trio.sleep(0.01)

    async def stop(self) -> None:
        await self.signal(signal.SIGTERM)
        await self.over.wait()


async def begin(harness: SupervisorHarness, nursery: trio.Nursery) -> None:
    await nursery.start(harness.run)
    await trio.sleep(0.01)


def exists(path: str | Path) -> bool:
    """Return whether a path exists, without a thread: during one the clock would jump."""
    return Path(path).exists()


def write(path: Path, data: bytes) -> Path:
    """Write at once, likewise."""
    path.write_bytes(data)
    return path


@asynccontextmanager
async def service_manager(
    folder: Path, monkeypatch: pytest.MonkeyPatch, watchdog: float
) -> AsyncIterator[Callable[[], list[str]]]:
    """Play a service manager; what is yielded returns its new messages."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(folder / "notify"))
        manager.setblocking(False)  # noqa: FBT003 - the socket module's signature
        monkeypatch.setenv("NOTIFY_SOCKET", str(folder / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", str(int(watchdog * 1_000_000)))
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))

        def notifications() -> list[str]:
            lines = []
            with suppress(BlockingIOError):
                while True:
                    lines.append(manager.recv(100).decode().partition("\n")[0])
            return lines

        yield notifications
