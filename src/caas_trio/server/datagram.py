"""Datagrams: `serve_datagrams`, one reply at most to each, in bounded bursts."""

from __future__ import annotations

import errno
import inspect
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from socket import SOCK_DGRAM
from typing import Final, NamedTuple, TypeAlias, Unpack

import trio

from caas_trio.core.datagramrules import MAX_BYTES, Datagram, Drop, Rules
from caas_trio.core.endpoint import Endpoint
from caas_trio.core.errors import EndpointError
from caas_trio.core.limits import Limits
from caas_trio.core.telemetry import Telemetry, guarded
from caas_trio.core.trust import Trust
from caas_trio.drivers.datagramsocket import DatagramSocket
from caas_trio.drivers.drain import either
from caas_trio.drivers.machine import Machine
from caas_trio.drivers.requesthandler import DatagramRequestHandler

from .listeners import Listener, listen_all
from .options import DatagramOptions, Settings
from .reporting import LoggingTelemetry
from .watchdog import Watchdog

DatagramService: TypeAlias = Callable[[bytes], bytes | None]

#: The machine is out of memory for datagrams: as long a pause as accepting makes.
_NO_MEMORY: Final = frozenset({errno.ENOBUFS, errno.ENOMEM})
_RETRY_DELAY_S: Final = 0.1

#: udp(7), ip(7): the fate of an earlier reply, reported by whichever call comes next.
_OF_AN_EARLIER_ONE: Final = frozenset(
    {
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.EMSGSIZE,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ENOPROTOOPT,
        errno.EPROTO,
    }
)

#: Why a reply cannot be sent; any other error means that its address cannot be reached.
_OBSTACLES: Final[Mapping[int | None, Drop]] = {
    errno.EAGAIN: Drop.NO_ROOM,
    errno.ENOBUFS: Drop.NO_ROOM,
    errno.ENOMEM: Drop.NO_ROOM,
    errno.EMSGSIZE: Drop.TOO_LONG,
}


async def serve_datagrams(
    service: DatagramService | type[DatagramRequestHandler],
    *endpoints: Endpoint | Listener | str,
    task_status: trio.TaskStatus[list[Endpoint]] = trio.TASK_STATUS_IGNORED,
    **options: Unpack[DatagramOptions],
) -> None:
    """Answer each datagram, on all endpoints, with the result of `service`, until `stop` is set.

    A datagram is one message, whole and of any content, an empty one too; its reply is one message.
    With `nursery.start` it returns, once all endpoints are bound, the list of them with real port
    numbers, in the order given.

    A service is called with one datagram after the other, in no task of its own: while it works, nothing
    else does. A `DatagramRequestHandler` gets a task for each, and may wait. What either raises concerns
    that datagram and no other, and is reported to `telemetry` once.

    A reply is not sent, and `telemetry.datagram_dropped` is called, if it is longer than its request, if
    it would go to another server or to a sender without an address, or if there is no room for it: the server
    does not wait. On Linux a reply comes from the address that the datagram was sent to, even where
    every interface is served.

    Setting `stop` makes it answer what waits in the kernel, wait for the handlers, at most
    `limits.drain_timeout` seconds in all, and return. Cancelling the call instead cancels everything
    at once. Either way all sockets are closed when it returns, and Unix paths removed.

    Args:
        service: takes the bytes of a datagram and returns those of the reply, None for none; or a
            `DatagramRequestHandler` class.
        *endpoints: at least one, as `Endpoint` or as text; udp, unixgram, fd and systemd. Or a
            `Listener`, whose sockets are closed as if the server had opened them.
        task_status: for `nursery.start`.
        **options: see `DatagramOptions`.

    Raises:
        TypeError: the service is an async function or a class of another kind.
        EndpointError: an endpoint is not one, or not of a scheme that is served.
        ListenError: the machine does not allow to listen; then no endpoint is served.
        ExceptionGroup: of OSError: a socket failed.
    """
    if isinstance(service, type) and not issubclass(service, DatagramRequestHandler):
        raise TypeError(f"a handler of datagrams is a caas_trio.DatagramRequestHandler, not {service}")
    if inspect.iscoroutinefunction(service):
        raise TypeError("a service that waits is a caas_trio.DatagramRequestHandler, not an async function")
    if not endpoints:
        raise EndpointError("", "at least one is needed")
    settings = Settings(**options)
    limits, trust = settings.limits, settings.trust
    parsed = [Endpoint.parse(each) if isinstance(each, str) else each for each in endpoints]
    with ExitStack() as opened:
        listeners = await listen_all(parsed, SOCK_DGRAM, unix_mode=trust.unix_mode, machine=settings.machine)
        for listener in listeners:
            opened.callback(listener.close)
        async with trio.open_nursery() as handling:
            server = _Server(
                service,
                limits,
                trust,
                telemetry=guarded(LoggingTelemetry() if settings.telemetry is None else settings.telemetry),
                handling=handling,
                watchdog=settings.watchdog or Watchdog(),
                machine=settings.machine,
            )
            doors = [
                _Door(
                    DatagramSocket(sock, settings.machine),
                    Rules(sock.getsockname(), settings.reply_to_servers),
                    listener.endpoint,
                )
                for listener in listeners
                for sock in listener.sockets
            ]
            async with trio.open_nursery() as receiving:
                for door in doors:
                    receiving.start_soon(server.receive, door)
                for listener in listeners:
                    server.telemetry.listening(listener.endpoint)
                task_status.started([listener.endpoint for listener in listeners])
                await either(settings.stop, settings.retire)
                receiving.cancel_scope.cancel()
            handling.cancel_scope.deadline = trio.current_time() + limits.drain_timeout
            for door in doors:
                await server.receive_last(door)
    if handling.cancel_scope.cancelled_caught:
        server.telemetry.drain_timed_out()


