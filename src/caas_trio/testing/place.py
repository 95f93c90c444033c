"""An app, served in memory: `serving`."""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from functools import partial
from typing import Final

import trio

from caas_trio.core.endpoint import Endpoint, Scheme
from caas_trio.core.errors import UsageError
from caas_trio.core.limits import Limits
from caas_trio.core.peer import Peer
from caas_trio.core.telemetry import Telemetry, together
from caas_trio.core.terminator import Terminator
from caas_trio.core.trust import Trust
from caas_trio.drivers.choice import DriverName
from caas_trio.drivers.connection import Connection
from caas_trio.server.app import as_app
from caas_trio.server.hosting import open_app, serve_app

from .failure import described
from .host import Host
from .network import Network

#: Where an app is served, and by which host clients get there, unless a test says otherwise.
_ENDPOINT: Final = "tcp://server:7"
_CLIENT: Final = "client"

#: How long an app's context manager may take to be left, once the server has stopped (seconds).
_LEAVING_S: Final = 60.0

#: struct linger of socket(7): a close resets.
_RESETS: Final = struct.pack("ii", 1, 0)


class _Failures(Telemetry):
    """Keeps the errors that the app raises, and whether it was cut off at the end."""

    def __init__(self) -> None:
        self.raised: list[Exception] = []
        self.cut_off = False

    def conversation_failed(self, error: Exception, endpoint: Endpoint, peer: Peer) -> None:  # noqa: ARG002
        self.raised.append(error)

    def datagram_failed(self, error: Exception, endpoint: Endpoint, sender: Peer) -> None:  # noqa: ARG002
        self.raised.append(error)

    def drain_timed_out(self) -> None:
        self.cut_off = True


class Place:
    """Where `serving` serves an app.

    Attributes:
        network: the network.
        host: the host that the app is served on.
        endpoints: where on it, as bound.
    """

    def __init__(self, network: Network, endpoints: Sequence[Endpoint], failures: _Failures) -> None:
        self.network = network
        self.host: Host = network.host("server")
        self.endpoints = tuple(endpoints)
        self._failures = failures
        self._streams: list[trio.SocketStream] = []

    async def connect(
        self,
        endpoint: Endpoint | None = None,
        *,
        client: str = _CLIENT,
        limits: Limits | None = None,
        terminator: Terminator = Terminator.LF,
    ) -> Connection:
        """Return a client's connection, which the caller may close, and the end of the serving does.

        Args:
            endpoint: which of `endpoints` to connect to; None for the first.
            client: the name of the host to connect from; for a Unix socket it is the server's own.
            limits: those of the client.
            terminator: what ends a line that the client reads.

        Raises:
            OSError: as `open_stream` does.
            UsageError: likewise.
        """
        stream = await self.open_stream(endpoint, client=client)
        return Connection.over(stream, limits=limits, terminator=terminator, endpoint=endpoint)

    async def open_stream(
        self, endpoint: Endpoint | None = None, *, client: str = _CLIENT
    ) -> trio.SocketStream:
        """Return a client's connection as a stream of trio's; else as `connect`.

        Raises:
            OSError: ECONNREFUSED, EMFILE, ETIMEDOUT, ...
            UsageError: the endpoint is for TLS or for datagrams.
        """
        endpoint = endpoint or self.endpoints[0]
        if endpoint.scheme is Scheme.TCP:
            stream = await self.network.host(client).open_tcp(self.host.name, endpoint.port)
        elif endpoint.scheme is Scheme.UNIX:
            stream = await self.host.open_unix(endpoint.path.replace("@", "\0", 1))
        else:
            raise UsageError(f"{endpoint} cannot be connected to here: that is for tcp:// and unix:")
        self._streams.append(stream)
        return stream

    async def talk(self, data: bytes, *, client: str = _CLIENT) -> bytes:
        """Send `data` as a client, end the output, and return all that is received.

        Raises:
            OSError: as `open_stream` does.
            trio.BrokenResourceError: the server has reset the connection.
        """
        received = bytearray()
        failure: trio.BrokenResourceError | None = None
        async with await self.open_stream(client=client) as stream, trio.open_nursery() as nursery:

            async def speak() -> None:
                with suppress(trio.BrokenResourceError):  # the reader finds out
                    await stream.send_all(data)
                    await stream.send_eof()

            nursery.start_soon(speak)
            try:
                async for chunk in stream:
                    received += chunk
            except trio.BrokenResourceError as error:
                failure = error
        if failure is not None:
            raise failure
        return bytes(received)

    def take_failures(self) -> list[Exception]:
        """Return what the app has raised since the last call; the end does not raise it any more.

        Errors of clients are not among them.
        """
        taken, self._failures.raised = self._failures.raised, []
        return taken

    def reset_all(self) -> None:
        """Reset all connections of clients that are still open."""
        for stream in self._streams:
            if stream.socket.fileno() >= 0:
                reset(stream)
        self._streams.clear()


