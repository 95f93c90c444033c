"""The server: listeners, connections in nurseries, and the stop in three phases."""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack, suppress
from typing import Final, TypeAlias

import trio

from .admission import REFUSAL, Admission, SpareDescriptor, refuse
from .channel import Channel
from .connection import Connection
from .drain import Drain
from .endpoint import Endpoint
from .errors import EndpointError, PeerError, TooSlow
from .hub import Hub, HubChannel
from .limits import Limits
from .listeners import BACKLOG, Listener, listen_all
from .peer import peer_of
from .requesthandler import StreamRequestHandler
from .session import Session
from .stream import StreamChannel
from .telemetry import Telemetry

Handler: TypeAlias = Callable[[Connection], Awaitable[object]]
NewSession: TypeAlias = Callable[[], Session]

#: How many connections one wake-up accepts before other tasks have their turn.
_BURST: Final = 64

#: Out of descriptors or memory: accepting pauses, as long as trio's own does.
_NO_ROOM: Final = SpareDescriptor.RAN_OUT | {errno.ENOBUFS, errno.ENOMEM}
_PAUSE: Final = 0.1

#: accept(2): errors of the connection that was to be accepted, not of the listening socket.
_ITS_OWN_FAULT: Final = frozenset(
    {
        errno.ECONNABORTED,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ENOPROTOOPT,
        errno.EOPNOTSUPP,
        errno.EPERM,
        errno.EPROTO,
        errno.ETIMEDOUT,
    }
)


