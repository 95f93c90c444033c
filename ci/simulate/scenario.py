"""The choices of a seed: `Scenario`; and its server: `serving`."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import trio

from caas_trio import (
    Connection,
    Endpoint,
    First,
    Limits,
    LineSession,
    LineTooLong,
    Oversize,
    Telemetry,
    serve,
    serve_sessions,
)
from caas_trio.core.peer import Peer
from caas_trio.core.telemetry import ServerStats
from caas_trio.drivers.choice import DriverName
from caas_trio.testing import Conditions, Network


def require(kept: object, broken: str) -> None:
    """Raise an AssertionError if a promise is not kept, which `broken` tells of."""
    if not kept:
        raise AssertionError(broken)


PORT: Final = 7
PROMPT: Final = b"say:\n"

#: So long that a client which does its part never meets one.
_GENEROUS: Final = Limits(
    prompt_delay=0.3,
    idle_timeout=300,
    line_timeout=300,
    write_timeout=300,
    linger_timeout=300,
    drain_timeout=10,
)
_TIGHT: Final = Limits(
    prompt_delay=0.3, idle_timeout=5, line_timeout=2, write_timeout=2, linger_timeout=0.5, drain_timeout=1
)


@dataclass(frozen=True)
class Scenario:
    """The course of one seed.

    Attributes:
        seed: the seed.
        driver: what moves the server's bytes.
        handler: whether an async handler serves, or a session.
        first: which side speaks first.
        oversize: what becomes of an oversize line.
        limit: the longest line.
        once: whether a conversation has one line.
        generous: whether the timeouts are longer than everything else.
        limits: the server's.
        conditions: of the links.
        clients: how many there are.
        buffer: how many bytes the server's sockets hold for sending, and its clients' for reading.
        stop_at: when the server's stop begins, in seconds; None for after all clients.
        cancels: whether it is cancelled instead.
    """

    seed: int
    driver: DriverName
    handler: bool
    first: First
    oversize: Oversize
    limit: int
    once: bool
    generous: bool
    limits: Limits
    conditions: Conditions
    clients: int
    buffer: int
    stop_at: float | None
    cancels: bool

    @classmethod
    def drawn(cls, seed: int) -> Scenario:
        """Return the scenario of a seed."""
        choices = random.Random(f"scenario/{seed}")  # noqa: S311 - to be repeated
        handler = choices.random() < 0.4
        limit = choices.choice((1, 7, 100))
        generous = choices.random() < 0.6
        limits = _GENEROUS if generous else _TIGHT
        return cls(
            seed=seed,
            driver=choices.choice(("hub", "stream")),
            handler=handler,
            first=choices.choice((First.CLIENT, First.SERVER) if handler else tuple(First)),
            oversize=choices.choice((Oversize.REJECT, Oversize.DISCARD) if handler else tuple(Oversize)),
            limit=limit,
            once=choices.random() < 0.2,
            generous=generous,
            limits=_changed(limits, max_line=limit, max_connections=choices.choice((3, 100, 100))),
            conditions=Conditions.drawn(choices, resets=choices.random() < 0.3),
            clients=choices.choice((1, 3, 8)),
            buffer=choices.choice((3, 50, 65536)),
            stop_at=choices.choice((None, choices.uniform(0, 3))),
            cancels=choices.random() < 0.1,
        )

    @property
    def crowded(self) -> bool:
        """Whether there may be no room for a client."""
        return self.clients > self.limits.max_connections

    def session(self) -> LineSession:
        """Return a session of the server."""
        return LineSession(bytes.upper, self.first, PROMPT, self.limit, self.oversize, once=self.once)

    async def handle(self, connection: Connection) -> None:
        """Hold the same conversation as the session."""
        if self.first is First.SERVER:
            await connection.send(PROMPT)
        while True:
            try:
                line = await connection.receive_line()
            except LineTooLong as error:
                await connection.send(b"error: %s\n" % str(error).encode())
                if self.once or self.oversize is Oversize.REJECT:
                    return
            else:
                if not line:
                    return
                await connection.send(line.upper())
                if self.once:
                    return

    def replies(self, data: bytes, *, ended: bool) -> tuple[bytes, bool]:
        """Return the whole reply stream, prompt apart, and whether the conversation is over with it."""
        said: list[bytes] = []
        *lines, tail = data.split(b"\n")
        notice = b"error: line longer than %d bytes\n" % self.limit
        for number, text in enumerate([*lines, tail]):
            whole = number < len(lines)
            too_long = len(text) > self.limit
            if too_long and self.oversize is not Oversize.STREAM:
                said.append(notice)
                if self.once or self.oversize is Oversize.REJECT:
                    return b"".join(said), True
            elif whole or (text and (ended or too_long)):
                said.append((text + b"\n" * whole).upper())
                if self.once and (whole or ended):
                    return b"".join(said), True
        return b"".join(said), ended


def _changed(limits: Limits, **changes: Any) -> Limits:
    return Limits(**{**vars(limits), **changes})


class Observed(Telemetry):
    """Keeps what must not happen, and the counts."""

    def __init__(self) -> None:
        self.failures: list[str] = []
        self.stats: ServerStats | None = None
        self.drain_timeouts = 0

    def conversation_failed(self, error: Exception, endpoint: Endpoint, peer: Peer) -> None:  # noqa: ARG002
        """Keep a failure."""
        self.failures.append(repr(error))

    def accept_failed(self, error: OSError, endpoint: Endpoint) -> None:  # noqa: ARG002
        """Keep a failure."""
        self.failures.append(repr(error))

    def counting(self, stats: ServerStats) -> None:
        """Keep the counts."""
        self.stats = stats

    def drain_timed_out(self) -> None:
        """Count."""
        self.drain_timeouts += 1


class Server:
    """The server of a scenario.

    Attributes:
        telemetry: what it has reported.
        began_to_stop: when its stop began, on trio's clock; None before.
    """

    def __init__(self) -> None:
        self.telemetry = Observed()
        self.began_to_stop: float | None = None
        self.stop = trio.Event()
        self.over = trio.Event()
        self.scope = trio.CancelScope()

    async def end(self, scenario: Scenario) -> None:
        """Stop it, or cancel it; it has to end in time."""
        self.began_to_stop = trio.current_time()
        self.stop.set()
        if scenario.cancels:
            self.scope.cancel()
        with trio.move_on_after(scenario.limits.drain_timeout + 1, shield=True):
            await self.over.wait()
            return
        raise AssertionError("the drain has no end")

    def check(self) -> None:
        """Check what it has reported."""
        require(not self.telemetry.failures, f"reported: {self.telemetry.failures}")
        stats = self.telemetry.stats
        for listener in () if stats is None else stats.listeners:
            ended = sum(listener.ended.values())
            require(listener.accepted == ended, f"{listener.accepted} accepted, {ended} ended")


@asynccontextmanager
async def serving(scenario: Scenario, network: Network) -> AsyncIterator[Server]:
    """Serve a scenario on the host `server`."""
    async with trio.open_nursery() as nursery:
        server = Server()

        async def run(task_status: trio.TaskStatus[list[Endpoint]]) -> None:
            start = (
                partial(serve, scenario.handle)
                if scenario.handler
                else partial(serve_sessions, scenario.session)
            )
            with server.scope:
                await start(
                    f"tcp://server:{PORT}",
                    machine=network.host("server"),
                    driver=scenario.driver,
                    limits=scenario.limits,
                    telemetry=server.telemetry,
                    stop=server.stop,
                    task_status=task_status,
                )
            server.over.set()

        await nursery.start(run)
        yield server
