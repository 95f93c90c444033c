"""The server of a scenario: `SimulatedServer`, `serving`."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import trio
from trio.testing import MockClock

from caas_trio import (
    Connection,
    Endpoint,
    First,
    LineSession,
    LineTooLong,
    Oversize,
    Trust,
    serve,
    serve_sessions,
)
from caas_trio.testing import Network

from .observed import Each, Observed, Summed, require
from .scenario import FATAL, PORT, PROMPT, PROXIED_PORT, Scenario

#: How long after its own limits a server may end, in simulated seconds.
_SLACK_S: Final = 1.0

#: How long small buffers and slow links may keep a connection going, in simulated seconds.
_DELAYS_S: Final = 300.0

#: How often, while all timeouts pass, it is looked whether that is enough.
_LOOKS: Final = 20

#: Where the clients come from that PROXY headers tell of, but for the strangers.
HEADERS_NETWORK: Final = ipaddress.ip_network("192.0.2.0/24")

_TELEMETRY: Final = {"failures": Observed, "sums": Summed, "each": Each}


class ServiceFailed(Exception):  # noqa: N818 - what it is called in the reports
    """Raised by a service that fails."""


class SimulatedServer:
    """The server of a scenario, on the host `server`.

    Attributes:
        scenario: its scenario.
        network: where it is.
        host: the host.
        telemetry: its reports.
        stopped: the number of events before it was stopped; None if it was not.
        stopped_at: when that was, on trio's clock.
        ends_from: when it was stopped, or told to accept no more.
        retired: the number of events before it was told to accept no more; None if it was not.
        over: set at its end.
        released: set when clients have no reason left to stay.
        frozen: for how long the machine has stood still, in all.
    """

    def __init__(self, scenario: Scenario, network: Network, clock: MockClock, nursery: trio.Nursery) -> None:
        self.scenario = scenario
        self.network = network
        self.host = network.host("server")
        self.host.set_buffers(send=scenario.buffer, receive=scenario.inbox)
        self.host.accept_burst = scenario.burst
        self.telemetry = _TELEMETRY[scenario.telemetry](scenario)
        self.stopped: int | None = None
        self.stopped_at = 0.0
        self.ends_from = math.inf
        self.retired: int | None = None
        self.over = trio.Event()
        self.released = trio.Event()
        self.frozen = 0.0
        self._clock = clock
        self._nursery = nursery
        self._choices = network.random("server")
        self._stop, self._retire = trio.Event(), trio.Event()
        self._scope = trio.CancelScope()
        self._resting = 0
        self.stopping = trio.Event()

    def freeze(self, seconds: float) -> None:
        """Advance the time while nothing runs, as on a machine that is busy or asleep."""
        self._clock.jump(seconds)
        self.frozen += seconds

    def freeze_at(self, deadline: float, seconds: float) -> None:
        """Freeze at a given time, before or after what else happens then."""

        async def freeze() -> None:
            await trio.sleep_until(deadline)
            self.freeze(seconds)

        self._nursery.start_soon(freeze)

    def retire(self) -> None:
        """Accept no more."""
        self.retired = len(self.network.trace)
        self.ends_from = trio.current_time()
        self._retire.set()

    def begin_to_stop(self) -> None:
        """Stop, or be cancelled."""
        if self.stopped is not None:
            return
        self.stopped = len(self.network.trace)
        self.stopped_at = trio.current_time()
        self.ends_from = min(self.ends_from, self.stopped_at)
        self._stop.set()
        self.stopping.set()
        if self.cancelled:
            self._scope.cancel()

    @property
    def cancelled(self) -> bool:
        """Whether its end is that it is cancelled."""
        stop = self.scenario.stop
        return stop is not None and stop.cancels and self.stopped is not None

    async def end(self) -> None:
        """Stop it; it has to end in time."""
        self.begin_to_stop()
        by = self.stopped_at + _SLACK_S + (0 if self.cancelled else self.scenario.limits.drain_timeout)
        while not self.over.is_set():
            left = by + self.frozen - trio.current_time()
            require(left > 0, "the drain has no end")
            with trio.move_on_after(left):
                await self.over.wait()

    async def be_faulty(self) -> None:
        """Cause the faults of the scenario."""
        for fault in sorted(self.scenario.faults, key=lambda each: each.at):
            await trio.sleep(fault.at)
            self.host.fail_accepts(*fault.errors)
            if fault.descriptors is not None:
                before = self.host.max_descriptors()
                self.host.limit_descriptors(self.host.open_descriptors + fault.descriptors)
                await trio.sleep(1)
                self.host.limit_descriptors(before)

    async def check_rest(self) -> None:
        """Check that all connections have ended once each timeout has passed, whatever their clients do."""
        limits = self.scenario.limits
        timeouts = limits.opening_timeout + limits.idle_timeout + limits.line_timeout
        timeouts += limits.write_timeout + limits.linger_timeout
        by = trio.current_time() + timeouts + _DELAYS_S
        while (left := self.host.open_descriptors - self._resting) > 0:
            require(trio.current_time() < by, f"{left} descriptors are open when all timeouts are over")
            await trio.sleep(timeouts / _LOOKS)

    def check(self) -> None:
        """Check its reports, when it is over."""
        require(self.host.open_descriptors == 0, "the server leaves descriptors open")
        self.telemetry.check()

    # What it serves

    def session(self) -> LineSession:
        """Return a new session."""
        scenario = self.scenario
        self._begin()
        service = self._served if scenario.fails else bytes.upper
        return LineSession(
            service, scenario.first, PROMPT, scenario.limit, scenario.oversize, once=scenario.once
        )

    async def handle(self, connection: Connection) -> None:
        """Hold the same conversation as a session."""
        scenario = self.scenario
        self._begin()
        if scenario.first is First.SERVER:
            await connection.send(PROMPT)
        while True:
            try:
                line = await connection.receive_line()
            except LineTooLong as error:
                await connection.send(b"error: %s\n" % str(error).encode())
                if scenario.once or scenario.oversize is Oversize.REJECT:
                    return
            else:
                if scenario.work:
                    await trio.sleep(self._choices.uniform(0, scenario.work))
                if not line:
                    return
                await connection.send(self._served(line))
                if scenario.once:
                    return

    def _begin(self) -> None:
        self.telemetry.look()
        if self._choices.random() < self.scenario.begins_badly:
            raise ServiceFailed

    def _served(self, line: bytes) -> bytes:
        if self.scenario.fails and FATAL in line:
            raise ServiceFailed
        return line.upper()

    async def run(self, task_status: trio.TaskStatus[list[Endpoint]]) -> None:
        """Serve until it is over."""
        scenario, host = self.scenario, self.host
        start = partial(serve, self.handle) if scenario.handler else partial(serve_sessions, self.session)
        proxied = Endpoint.parse(f"tcp://server:{PROXIED_PORT}")
        endpoints = [Endpoint.parse(f"tcp://server:{PORT}"), *([proxied] if scenario.proxied else [])]
        with self._scope:
            await start(
                *endpoints,
                machine=host,
                driver=scenario.driver,
                limits=scenario.limits,
                trust=self._trust(endpoints[1:]),
                telemetry=self.telemetry,
                stop=self._stop,
                retire=self._retire,
                task_status=task_status,
            )
        self.over.set()

    def _trust(self, proxied: list[Endpoint]) -> Trust:
        hosts = [self.network.host(f"client{number}") for number in range(self.scenario.hosts)]
        networks = tuple(ipaddress.ip_network(host.address) for host in hosts)
        allowed = (HEADERS_NETWORK, *networks[1:]) if self.scenario.strangers else ()
        return Trust(allow_from=allowed, proxy_on=frozenset(proxied), proxy_from=networks)

    def begun(self) -> None:
        """Note that it serves, and has no clients yet."""
        self._resting = self.host.open_descriptors


@asynccontextmanager
async def serving(scenario: Scenario, network: Network, clock: MockClock) -> AsyncIterator[SimulatedServer]:
    """Serve a scenario."""
    async with trio.open_nursery() as nursery:
        server = SimulatedServer(scenario, network, clock, nursery)
        await nursery.start(server.run)
        server.begun()
        nursery.start_soon(server.be_faulty)
        yield server
        nursery.cancel_scope.cancel()
