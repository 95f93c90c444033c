"""The server that scripts are played to: it runs on from one script to the next, until one ends it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Final, NamedTuple

import trio
from trio.testing import wait_all_tasks_blocked

from caas_trio import (
    Connection,
    Endpoint,
    First,
    Limits,
    LineTooLong,
    Oversize,
    Session,
    Telemetry,
    serve,
    serve_sessions,
)
from caas_trio.peer import Peer

from .conversation import Plan

#: What the limit of lines is where it is high: for handlers, whose buffer is the server's to make.
HIGH_LIMIT: Final = 2000
#: How many connections a server of handlers admits; one of sessions admits more than there will be.
FEW: Final = 2
LIMITS: Final = Limits(
    max_line=HIGH_LIMIT,
    prompt_delay=0.3,
    idle_timeout=21.5,
    line_timeout=6,
    write_timeout=6,
    linger_timeout=1,
    drain_timeout=5,
)


class Kind(NamedTuple):
    """A kind of server.

    Attributes:
        driver: "hub" or "stream".
        handlers: whether it serves by handlers instead of sessions.
    """

    driver: str
    handlers: bool


KINDS: Final = tuple(Kind(driver, handlers) for handlers in (False, True) for driver in ("hub", "stream"))


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

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.address = f"caas-fuzz-{os.getpid()}-{kind.driver}-{kind.handlers:d}"
        self.plan: Plan | None = None
        self.reports = Reports()
        self.stop = trio.Event()
        self.scope = trio.CancelScope()
        self.over = trio.Event()
        self.failure: Exception | None = None

    async def run(self, task_status: trio.TaskStatus[list[Endpoint]]) -> None:
        """Serve until stopped or cancelled, or something is raised."""
        os.environ["CAAS_TRIO_DRIVER"] = self.kind.driver
        if self.kind.handlers:
            serving = partial(serve, self._handle, limits=replace(LIMITS, max_connections=FEW))
        else:
            serving = partial(serve_sessions, self._new_session, limits=LIMITS)
        with self.scope:
            try:
                await serving(
                    f"unix:@{self.address}", telemetry=self.reports, stop=self.stop, task_status=task_status
                )
            except Exception as error:  # noqa: BLE001 - the script knows whether it was to be expected
                self.failure = error
        self.over.set()

    def _new_session(self) -> Session:
        assert self.plan is not None
        return self.plan.session()

    async def _handle(self, connection: Connection) -> None:
        """Do what a session of the plan does; in a nursery, so that what goes wrong comes in groups."""
        assert self.plan is not None
        async with trio.open_nursery():
            if self.plan.first is First.SERVER:
                await connection.send(self.plan.prompt)
            while await self._answer(connection, self.plan):
                pass
            if not self.plan.prompt:  # some end their output themselves
                await connection.end_output()

    async def _answer(self, connection: Connection, plan: Plan) -> bool:
        """Answer a line; return whether to go on."""
        try:
            line = await connection.receive_line()
        except LineTooLong as error:
            await connection.send(f"error: {error}\n".encode())
            return plan.oversize is not Oversize.REJECT and not plan.once
        if line:
            await connection.send(plan.service(line))
        return bool(line) and not plan.once


class Servers:
    """The servers of a run, one for each kind that has been asked for."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._running: dict[Kind, Running] = {}

    async def get(self, kind: Kind) -> Running:
        """Return a server that nobody has told to stop."""
        running = self._running.get(kind)
        if running is None or running.over.is_set():
            running = self._running[kind] = Running(kind)
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
