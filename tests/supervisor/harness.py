"""A supervisor in this process, whose workers the test simulates."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
import trio

from caas_trio import ListenError, UsageError
from caas_trio.program.command import parse
from caas_trio.program.control import Control
from caas_trio.program.interpreter import Interpreter
from caas_trio.program.messages import MAX_MESSAGE_BYTES, WorkerConfig
from caas_trio.program.program import Program
from caas_trio.program.recycling import WorkerLimits
from caas_trio.program.sharedsockets import SharedSockets
from caas_trio.program.supervisor import Supervisor, WorkersFailed
from caas_trio.program.worker_process import StartedProcess
from tests.support.workers import FakeWorker, HookedSockets, SocketHooks

DIED: Final = "worker died"
FAILED: Final = "the settings could not be reloaded; the old workers stay"


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
