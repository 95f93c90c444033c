"""The server: listeners, connections in nurseries, and the stop in three phases."""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from typing import Final, TypeAlias

import trio

from .channel import Channel
from .drain import Drain
from .endpoint import Endpoint
from .errors import ConnectionLost, TooSlow
from .hub import Hub, HubChannel
from .limits import Limits
from .listeners import BACKLOG, Listener, listen_all
from .session import Session
from .stream import StreamChannel
from .telemetry import Telemetry

NewSession: TypeAlias = Callable[[], Session]

#: How many connections one wake-up accepts before other tasks have their turn.
_BURST: Final = 64

#: Out of descriptors or memory: accepting pauses. trio and libuv wait as long.
_NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
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


async def serve_sessions(
    new_session: NewSession,
    *endpoints: Endpoint | str,
    limits: Limits = Limits(),  # noqa: B008 - immutable
    telemetry: Telemetry | None = None,
    stop: trio.Event | None = None,
    task_status: trio.TaskStatus[list[Endpoint]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve a session of its own to each connection, on all endpoints, until told to stop.

    With `nursery.start` it returns, once all endpoints accept, the list of them with real port
    numbers, in the order given.

    A stop has three phases. Setting `stop` makes the server take what waits in its accept queues,
    close its listeners and tell the conversations; they answer every line they have received, then
    end their output; after `limits.drain_timeout` seconds they are cut off. Cancelling the call
    instead cuts everything off at once. Either way all sockets are closed when it returns, and Unix
    paths removed.

    What a session raises ends its connection and is reported to `telemetry`; a peer that resets its
    connection costs nobody else anything and is not reported.

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
        OSError: a listening socket failed.
    """
    parsed = [Endpoint.parse(each) if isinstance(each, str) else each for each in endpoints]
    with ExitStack() as opened:
        listeners = await listen_all(parsed)
        for listener in listeners:
            opened.callback(listener.close)
        server = _Server(new_session, limits, telemetry or Telemetry())
        await server.run(listeners, trio.Event() if stop is None else stop, task_status)


class _Server:
    """What all connections of a server share."""

    def __init__(self, new_session: NewSession, limits: Limits, telemetry: Telemetry) -> None:
        self._new_session = new_session
        self._limits = limits
        self._telemetry = telemetry
        self._drain = Drain()
        self._hub = Hub(limits, self._drain) if hub_wanted() else None

    async def run(
        self,
        listeners: Sequence[Listener],
        stop: trio.Event,
        task_status: trio.TaskStatus[list[Endpoint]],
    ) -> None:
        """Accept until `stop` is set, then drain."""
        async with trio.open_nursery() as driving:
            if self._hub is not None:
                driving.start_soon(self._hub.run)
            async with trio.open_nursery() as connections:
                async with trio.open_nursery() as accepting:
                    for listener in listeners:
                        for sock in listener.sockets:
                            accepting.start_soon(self._accept, sock, listener.endpoint, connections)
                    task_status.started([listener.endpoint for listener in listeners])
                    await stop.wait()
                    accepting.cancel_scope.cancel()
                for listener in listeners:
                    for sock in listener.sockets:
                        self._admit(sock, listener.endpoint, connections, BACKLOG)
                    listener.close()
                connections.cancel_scope.deadline = trio.current_time() + self._limits.drain_timeout
                self._drain.begin()
            driving.cancel_scope.cancel()
        if connections.cancel_scope.cancelled_caught:
            self._telemetry.drain_timed_out()

    def _open(self, accepted: socket.socket) -> Channel:
        if self._hub is not None:
            accepted.setblocking(False)  # noqa: FBT003 - the socket module's signature
            return HubChannel(accepted, self._hub)
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(accepted))
        return StreamChannel(stream, self._limits, self._drain)

    async def _accept(self, sock: socket.socket, endpoint: Endpoint, connections: trio.Nursery) -> None:
        while True:
            await trio.lowlevel.wait_readable(sock)
            if not self._admit(sock, endpoint, connections, _BURST):
                await trio.sleep(_PAUSE)

    def _admit(self, sock: socket.socket, endpoint: Endpoint, connections: trio.Nursery, most: int) -> bool:
        """Start a task for each of the next `most` connections; return whether there was room."""
        for _ in range(most):
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
                return False
            connections.start_soon(self._connection, accepted, endpoint, address, name="connection")
        return True

    async def _connection(self, accepted: socket.socket, endpoint: Endpoint, address: object) -> None:
        """Run one connection from its first byte to its close, whatever becomes of it."""
        channel = self._open(accepted)
        try:
            try:
                await channel.converse(self._new_session())
            except ConnectionLost:
                return
            except TooSlow as error:
                if error.limit == "write_timeout":
                    return
            except Exception as error:  # noqa: BLE001 - a session's bug costs its own connection only
                self._telemetry.conversation_failed(error, endpoint, _peer(address))
            with suppress(ConnectionLost):
                await channel.part()
        finally:
            await channel.aclose()


def hub_wanted() -> bool:
    """Return whether the fast driver runs the sessions: where there is epoll, unless forbidden."""
    return hasattr(select, "epoll") and os.environ.get("CAAS_TRIO_DRIVER", "hub") != "stream"


def _peer(address: object) -> str:
    """Return the other side's address as text."""
    match address:
        case (str(host), int(port), *_):
            return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        case _:
            return "a local process"
