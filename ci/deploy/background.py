"""Programs that run beside: `running`, and `Service` for ours."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager

import trio

from ci.process import ServerProcess, start

#: Seconds in which what is on this machine has happened, however busy it is.
TIMEOUT_S = 20.0


@asynccontextmanager
async def running(command: Sequence[str], pass_fds: Iterable[int] = ()) -> AsyncIterator[trio.Process]:
    """Run a program for as long as the block lasts; what it says on standard error is dropped."""
    process = await trio.lowlevel.open_process(
        command,
        pass_fds=tuple(pass_fds),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        with trio.CancelScope(shield=True):
            await process.wait()


class Service:
    """One of our servers, which can be stopped and started again."""

    def __init__(self, *arguments: str) -> None:
        self._command = [sys.executable, "-m", "caas_trio", *arguments]
        self._server: ServerProcess | None = None

    async def start(self) -> None:
        """Start it; return once it says that it listens.

        Raises:
            StartError: it does not.
        """
        await self.kill()
        self._server = await trio.to_thread.run_sync(start, self._command)

    async def stop(self) -> None:
        """End it as a service manager does; see `ended`."""
        if self._server is not None:
            self._server.process.send_signal(signal.SIGTERM)
        await self.ended()

    async def ended(self) -> None:
        """Wait until it has drained and ended, if it runs.

        Raises:
            RuntimeError: it has not ended as it should.
        """
        if self._server is None:
            return
        status = await trio.to_thread.run_sync(self._server.wait)
        if status:
            raise RuntimeError(f"{self._command} ended with {status}: {self._server.errors()}")

    async def kill(self) -> None:
        """Kill it, if it runs."""
        if self._server is None:
            return
        self._server.kill()
        self._server.close()
        self._server = None