async def serve(
    handler: Handler | type[StreamRequestHandler],
    *endpoints: Endpoint | str,
    limits: Limits = Limits(),  # noqa: B008 - immutable
    telemetry: Telemetry | None = None,
    stop: trio.Event | None = None,
    task_status: trio.TaskStatus[list[Endpoint]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve each connection, on all endpoints, by a call of `handler`, until told to stop.

    With `nursery.start` it returns, once all endpoints accept, the list of them with real port
    numbers, in the order given.

    A stop has three phases. Setting `stop` makes the server take what waits in its accept queues,
    close its listeners and tell the conversations (`Connection.draining`); these may read what had
    been received, then their input counts as ended; after `limits.drain_timeout` seconds they are
    cancelled. Cancelling the call instead cancels everything at once. Either way all sockets are
    closed when it returns, and Unix paths removed.

    When a handler returns or raises, its connection is ended in an orderly way and closed. What a
    handler raises ends its connection and no other, and is reported to `telemetry` once; a
    `PeerError` is the peer's doing, and no failure. Exception groups are taken apart; `Cancelled`
    is never swallowed.

    Args:
        handler: an async function that takes a `Connection`, or a `StreamRequestHandler` class.
        *endpoints: at least one, as `Endpoint` or as text; tcp and unix.
        limits: see `Limits`.
        telemetry: told what happens; nobody is, by default.
        stop: an event that begins the drain.
        task_status: for `nursery.start`.

    Raises:
        TypeError: the handler is a class of another kind, such as one of `socketserver`'s.
        EndpointError: an endpoint is not one, or not of a scheme that is served.
        ListenError: the machine does not let us listen; then no endpoint is served.
        ExceptionGroup: of OSError: a listening socket failed.
    """
    handle = _handle_requests(handler) if isinstance(handler, type) else handler
    server = _Server(limits, telemetry or Telemetry())

    def conversation(
        channel: Channel, accepted: socket.socket, address: object, at: Endpoint
    ) -> Awaitable[object]:
        return handle(Connection(channel, at, peer_of(accepted, address), limits, server.drain))

    await server.run(conversation, endpoints, stop, task_status)


async def serve_sessions(
    new_session: NewSession,
    *endpoints: Endpoint | str,
    limits: Limits = Limits(),  # noqa: B008 - immutable
    telemetry: Telemetry | None = None,
    stop: trio.Event | None = None,
    task_status: trio.TaskStatus[list[Endpoint]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve a session of its own to each connection, on all endpoints, until told to stop.

    As `serve` in all else. At a stop, each conversation answers every line it has received, the
    kernel's buffer included, then ends its output.

    Args:
        new_session: called for each connection.
        *endpoints: at least one, as `Endpoint` or as text; tcp and unix.
        limits: see `Limits`.
        telemetry: told what happens; nobody is, by default.
        stop: an event that begins the drain.
        task_status: for `nursery.start`.

    Raises:
        EndpointError: an endpoint is not one, or not of a scheme that is served.
        ListenError: the machine does not let us listen; then no endpoint is served.
        ExceptionGroup: of OSError: a listening socket failed.
    """

    def conversation(channel: Channel, _: socket.socket, __: object, ___: Endpoint) -> Awaitable[None]:
        return channel.converse(new_session())

    await _Server(limits, telemetry or Telemetry()).run(conversation, endpoints, stop, task_status)


_Conversation: TypeAlias = Callable[[Channel, socket.socket, object, Endpoint], Awaitable[object]]


class _Server:
    """What all connections of a server share."""

    def __init__(self, limits: Limits, telemetry: Telemetry) -> None:
        self.drain = Drain()
        self._limits = limits
        self._telemetry = telemetry
        self._admission = Admission(limits)
        self._spare = SpareDescriptor()
        self._hub = Hub(limits, self.drain) if hub_wanted() else None

    async def run(
        self,
        conversation: _Conversation,
        endpoints: Sequence[Endpoint | str],
        stop: trio.Event | None,
        task_status: trio.TaskStatus[list[Endpoint]],
    ) -> None:
        """Listen, accept until `stop` is set, then drain."""
        self._conversation = conversation
        with ExitStack() as opened:
            opened.callback(self._spare.close)
            if self._hub is not None:
                opened.callback(self._hub.close)
            if not endpoints:
                raise EndpointError("", "at least one is needed")
            parsed = [Endpoint.parse(each) if isinstance(each, str) else each for each in endpoints]
            listeners = await listen_all(parsed)
            for listener in listeners:
                opened.callback(listener.close)
            async with trio.open_nursery() as driving:
                if self._hub is not None:
                    driving.start_soon(self._hub.run)
                await self._serve(listeners, stop, task_status)
                driving.cancel_scope.cancel()

    async def _serve(
        self,
        listeners: Sequence[Listener],
        stop: trio.Event | None,
        task_status: trio.TaskStatus[list[Endpoint]],
    ) -> None:
        async with trio.open_nursery() as connections:
            async with trio.open_nursery() as accepting:
                for listener in listeners:
                    for sock in listener.sockets:
                        accepting.start_soon(self._accept, sock, listener.endpoint, connections)
                task_status.started([listener.endpoint for listener in listeners])
                await (trio.Event() if stop is None else stop).wait()
                accepting.cancel_scope.cancel()
            for listener in listeners:
                for sock in listener.sockets:
                    self._accept_waiting(sock, listener.endpoint, connections, BACKLOG)
                listener.close()
            connections.cancel_scope.deadline = trio.current_time() + self._limits.drain_timeout
            self.drain.begin()
        if connections.cancel_scope.cancelled_caught:
            self._telemetry.drain_timed_out()

    async def _accept(self, sock: socket.socket, endpoint: Endpoint, connections: trio.Nursery) -> None:
        while True:
            await self._admission.wait_while_shut()
            await trio.lowlevel.wait_readable(sock)
            if not self._accept_waiting(sock, endpoint, connections, _BURST):
                await trio.sleep(_PAUSE)

    def _accept_waiting(
        self, sock: socket.socket, endpoint: Endpoint, connections: trio.Nursery, most: int
    ) -> bool:
        """Accept at most `most` connections from the queue; return whether the machine had room."""
        for _ in range(most):
            if self._admission.shut:
                break
            try:
                accepted, address = sock.accept()
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno in _ITS_OWN_FAULT:
                    continue
                if error.errno not in _NO_ROOM:
                    raise
                self._telemetry.accept_failed(error, endpoint)
                if error.errno not in SpareDescriptor.RAN_OUT or not self._spare.turn_away(sock):
                    return False
                continue
            self._let_in(accepted, address, endpoint, connections)
        return True

    def _let_in(
        self, accepted: socket.socket, address: object, endpoint: Endpoint, connections: trio.Nursery
    ) -> None:
        """Start the connection's task, or refuse it."""
        reason = self._admission.admit(address)
        if reason is None:
            connections.start_soon(self._connection, accepted, address, endpoint, name="connection")
            return
        self._telemetry.connection_refused(reason, endpoint, peer_of(accepted, address))
        if self._admission.gentle:
            self._admission.refusing += 1
            connections.start_soon(self._refuse, accepted, name="refusal")
        else:
            refuse(accepted)

    async def _refuse(self, accepted: socket.socket) -> None:
        channel = self._open(accepted)
        try:
            with suppress(PeerError):
                await channel.send_all(REFUSAL)
                await channel.part()
        finally:
            await channel.aclose()
            self._admission.refusing -= 1

    async def _connection(self, accepted: socket.socket, address: object, endpoint: Endpoint) -> None:
        """Run one connection from its first byte to its close, whatever becomes of it."""
        channel = self._open(accepted)
        try:
            try:
                await self._conversation(channel, accepted, address, endpoint)
                self._telemetry.conversation_ended(None, endpoint)
                orderly = True
            except BaseException as error:  # noqa: BLE001 - sorted, and raised again if it is not ours
                orderly = self._sort_out(error, accepted, address, endpoint)
            if orderly:
                with suppress(PeerError):
                    await channel.part()
        finally:
            await channel.aclose()
            self._admission.release(address)

    def _open(self, accepted: socket.socket) -> Channel:
        if self._hub is not None:
            accepted.setblocking(False)  # noqa: FBT003 - the socket module's signature
            return HubChannel(accepted, self._hub)
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(accepted))
        return StreamChannel(stream, self._limits, self.drain)

    def _sort_out(
        self, error: BaseException, accepted: socket.socket, address: object, endpoint: Endpoint
    ) -> bool:
        """Report a bug, raise what is not ours; return whether the client may be parted from."""
        by_peer, other = _split(error, PeerError)
        bugs, rest = _split(other, Exception)
        if isinstance(bugs, Exception):
            self._telemetry.conversation_failed(bugs, endpoint, peer_of(accepted, address))
        elif isinstance(by_peer, Exception):
            self._telemetry.conversation_ended(by_peer, endpoint)
        if rest is not None:
            raise rest
        return not isinstance(by_peer, TooSlow) or by_peer.limit != "write_timeout"


def _split(
    error: BaseException | None, kind: type[Exception]
) -> tuple[BaseException | None, BaseException | None]:
    """Return the part of an error that is of a kind, and the rest; a group of one is that one."""
    if not isinstance(error, BaseExceptionGroup):
        return (error, None) if isinstance(error, kind) else (None, error)
    parts: list[BaseException | None] = []
    for part in error.split(kind):
        alone: BaseException | None = part
        while isinstance(alone, BaseExceptionGroup) and len(alone.exceptions) == 1:
            [alone] = alone.exceptions
        parts.append(alone)
    return parts[0], parts[1]


def _handle_requests(handler: type[object]) -> Handler:
    if not issubclass(handler, StreamRequestHandler):
        raise TypeError(f"a handler is an async function or a caas_trio.StreamRequestHandler, not {handler}")

    async def handle(connection: Connection) -> None:
        await handler(connection).run()

    return handle


def hub_wanted() -> bool:
    """Return whether the fast driver runs the connections: where there is epoll, unless forbidden."""
    return hasattr(select, "epoll") and os.environ.get("CAAS_TRIO_DRIVER", "hub") != "stream"
