"""What is called to serve connections: `serve` and `serve_sessions`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import trio

from caas_trio.core.endpoint import Endpoint
from caas_trio.core.limits import Limits
from caas_trio.core.peer import Peer
from caas_trio.core.telemetry import Telemetry
from caas_trio.core.trust import Trust
from caas_trio.drivers.channel import Channel
from caas_trio.drivers.connection import Connection
from caas_trio.drivers.requesthandler import StreamRequestHandler

from .listeners import Listener
from .server import NewSession, Server
from .watchdog import Watchdog

Handler: TypeAlias = Callable[[Connection], Awaitable[object]]


async def serve(
    handler: Handler | type[StreamRequestHandler],
    *endpoints: Endpoint | Listener | str,
    limits: Limits = Limits(),  # noqa: B008 - immutable
    trust: Trust = Trust(),  # noqa: B008 - immutable
    telemetry: Telemetry | None = None,
    stop: trio.Event | None = None,
    retire: trio.Event | None = None,
    takeover: bool = False,
    watchdog: Watchdog | None = None,
    task_status: trio.TaskStatus[list[Endpoint]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve each connection, on all endpoints, by a call of `handler`, until told to stop.

    With `nursery.start` it returns, once all endpoints accept, the list of them with real port
    numbers, in the order given.

    A stop has three phases. Setting `stop` makes the server take what waits in its accept queues,
    close its listeners and tell the conversations (`Connection.draining`); these may read what had
    been received, then their input counts as ended; `limits.drain_timeout` seconds after the stop
    they are cancelled. Where another server takes a path of this one over (`takeover`), all of its
    conversations go on between the first two phases, for a second, or half of `limits.drain_timeout`
    if that is less: who has just connected may still speak. Once none is left it waits no longer.

    Cancelling the call instead cancels everything at once. Either way all sockets are closed when it
    returns, and Unix paths removed.

    When a handler returns or raises, its connection is ended in an orderly way and closed. What a
    handler raises ends its connection and no other, and is reported to `telemetry` once; a
    `PeerError` is the peer's doing, and no failure. Exception groups are taken apart; `Cancelled`
    is never swallowed.

    Args:
        handler: an async function that takes a `Connection`, or a `StreamRequestHandler` class.
        *endpoints: at least one, as `Endpoint` or as text; tcp, tls, unix, fd and systemd. Or a
            `Listener`, whose sockets are closed as if the server had opened them.
        limits: see `Limits`.
        trust: who may connect; see `Trust`.
        telemetry: told what happens; by default bugs, refusals and timeouts are logged, to `logging`'s
            "caas_trio". `Telemetry()` is silence.
        stop: an event that begins the drain.
        retire: an event that makes it accept no more, and return once all connections have ended by
            themselves; `stop` may still begin the drain.
        takeover: where another server has the path of a Unix socket, tell it to stop (SIGTERM) once
            all other endpoints are open, and take its place; no client finds the path without a
            server, and who has connected to the old one may still speak, for a second. If the old one
            has not begun to stop after 30 seconds, that is a `ListenError`.
        watchdog: beats as long as the server accepts; see `Watchdog`.
        task_status: for `nursery.start`.

    Raises:
        TypeError: the handler is a class of another kind, such as one of `socketserver`'s.
        EndpointError: an endpoint is not one, or not of a scheme that is served.
        UsageError: a tls endpoint has no certificate.
        ListenError: the machine does not let us listen; then no endpoint is served.
        ExceptionGroup: of OSError: a listening socket failed.
    """
    handle = _handle_requests(handler) if isinstance(handler, type) else handler
    server = Server(limits, trust, telemetry, watchdog, stop=stop, retire=retire)

    def conversation(channel: Channel, at: Endpoint, peer: Peer) -> Awaitable[object]:
        connection = Connection(channel, at, peer, limits, server.drain)
        talk = handle(connection)
        return server.stats.follow(connection, talk) if server.counting else talk

    await server.run(conversation, endpoints, takeover, task_status)


async def serve_sessions(
    new_session: NewSession,
    *endpoints: Endpoint | Listener | str,
    limits: Limits = Limits(),  # noqa: B008 - immutable
    trust: Trust = Trust(),  # noqa: B008 - immutable
    telemetry: Telemetry | None = None,
    stop: trio.Event | None = None,
    retire: trio.Event | None = None,
    takeover: bool = False,
    watchdog: Watchdog | None = None,
    task_status: trio.TaskStatus[list[Endpoint]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve a session of its own to each connection, on all endpoints, until told to stop.

    As `serve` in all else. At a stop, each conversation answers every line it has received, the
    kernel's buffer included, then ends its output.

    Args:
        new_session: called for each connection.
        *endpoints: at least one, as `Endpoint` or as text; tcp, tls, unix, fd and systemd. Or a
            `Listener`, whose sockets are closed as if the server had opened them.
        limits: see `Limits`.
        trust: who may connect; see `Trust`.
        telemetry: told what happens; by default bugs, refusals and timeouts are logged, to `logging`'s
            "caas_trio". `Telemetry()` is silence.
        stop: an event that begins the drain.
        retire: an event that makes it accept no more, and return once all connections have ended by
            themselves; `stop` may still begin the drain.
        takeover: where another server has the path of a Unix socket, tell it to stop (SIGTERM) once
            all other endpoints are open, and take its place; no client finds the path without a
            server, and who has connected to the old one may still speak, for a second. If the old one
            has not begun to stop after 30 seconds, that is a `ListenError`.
        watchdog: beats as long as the server accepts; see `Watchdog`.
        task_status: for `nursery.start`.

    Raises:
        EndpointError: an endpoint is not one, or not of a scheme that is served.
        UsageError: a tls endpoint has no certificate.
        ListenError: the machine does not let us listen; then no endpoint is served.
        ExceptionGroup: of OSError: a listening socket failed.
    """

    def conversation(channel: Channel, _: Endpoint, __: object) -> Awaitable[None]:
        return server.run_session(channel.converse, new_session())

    server = Server(limits, trust, telemetry, watchdog, stop=stop, retire=retire, new_session=new_session)
    await server.run(conversation, endpoints, takeover, task_status)


def _handle_requests(handler: type[object]) -> Handler:
    if not issubclass(handler, StreamRequestHandler):
        raise TypeError(f"a handler is an async function or a caas_trio.StreamRequestHandler, not {handler}")

    async def handle(connection: Connection) -> None:
        await handler(connection).run()

    return handle
