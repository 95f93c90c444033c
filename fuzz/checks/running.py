"""The server that scripts are played to: it runs on from one script to the next, until one ends it."""

from __future__ import annotations

import enum
import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import replace
from functools import partial
from typing import Final, NamedTuple

import trio
from trio.testing import wait_all_tasks_blocked

from caas_trio import (
    AtCapacity,
    Connection,
    Endpoint,
    EndpointError,
    First,
    Limits,
    LineTooLong,
    Oversize,
    Session,
    StreamRequestHandler,
    Trust,
    UsageError,
    serve,
    serve_sessions,
)
from caas_trio.drivers.choice import DriverName
from caas_trio.drivers.requesthandler import Reader
from caas_trio.server.listeners import Listener, listen
from caas_trio.testing import Host

from .conversation import Plan
from .kernel import FaultyHost
from .reports import LogTelemetry, ReportsInBoth, ReportsInSum, ReportsOnEach

#: What the limit of lines is where it is high: for handlers, whose buffer is the server's to make.
HIGH_LIMIT: Final = 2000
#: How many connections a server of handlers admits. One of sessions admits more than there will be,
#: but no more from each host.
MAX_ADMITTED: Final = 2
#: The addresses that may connect to a server of sessions, among clients with an IP address.
TRUST: Final = Trust(allow_from=(ipaddress.ip_network("192.0.2.0/24"), ipaddress.ip_network("2001:db8::/32")))
#: What one read gives a session, at most: so little that a few clients exceed what a turn allows.
_MAX_CHUNK: Final = 6000
#: Looking at timeouts so often is enough (seconds), and always when a second begins.
_SWEEP_INTERVAL_S: Final = 1.0

LIMITS: Final = Limits(
    max_line=HIGH_LIMIT,
    prompt_delay=0.3,
    idle_timeout=21.5,
    line_timeout=6,
    write_timeout=6,
    linger_timeout=1,
    drain_timeout=5,
)


_REFUSING: Final = replace(LIMITS, max_connections=MAX_ADMITTED)
_PER_HOST: Final = replace(LIMITS, max_per_host=MAX_ADMITTED)
_BRIEF: Final = replace(_REFUSING, drain_timeout=1.5)
_WAITING: Final = replace(_REFUSING, at_capacity=AtCapacity.WAIT)


class Serves(enum.Enum):
    """The service of a server."""

    SESSIONS = "sessions"
    HANDLERS = "handlers"
    REQUESTS = "request handlers"


class Kind(NamedTuple):
    """A kind of server.

    Attributes:
        driver: "hub" or "stream".
        serves: what it serves. One of request handlers lets new clients wait, one of handlers refuses them.
        tells: whether it tells of each connection in any case, and gives the sums.
        proxied: whether it has a second address, where connections begin with a PROXY header.
        replaced: whether a newer server may take over from it; its drain is a short one.
    """

    driver: DriverName
    serves: Serves
    tells: bool = False
    proxied: bool = False
    replaced: bool = False


_REPORTS: Final = {
    ("hub", Serves.SESSIONS): ReportsInSum,
    ("hub", Serves.HANDLERS): LogTelemetry,
    ("hub", Serves.REQUESTS): ReportsOnEach,
    ("stream", Serves.SESSIONS): LogTelemetry,
    ("stream", Serves.HANDLERS): ReportsInSum,
    ("stream", Serves.REQUESTS): ReportsOnEach,
}


class Running:
    """A server on a Unix socket, in a task of its own.

    Attributes:
        host: the host it runs on.
        plan: what its sessions are made from.
        way: how its request handlers read.
        spare_gone: whether it has no spare descriptor, and knows.
        reports: what it has reported.
        stop: tells it to stop.
        retire: tells it to accept no more.
        scope: cancels it.
        over: whether it has come to its end.
        failure: what it raised.
        listener: what it listens by, if a newer server may take over.
        awake: whether a script is played to it; the others have no clients.
    """

    def __init__(self, kind: Kind, host: Host) -> None:
        self.kind = kind
        self.host = host
        self.address = "-".join(map(str, (kind.serves.value, *kind)))
        self.plan: Plan | None = None
        self.way = 0
        self.spare_gone = False
        self.reports = ReportsInBoth() if kind.tells else _REPORTS[kind.driver, kind.serves]()
        self.stop = trio.Event()
        self.retire = trio.Event()
        self.scope = trio.CancelScope()
        self.over = trio.Event()
        self.failure: Exception | None = None
        self.listener: Listener | None = None
        self.awake = trio.Event()

    @property
    def behind_proxy(self) -> str:
        """Its second address, if it has one."""
        return f"{self.address}-behind-proxy"

    @property
    def limits(self) -> Limits:
        """Its limits."""
        match self.kind.serves:
            case Serves.SESSIONS:
                return _PER_HOST
            case Serves.HANDLERS:
                return _BRIEF if self.kind.replaced else _REFUSING
            case Serves.REQUESTS:
                return _WAITING

    async def run(self, task_status: trio.TaskStatus[list[Endpoint]]) -> None:
        """Serve until stopped or cancelled, or something is raised."""
        _whose.set(self)
        endpoint = Endpoint.parse(f"unix:@{self.address}")
        if self.kind.replaced:
            self.listener = await listen(endpoint, machine=self.host)
        match self.kind.serves:
            case Serves.SESSIONS:
                second = [Endpoint.parse(f"unix:@{self.behind_proxy}")] if self.kind.proxied else []
                trust = replace(TRUST, proxy_on=frozenset(second))
                serving = partial(serve_sessions, self._new_session, *second, trust=trust)
            case Serves.HANDLERS:
                serving = partial(serve, self._handle)
            case Serves.REQUESTS:
                serving = partial(serve, self._request_handler())
        with self.scope:
            try:
                await serving(
                    self.listener or endpoint,
                    limits=self.limits,
                    telemetry=self.reports,
                    driver=self.kind.driver,
                    stop=self.stop,
                    retire=self.retire,
                    machine=self.host,
                    task_status=task_status,
                )
            except Exception as error:  # noqa: BLE001 - the script knows whether it was to be expected
                self.failure = error
        self.over.set()

    def _new_session(self) -> Session:
        assert self.plan is not None
        session = self.plan.session()
        session.max_chunk = min(session.max_chunk, _MAX_CHUNK)
        return session

    async def _handle(self, connection: Connection) -> None:
        """Converse as a session of the plan does; in a nursery, so that failures come in groups."""
        assert self.plan is not None
        async with trio.open_nursery():
            await converse(self.plan, connection.receive_line, connection.send)
            if not self.plan.prompt:  # some end their output themselves
                await connection.send_eof()

    def _request_handler(self) -> type[StreamRequestHandler]:
        """Return a class of request handlers that do the same."""

        class Handler(StreamRequestHandler):
            async def handle(handler) -> None:  # noqa: N805 - `self` is the server
                async def write(data: bytes) -> None:
                    if self.way == WAYS.index(_only_one):
                        await handler.wfile.writelines([data[:1], data[1:]])
                    else:
                        written = await handler.wfile.write(data)
                        assert written == len(data), f"{written} of {len(data)} written"

                assert self.plan is not None
                await converse(self.plan, partial(WAYS[self.way], handler.rfile), write)
                await handler.wfile.flush()

        return Handler


