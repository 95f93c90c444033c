"""The server: listeners, connections in nurseries, and the stop in three phases."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Final, Generic

import trio

from caas_trio.core.endpoint import Endpoint, Scheme
from caas_trio.core.errors import EndpointError, UsageError
from caas_trio.core.telemetry import ServerStats, guarded, listens_to_each, listens_to_stats
from caas_trio.core.trust import Trust
from caas_trio.drivers.choice import make_driver
from caas_trio.drivers.drain import Drain, either
from caas_trio.drivers.driver import Driver

from .accepting import Acceptor
from .admission import Admission, SpareDescriptor
from .handshaker import Handshaker
from .listeners import Listener, listen_all
from .options import Settings
from .reporting import LoggingTelemetry
from .served import S, ServedConnection, Shared
from .unixsocket import BACKLOG
from .watchdog import Watchdog

#: How long, after a successor has taken over, connections may go on before the drain. A client that came
#: just before it may not have spoken yet. Programs speak within milliseconds of their connect, and
#: behind a balancer within a round trip of their own; no other client is owed a wait.
HANDOVER_DELAY_S: Final = 1.0


class Server(Generic[S]):
    """Serves connections until it is stopped.

    Args:
        kind: what each connection becomes.
        service: what serves it.
        settings: the options.
    """

    def __init__(self, kind: type[ServedConnection[S]], service: S, settings: Settings) -> None:
        self._kind = kind
        self._service = service
        self._settings = settings
        self._drain = Drain()
        self._telemetry = guarded(LoggingTelemetry() if settings.telemetry is None else settings.telemetry)
        self._counting = listens_to_stats(self._telemetry)
        self._reports_each = listens_to_each(self._telemetry)
        self._stats = ServerStats()
        self._stop = trio.Event() if settings.stop is None else settings.stop
        self._watchdog = settings.watchdog or Watchdog()

    async def run(
        self, endpoints: Sequence[Endpoint | Listener | str], task_status: trio.TaskStatus[list[Endpoint]]
    ) -> None:
        """Listen, accept until `stop` is set, then drain."""
        with ExitStack() as opened:
            listeners = await self._listen(endpoints, opened)
            trust = self._settings.trust.bound([(each.asked, each.endpoint) for each in listeners])
            driver = self._make_driver()
            opened.callback(driver.close)
            spare = SpareDescriptor(self._settings.machine)
            opened.callback(spare.close)
            for listener in listeners:
                await listener.take_over()  # last of all, when nothing else can fail
            async with trio.open_nursery() as driving:
                driving.start_soon(driver.run)
                await self._serve(listeners, trust, driver, spare, driving, task_status)
                driving.cancel_scope.cancel()

    async def _listen(
        self, endpoints: Sequence[Endpoint | Listener | str], opened: ExitStack
    ) -> list[Listener]:
        """Open all listeners, which `opened` closes."""
        if not endpoints:
            raise EndpointError("", "at least one is needed")
        trust = self._settings.trust
        parsed = [Endpoint.parse(each) if isinstance(each, str) else each for each in endpoints]
        for each in parsed:
            endpoint = each.endpoint if isinstance(each, Listener) else each
            if endpoint.scheme is Scheme.TLS and trust.tls is None:
                raise UsageError(f"{endpoint} needs a certificate, in Trust(tls=...)")
        takeover = self._settings.takeover
        listeners = await listen_all(
            parsed,
            unix_mode=trust.unix_mode,
            takeover=takeover,
            options=self._settings.sockets,
            machine=self._settings.machine,
        )
        for listener in listeners:
            opened.callback(listener.close)
        return listeners

    def _make_driver(self) -> Driver:
        stats = self._stats if self._counting else None
        name, limits, machine = self._settings.driver, self._settings.limits, self._settings.machine
        return make_driver(name, limits, self._drain, stats, counting=self._reports_each, machine=machine)

    async def _serve(  # noqa: PLR0917 - each is opened by `run`, in this order
        self,
        listeners: Sequence[Listener],
        trust: Trust,
        driver: Driver,
        spare: SpareDescriptor,
        driving: trio.Nursery,
        task_status: trio.TaskStatus[list[Endpoint]],
    ) -> None:
        """Accept until the stop, and return when all connections have ended."""
        arriving = [(each, self._stats.add_listener(each.endpoint)) for each in listeners]
        async with trio.open_nursery() as connections:
            shared = self._shared(trust, driver, connections)
            bare = {sock for each in listeners if not each.passes_options_on for sock in each.sockets}
            acceptor = Acceptor(
                self._kind,
                shared,
                spare=spare,
                watchdog=self._watchdog,
                bare=bare,
                options=self._settings.sockets,
            )
            async with trio.open_nursery() as accepting:
                self._telemetry.counting(self._stats)
                for listener, stats in arriving:
                    self._telemetry.listening(listener.endpoint)
                    accept = partial(acceptor.accept, listener=stats, shared=listener.shared)
                    for sock in listener.sockets:
                        accepting.start_soon(accept, sock)
                task_status.started([listener.endpoint for listener in listeners])
                await either(self._stop, self._settings.retire)
                accepting.cancel_scope.cancel()
            for listener in listeners:
                listener.withdraw()  # before the last look at the queue: no connection comes after it
            if self._stop.is_set():
                shared.admission.end_waiting()
            for listener, stats in arriving:
                for sock in listener.sockets:
                    # A server that retires refuses no client for want of room: others may have the socket.
                    limit = BACKLOG if self._stop.is_set() else shared.admission.room
                    acceptor.accept_waiting(sock, stats, limit)
            for listener in listeners:
                listener.close()
            if self._stop.is_set() and not _handed_over(listeners):
                self._begin_drain(connections, trio.current_time())
            else:
                driving.start_soon(self._drain_later, connections, listeners)
        if connections.cancel_scope.cancelled_caught:
            self._telemetry.drain_timed_out()

    def _shared(self, trust: Trust, driver: Driver, connections: trio.Nursery) -> Shared[S]:
        limits, machine = self._settings.limits, self._settings.machine
        admission = Admission(limits, machine)
        drain = self._drain
        return Shared(
            service=self._service,
            limits=limits,
            trust=trust,
            telemetry=self._telemetry,
            stats=self._stats,
            reports_each=self._reports_each,
            counting=self._counting,
            admission=admission,
            drain=drain,
            driver=driver,
            handshaker=Handshaker(limits, trust, drain, driver, admission, machine=machine),
            tasks=connections,
            machine=machine,
        )

    def _begin_drain(self, connections: trio.Nursery, stopped: float) -> None:
        connections.cancel_scope.deadline = stopped + self._settings.limits.drain_timeout
        self._drain.begin()

    async def _drain_later(self, connections: trio.Nursery, listeners: Sequence[Listener]) -> None:
        """Drain at the stop, or a little later if a successor has taken over."""
        await self._stop.wait()
        stopped = trio.current_time()
        if _handed_over(listeners):
            await trio.sleep(min(HANDOVER_DELAY_S, self._settings.limits.drain_timeout / 2))
        self._begin_drain(connections, stopped)


def _handed_over(listeners: Iterable[Listener]) -> bool:
    return any(listener.handed_over for listener in listeners)
