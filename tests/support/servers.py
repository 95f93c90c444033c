"""Servers that run in the test's own event loop, at real sockets."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import trio

from caas_trio import (
    Endpoint,
    InternetPeer,
    Limits,
    LineSession,
    Listener,
    LocalPeer,
    Session,
    StreamRequestHandler,
)
from caas_trio.drivers.machine import MACHINE, Machine
from caas_trio.server.kinds import Handler

from . import streams
from .drivers import serve, serve_sessions
from .recorder import Recorder, StatsRecorder

R = TypeVar("R", bound=Recorder)

ANYWHERE = "tcp://127.0.0.1:0"
CAPITALS = partial(LineSession, bytes.upper)


@dataclass
class Running(Generic[R]):
    """A server that runs, and the way to talk to it.

    Attributes:
        endpoints: where it listens.
        stop: what ends it.
        telemetry: what it is observed by.
        everything: what it is cancelled by.
    """

    endpoints: list[Endpoint]
    stop: trio.Event
    telemetry: R
    everything: trio.CancelScope

    async def connect(self, which: int = 0) -> trio.SocketStream:
        """Return a connection to it; the caller closes it."""
        return await streams.connect(self.endpoints[which])

    def plain_client(self, which: int = 0) -> socket.socket:
        """Return a socket that is connected to it, which the caller closes; the server waits meanwhile."""
        endpoint = self.endpoints[which]
        client = socket.socket(socket.AF_UNIX if endpoint.path else socket.AF_INET)
        client.connect(endpoint.path or (endpoint.host, endpoint.port))
        return client

    async def talk(self, data: bytes, which: int = 0) -> bytes:
        """Return all that comes to a client that sends `data` and ends its output."""
        return await streams.talk(await self.connect(which), data)


@asynccontextmanager
async def running(
    start: Callable[..., Awaitable[None]], *endpoints: str | Listener, telemetry: R
) -> AsyncIterator[Running[R]]:
    """Start a server, and stop it when the block ends; all that it has reported has a place, and adds up."""
    stop = trio.Event()
    start = partial(start, *(endpoints or (ANYWHERE,)), telemetry=telemetry, stop=stop)
    async with trio.open_nursery() as nursery:
        server = Running(await nursery.start(start), stop, telemetry, nursery.cancel_scope)
        yield server
        stop.set()
    assert set(telemetry.places) <= set(server.endpoints)
    assert all(isinstance(peer, InternetPeer | LocalPeer) for peer in telemetry.peers)
    if isinstance(telemetry, StatsRecorder):
        assert [each.endpoint for each in telemetry.stats.listeners] == server.endpoints
        for each in telemetry.stats.listeners:
            assert sum(each.ended.values()) == each.accepted


def serving(
    new_session: Callable[[], Session] = CAPITALS,
    *endpoints: str,
    limits: Limits = Limits(linger_timeout=30),  # noqa: B008 - immutable
    machine: Machine = MACHINE,
) -> AbstractAsyncContextManager[Running[Recorder]]:
    """Serve sessions over the chosen driver."""
    start = partial(serve_sessions, new_session, limits=limits, machine=machine)
    return running(start, *endpoints, telemetry=Recorder())


def serving_handler(
    handler: Handler | type[StreamRequestHandler],
    *endpoints: str,
    limits: Limits = Limits(linger_timeout=30),  # noqa: B008 - immutable
) -> AbstractAsyncContextManager[Running[Recorder]]:
    """Serve a handler over the chosen driver."""
    return running(partial(serve, handler, limits=limits), *endpoints, telemetry=Recorder())
