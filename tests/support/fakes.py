"""Stand-ins that need neither pytest nor a machine."""

from __future__ import annotations

import signal

import trio


class FakeProcess:
    """A process that ends by `end`, or when it is killed.

    Attributes:
        returncode: its exit status; None as long as it runs.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ended = trio.Event()

    async def wait(self) -> int:
        """Return the exit status once it has ended."""
        await self._ended.wait()
        assert self.returncode is not None
        return self.returncode

    def kill(self) -> None:
        """End as by SIGKILL."""
        self.end(-signal.SIGKILL)

    def abort(self) -> None:
        """End as by SIGABRT."""
        self.end(-signal.SIGABRT)

    def end(self, status: int = 0) -> None:
        """End with a status, unless it has ended."""
        if self.returncode is None:
            self.returncode = status
            self._ended.set()