def reset(stream: trio.SocketStream) -> None:
    """Reset a connection, and close it."""
    stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESETS)
    stream.socket.close()


@asynccontextmanager
async def serving(
    app: object,
    *endpoints: Endpoint | str,
    network: Network | None = None,
    limits: Limits | None = None,
    trust: Trust = Trust(),  # noqa: B008 - immutable
    driver: DriverName = "auto",
    telemetry: Telemetry | None = None,
) -> AsyncIterator[Place]:
    """Serve an app on a host of a simulated network for as long as a block runs; yield the `Place`.

    The host is called "server". At the end of the block the server drains: it answers what it has received,
    and the clients' connections that are still open are closed after that. If the block raises, the server
    is cancelled.

    Use a clock that jumps (`autojump_clock`), or timeouts and the delays of the network take their time.

    Args:
        app: what `--app` takes: a handler, a function of a line, a `Session` class, an `App`, or a context
            manager function that yields one.
        *endpoints: where to serve; by default at a TCP port.
        network: where the hosts are; by default, a new one with seed 0.
        limits: by default the app's own.
        trust: see `serve`.
        driver: see `serve`.
        telemetry: observes the server, beside the app's own.

    Raises:
        ExceptionGroup: the app has raised something that was not taken with `take_failures`, or its
            conversations were not over when `drain_timeout` was, or its context manager was not left a
            minute after that. If the block raises, that is raised as
            it is, with a note of what the app has raised.
        AppError: the app's context manager has failed.
        UsageError: the app cannot be served, or not there.
    """
    network = network or Network()
    failures = _Failures()
    parsed = [Endpoint.parse(str(each)) for each in endpoints or (_ENDPOINT,)]
    leaving, drain_timeout = trio.CancelScope(), 0.0
    try:
        with leaving:
            async with open_app(as_app(app)) as served:
                kept = limits or served.limits or Limits()
                drain_timeout = kept.drain_timeout
                observers = [each for each in (failures, served.telemetry, telemetry) if each is not None]
                start = partial(
                    serve_app,
                    served,
                    parsed,
                    limits=kept,
                    trust=trust,
                    driver=driver,
                    telemetry=together(*observers),
                    machine=network.host("server"),
                )
                async with _started(start, network, failures) as place:
                    try:
                        yield place
                    finally:
                        leaving.deadline = trio.current_time() + drain_timeout + _LEAVING_S
    except Exception as error:
        if failures.raised:
            error.add_note(f"the app has raised: {described(failures.raised)}")
        raise
    _raise(failures, drain_timeout, left=not leaving.cancelled_caught)


@asynccontextmanager
async def _started(
    start: Callable[..., Awaitable[None]], network: Network, failures: _Failures
) -> AsyncIterator[Place]:
    """Serve for as long as a block runs, then drain; raises what the block does, outside of any group."""
    inside: Exception | None = None
    stop = trio.Event()
    with ExitStack() as left:
        try:
            async with trio.open_nursery() as nursery:
                place = Place(network, await nursery.start(partial(start, stop=stop)), failures)
                left.callback(place.reset_all)
                try:
                    yield place
                except Exception as error:
                    inside = error
                    raise
                stop.set()
        except ExceptionGroup as group:
            raised: Exception = group if inside is None or len(group.exceptions) > 1 else inside
            while raised is not inside and isinstance(raised, ExceptionGroup) and len(raised.exceptions) == 1:
                [raised] = raised.exceptions
            raise raised from raised.__cause__


def _raise(failures: _Failures, drain_timeout: float, *, left: bool) -> None:
    """Raise the errors of the app, and those of the end."""
    raised = failures.raised
    if failures.cut_off:
        seconds = f"{drain_timeout:g} seconds"
        raised.append(TimeoutError(f"conversations were not over {seconds} after the stop, and were cut off"))
    if not left:
        raised.append(
            TimeoutError(f"the app's context manager was not left {_LEAVING_S:g} seconds after the drain")
        )
    if raised:
        raise ExceptionGroup("the app has failed", raised)
