"""Programs that run beside: `running`, and `Server` for ours."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager

import trio

#: Seconds in which what is on this machine has happened, however busy it is.
PATIENCE = 20.0


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


class Server:
    """One of our servers, which can be stopped and started again."""

    def __init__(self, *arguments: str) -> None:
        self._command = [sys.executable, "-m", "caas_trio", *arguments]
        self._process: trio.Process | None = None

    async def start(self) -> None:
        """Start it; return once it says that it listens.

        Raises:
            RuntimeError: it has ended instead.
        """
        pipe = subprocess.PIPE
        process = await trio.lowlevel.open_process(self._command, stdin=subprocess.DEVNULL, stdout=pipe)
        self._process = process
        with trio.fail_after(PATIENCE):
            said = await process.stdout.receive_some()  # type: ignore[union-attr] # a pipe
        if not said:
            raise RuntimeError(f"{self._command} did not come up")

    async def stop(self) -> None:
        """End it as a service manager does; see `ended`."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
        await self.ended()

    async def ended(self) -> None:
        """Wait until it has drained and ended, if it runs.

        Raises:
            RuntimeError: it has not ended as it should.
        """
        if self._process is None:
            return
        with trio.fail_after(PATIENCE):
            status = await self._process.wait()
        if status:
            raise RuntimeError(f"{self._command} ended with {status}")

    async def kill(self) -> None:
        """Kill it, if it runs."""
        if self._process is None:
            return
        self._process.kill()
        with trio.CancelScope(shield=True):
            await self._process.wait()