class _Door(NamedTuple):
    """One socket, its rules, and its server."""

    socket: DatagramSocket
    rules: Rules
    endpoint: Endpoint


class _Server:
    """The state that all sockets of a server share."""

    def __init__(
        self,
        service: DatagramService | type[DatagramRequestHandler],
        limits: Limits,
        trust: Trust,
        *,
        telemetry: Telemetry,
        handling: trio.Nursery,
        watchdog: Watchdog,
        machine: Machine,
    ) -> None:
        self.telemetry = telemetry
        self._watchdog = watchdog
        self._machine = machine
        self._service = service
        self._limits = limits
        self._trust = trust
        self._handling = handling
        self._handled = 0
        self._memory = bytearray(MAX_BYTES)

    async def receive(self, door: _Door) -> None:
        """Serve datagrams until cancelled."""
        until_ready = partial(self._machine.wait_readable, door.socket.sock)
        while True:
            self._watchdog.tick(door.socket)
            if await self._watchdog.wait(until_ready):
                await self._burst(door)

    async def receive_last(self, door: _Door) -> None:
        """Serve the datagrams that wait in the kernel."""
        for _ in range(0, door.socket.max_waiting, self._machine.datagram_burst):
            await trio.lowlevel.checkpoint()
            if not await self._burst(door):
                return

    async def _burst(self, door: _Door) -> bool:
        """Serve some of the datagrams that wait; return whether there may be more."""
        for _ in range(self._machine.datagram_burst):
            try:
                datagram = door.socket.receive(self._memory)
            except OSError as error:
                if error.errno in _OF_AN_EARLIER_ONE:
                    self.telemetry.datagram_dropped(Drop.UNDELIVERED, door.endpoint, None)
                    continue
                if error.errno not in _NO_MEMORY:
                    raise
                self.telemetry.accept_failed(error, door.endpoint)
                await trio.sleep(_RETRY_DELAY_S)
                break
            if datagram is None:
                return False
            self._take(door, datagram)
        return True

    def _take(self, door: _Door, datagram: Datagram) -> None:
        """Serve a datagram, or start the task that does, or drop it."""
        reason: str | None = door.rules.ignored(datagram)
        if reason is None and self._trust.asks_for(datagram.address):
            reason = self._trust.objection(datagram.peer)
        if reason is not None:
            self.telemetry.datagram_dropped(reason, door.endpoint, datagram.peer)
        elif isinstance(self._service, type):
            if self._handled >= self._limits.max_datagrams:
                self.telemetry.datagram_dropped(Drop.BUSY, door.endpoint, datagram.peer)
            else:
                self._handled += 1
                self._handling.start_soon(self._handle, self._service, door, datagram, name="datagram")
        else:
            try:
                reply = _checked(self._service(datagram.data))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is the service's
                self.telemetry.datagram_failed(error, door.endpoint, datagram.peer)
            else:
                self._reply(door, datagram, reply)

    async def _handle(self, handler: type[DatagramRequestHandler], door: _Door, datagram: Datagram) -> None:
        try:
            reply = await handler(datagram, door.endpoint).run()
        except* Exception as group:  # noqa: BLE001 - whatever it is, it is the handler's
            error: Exception = group
            while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
                [error] = error.exceptions
            self.telemetry.datagram_failed(error, door.endpoint, datagram.peer)
        else:
            self._reply(door, datagram, reply)
        finally:
            self._handled -= 1

    def _reply(self, door: _Door, datagram: Datagram, reply: bytes | None) -> None:
        """Send a reply, unless there is none or a rule forbids it."""
        reason = None
        if reply is not None:
            reason = door.rules.withheld(datagram, reply) or self._send(door, datagram, reply)
        if reason is None:
            self.telemetry.datagram_served(door.endpoint)
        else:
            self.telemetry.datagram_dropped(reason, door.endpoint, datagram.peer)

    def _send(self, door: _Door, datagram: Datagram, reply: bytes) -> Drop | None:
        """Send a reply; return why it could not be sent."""
        error = door.socket.send(reply, datagram)
        if error is not None and error.errno in _OF_AN_EARLIER_ONE and isinstance(datagram.address, tuple):
            earlier, error = error, door.socket.send(reply, datagram)
            if error is None or error.errno != earlier.errno:
                self.telemetry.datagram_dropped(Drop.UNDELIVERED, door.endpoint, None)
        if error is None:
            return None
        return _OBSTACLES.get(error.errno, Drop.UNREACHABLE)


def _checked(reply: object) -> bytes | None:
    """Return what a service returned, if it is a reply."""
    if reply is None or isinstance(reply, bytes):
        return reply
    if isinstance(reply, bytearray | memoryview):
        return bytes(reply)
    raise TypeError(f"the reply to a datagram is bytes or None, not {type(reply).__name__}")
