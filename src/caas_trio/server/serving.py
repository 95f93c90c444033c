"""The servers of connections: `serve` and `serve_sessions`."""

from __future__ import annotations

from typing import Unpack

import trio

from caas_trio.core.endpoint import Endpoint
from caas_trio.drivers.connection import Connection
from caas_trio.drivers.requesthandler import StreamRequestHandler

from .kinds import Handler, HandlerConnection, NewSession, SessionConnection
from .listeners import Listener
from .options import ServeOptions, Settings
from .server import Server


async def serve(
    handler: Handler | type[StreamRequestHandler],
    *endpoints: Endpoint | Listener | str,
    task_status: trio.TaskStatus[list[Endpoint]] = trio.TASK_STATUS_IGNORED,
    **options: Unpack[ServeOptions],
) -> None:
    """Serve each connection, on all endpoints, by a call of `handler`, until `stop` is set.

    With `nursery.start` it returns, once all endpoints accept, the list of them with real port
    numbers, in the order given.

    A stop has three phases. Setting `stop` makes the server take what waits in its accept queues,
    close its listeners and notify the conversations (`Connection.draining`); these may read what had
    been received, then their input counts as ended; `limits.drain_timeout` seconds after the stop
    they are cancelled. Where another server takes a path of this one over (`takeover`), all of its
    conversations go on between the first two phases, for a second, or half of `limits.drain_timeout`
    if that is less: a client that has just connected may still speak. Once none is left it waits no longer.

    Cancelling the call instead cancels everything at once. Either way all sockets are closed when it
    returns, and Unix paths removed.

    When a handler returns or raises, its connection is ended in an orderly way and closed. What a
    handler raises ends its connection and no other, SystemExit included, and is reported to
    `telemetry` once; a `PeerError` of its own connection is the peer's doing, and no failure. Exception
    groups are taken apart. `Cancelled` is never swallowed, and KeyboardInterrupt ends the server.

    Args:
        handler: an async function that takes a `Connection`, or a `StreamRequestHandler` class.
        *endpoints: at least one, as `Endpoint` or as text; tcp, tls, unix, fd and systemd. Or a
            `Listener`, whose sockets are closed as if the server had opened them.
        task_status: for `nursery.start`.
        **options: see `ServeOptions`.

    Raises:
        TypeError: the handler is a class of another kind, such as one of `socketserver`'s.
        EndpointError: an endpoint is not one, or not of a scheme that is served.
        UsageError: a tls endpoint has no certificate, or the machine lacks the driver.
        ListenError: the machine does not allow to listen; then no endpoint is served.
        ExceptionGroup: of OSError: a listening socket failed.
    """
    handle = _handle_requests(handler) if isinstance(handler, type) else handler
    await Server(HandlerConnection, handle, Settings(**options)).run(endpoints, task_status)


async def serve_sessions(
    new_session: NewSession,
    *endpoints: Endpoint | Listener | str,
    task_status: trio.TaskStatus[list[Endpoint]] = trio.TASK_STATUS_IGNORED,
    **options: Unpack[ServeOptions],
) -> None:
    """Serve a session of its own to each connection, on all endpoints, until `stop` is set.

    As `serve` in all else, its endpoints, options and errors included. At a stop, each conversation
    answers every line it has received, the kernel's buffer included, then ends its output.

    Args:
        new_session: called for each connection.
        *endpoints: see `serve`.
        task_status: for `nursery.start`.
        **options: see `ServeOptions`.
    """
    await Server(SessionConnection, new_session, Settings(**options)).run(endpoints, task_status)


def _handle_requests(handler: type[object]) -> Handler:
    if not issubclass(handler, StreamRequestHandler):
        raise TypeError(f"a handler is an async function or a caas_trio.StreamRequestHandler, not {handler}")

    async def handle(connection: Connection) -> None:
        await handler(connection).run()

    return handle
