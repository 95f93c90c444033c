"""The server that scripts are played to: it runs on from one script to the next, until one ends it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import trio
from trio.testing import wait_all_tasks_blocked

from caas_trio import Endpoint, Limits, Session, Telemetry, serve_sessions
from caas_trio.peer import Peer

from .conversation import Plan

LIMITS: Final = Limits(
    prompt_delay=0.3,
    idle_timeout=21.5,
    line_timeout=6,
    write_timeout=6,
    linger_timeout=1,
    drain_timeout=5,
)


class Reports(Telemetry):
    """Keeps what the server reports."""

    def __init__(self) -> None:
        self.failures: list[Exception] = []
        self.refusals: list[OSError] = []
        self.timed_out = False

    def conversation_failed(self, error: Exception, endpoint: Endpoint, peer: Peer) -> None:  # noqa: ARG002
        self.failures.append(error)

    def accept_failed(self, error: OSError, endpoint: Endpoint) -> None:  # noqa: ARG002
        self.refusals.append(error)

    def drain_timed_out(self) -> None:
        self.timed_out = True


class Running:
    """A server on a Unix socket, in a task of its own.

    Attributes:
        plan: what its sessions are made from.
        reports: what it has reported.
        stop: tells it to stop.
        scope: cancels it.
        over: whether it has come to its end.
        failure: what it raised.
    """

    def __init__(self, driver: str) -> None:
        self.driver = driver
        self.address = f"caas-fuzz-{os.getpid()}-{driver}"
        self.plan: Plan | None = None
        self.reports = Reports()
        self.stop = trio.Event()
        self.scope = trio.CancelScope()
        self.over = trio.Event()
        self.failure: Exception | None = None

    async def run(self, task_status: trio.TaskStatus[list[Endpoint]]) -> None:
        """Serve until stopped or cancelled, or something is raised."""
        os.environ["CAAS_TRIO_DRIVER"] = self.driver
        with self.scope:
            try:
                await serve_sessions(
                    self._new_session,
                    f"unix:@{self.address}",
                    limits=LIMITS,
                    telemetry=self.reports,
                    stop=self.stop,
                    task_status=task_status,
                )
            except Exception as error:  # noqa: BLE001 - the script knows whether it was to be expected
                self.failure = error
        self.over.set()

    def _new_session(self) -> Session:
        assert self.plan is not None
        return self.plan.session()


class Servers:
    """The servers of a run, one for each driver that has been asked for."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._running: dict[str, Running] = {}

    async def get(self, driver: str) -> Running:
        """Return a server that nobody has told to stop."""
        running = self._running.get(driver)
        if running is None or running.over.is_set():
            running = self._running[driver] = Running(driver)
            await self._nursery.start(running.run)
            await wait_all_tasks_blocked()  # until it has all the tasks it keeps
        return running

    async def end(self) -> None:
        """Tell all of them to stop, and wait for their ends."""
        for running in self._running.values():
            running.stop.set()
            await running.over.wait()


@asynccontextmanager
async def open_servers() -> AsyncIterator[Servers]:
    """Give the block servers; they come to their end with it."""
    async with trio.open_nursery() as nursery:
        servers = Servers(nursery)
        yield servers
        await servers.end()
