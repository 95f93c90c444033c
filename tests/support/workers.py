"""Workers that are played in the process of their supervisor, and sockets that tell what is done to them."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import trio

from caas_trio import Endpoint
from caas_trio.program.control import Control
from caas_trio.program.messages import WorkerConfig
from caas_trio.program.sharedsockets import SharedSockets

from .fakes import FakeProcess


class FakeWorker(FakeProcess):
    """A worker process that is played in this one.

    Attributes:
        behavior: what it does. "good" serves until any command. Before it is ready it "fails", saying why,
            reports "no room" or a "misused" command line, "crashes", or is "mute" and never ready. Once it
            is ready it is "brief", and crashes soon; "rude", and breaks the control protocol; "detached",
            and closes its channel; "frozen"; "busy", a loop that hangs after ten seconds; or
            "uninterruptible", which does not end at SIGABRT either. At a command "sick" exits with a status
            of its own, "stubborn" ends only when it is cut, and so do "lingering", which asks for 100
            seconds, and "deaf", which is also mute.
        slowness: how many seconds it takes to get ready.
        commands: what it has received.
    """

    def __init__(
        self, pid: int, config: WorkerConfig, sock: socket.socket, behavior: str, slowness: float = 0.0
    ) -> None:
        super().__init__(pid)
        self.config = config
        self.behavior = behavior
        self.slowness = slowness
        self.commands: list[str] = []
        self.control = Control(sock)

    def abort(self) -> None:
        """End it as SIGABRT does: with its stack, if it ends at all."""
        if self.behavior != "uninterruptible":
            assert self.config.stacks is not None
            os.write(self.config.stacks, b'Fatal Python error: Aborted\n  File "app.py", line 7 in handler\n')
            super().abort()

    def end(self, status: int = 0) -> None:
        """End it, unless it has ended."""
        if self.returncode is None:
            self.control.close()
        super().end(status)

    async def run(self, gate: trio.Event | None = None) -> None:
        """Play it until it ends."""
        if gate is not None:
            await gate.wait()
        line = await self.control.next_line()
        if line is None:
            return
        assert WorkerConfig.from_line(line) == self.config
        if self.slowness:
            await trio.sleep(self.slowness)
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
            await self._serve()

    async def _next_command(self) -> str | None:
        while True:
            with trio.move_on_after(self.config.turn_interval):
                return await self.control.next_line()
            self.control.send_nowait("turned")

    async def _serve(self) -> None:
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
            while (command := await self._next_command()) is not None:
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
        """Return the sockets of these endpoints."""
        await self._hooks.before_change()
        sockets = await super().changed_to(endpoints, **options)
        await self._hooks.after_change()
        return HookedSockets(self._hooks, sockets)

    async def take_over(self) -> None:
        """Return once all paths are ours."""
        await self._hooks.before_takeover()
        await super().take_over()