async def converse(
    plan: Plan, read: Callable[[], Awaitable[bytes]], write: Callable[[bytes], Awaitable[object]]
) -> None:
    """Converse as a session of the plan does."""
    if plan.first is First.SERVER:
        await write(plan.prompt)
    going_on = True
    while going_on:
        try:
            line = await read()
        except LineTooLong as error:
            await write(f"error: {error}\n".encode())
            going_on = plan.oversize is not Oversize.REJECT and not plan.once
        else:
            if line:
                await write(plan.service(line))
            going_on = bool(line) and not plan.once


async def _next(reader: Reader) -> bytes:
    async for line in reader:
        return line
    return b""


async def _only_one(reader: Reader) -> bytes:
    return b"".join(await reader.readlines(1))


async def _next_of_any_size(reader: Reader) -> bytes:
    return await reader.readline(None)


async def _whole(reader: Reader) -> bytes:
    """Read a line by its size; what is left of one that is too long would be the next."""
    line = await reader.readline(HIGH_LIMIT + 1)
    if len(line) > HIGH_LIMIT and not line.endswith(b"\n"):
        raise LineTooLong(HIGH_LIMIT)
    return line


#: The ways in which a request handler may read a line; the last one is for those that end with one too long.
WAYS: Final[tuple[Callable[[Reader], Awaitable[bytes]], ...]] = (
    _next_of_any_size,
    _next,
    _only_one,
    _whole,
)


#: The server whose task it is, if it is one's of these.
_whose: Final[ContextVar[Running | None]] = ContextVar("whose", default=None)


class ServersHost(FaultyHost):
    """The host of all servers of a run."""

    async def sleep(self, seconds: float) -> None:  # noqa: ARG002 - it wakes when that is enough
        """Sleep until the next sweep of timeouts.

        While there are no clients, there is nothing to sweep: to do so all the same, in each server and
        each second of the mock clock, would cost more than the scripts do that let time pass.
        """
        server = _whose.get()
        if server is None or server.awake.is_set():
            await trio.sleep(_SWEEP_INTERVAL_S)
        else:
            await server.awake.wait()
            await trio.sleep(-trio.current_time() % _SWEEP_INTERVAL_S)


class Servers:
    """The servers of a run, one for each kind that has been asked for."""

    def __init__(self, nursery: trio.Nursery, host: Host) -> None:
        self._nursery = nursery
        self._host = host
        self._running: dict[Kind, Running] = {}
        self._latest: Running | None = None

    async def get(self, kind: Kind) -> Running:
        """Return a server that has not been stopped."""
        running = self._running.get(kind)
        if running is None or running.over.is_set():
            running = self._running[kind] = Running(kind, self._host)
            await self._nursery.start(running.run)
            await wait_all_tasks_blocked()  # until it has all the tasks it keeps
        if running is not self._latest:
            if self._latest is not None:
                self._latest.awake = trio.Event()
            self._latest = running
            running.awake.set()
        return running

    async def end(self) -> None:
        """Stop all of them, and wait for their ends."""
        for running in self._running.values():
            running.stop.set()
            await running.over.wait()


async def refuse_misuse() -> None:
    """Check that a server needs endpoints, a certificate for TLS, and a handler of the right kind."""
    for serving, error in (
        (partial(serve_sessions, Session), EndpointError),
        (partial(serve_sessions, Session, "tls://127.0.0.1:0"), UsageError),
        (partial(serve, int, "unix:@"), TypeError),  # type: ignore[arg-type]
    ):
        try:
            await serving()
        except error:
            continue
        raise AssertionError(f"{error} was expected")


@asynccontextmanager
async def open_servers(host: Host) -> AsyncIterator[Servers]:
    """Yield servers on a host, which are stopped at the end of the block."""
    await refuse_misuse()
    async with trio.open_nursery() as nursery:
        servers = Servers(nursery, host)
        yield servers
        await servers.end()
