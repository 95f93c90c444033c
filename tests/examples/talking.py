"""Clients of a handler, in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial

import trio
import trio.testing

import caas_trio
from caas_trio import Connection, Endpoint, Handler, Limits, Trust
from caas_trio.core.errors import PeerError
from tests.certificates import server_context
from tests.support.servers import ANYWHERE

LIMITS = Limits()
ENDPOINT = Endpoint.parse("tcp://127.0.0.1:7")


@dataclass
class Client:
    """A client of a handler that runs.

    Attributes:
        stream: its side of the connection.
        outcome: what the handler has raised; None so far, or if nothing.
        ended: whether the handler has returned or raised.
    """

    stream: trio.abc.HalfCloseableStream
    ended: trio.Event
    outcome: PeerError | None = None

    async def send(self, data: bytes) -> None:
        """Send all of it."""
        await self.stream.send_all(data)

    async def receive(self, expected: bytes) -> None:
        """Receive what is expected, and no more."""
        received = b""
        while len(received) < len(expected):
            chunk = await self.stream.receive_some(len(expected) - len(received))
            assert chunk, f"the stream ended after {received!r}"
            received += chunk
        assert received == expected

    async def ask(self, request: bytes, reply: bytes) -> None:
        """Send a request, and receive exactly its reply."""
        await self.send(request)
        await self.receive(reply)

    async def receive_all(self) -> bytes:
        """Return what comes up to the end."""
        return b"".join([chunk async for chunk in self.stream])


def first(error: PeerError | ExceptionGroup[PeerError]) -> PeerError:
    """Return the first error of a group of groups."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


@asynccontextmanager
async def connected(
    handler: Handler,
    limits: Limits = LIMITS,
    *,
    lockstep: bool = False,
) -> AsyncIterator[Client]:
    """Run a handler for one client as long as the block runs.

    In lockstep, a `send` returns when the handler has read all of it, in one read, and the other way round.
    """
    make = trio.testing.lockstep_stream_pair if lockstep else trio.testing.memory_stream_pair
    ours, theirs = make()
    client = Client(ours, trio.Event())

    async def serve() -> None:
        try:
            async with Connection.over(theirs, limits=limits, endpoint=ENDPOINT) as connection:
                await handler(connection)
        except* PeerError as errors:
            client.outcome = first(errors)
        finally:
            client.ended.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        yield client
        await ours.aclose()
        await client.ended.wait()


async def talk(handler: Handler, data: bytes, *, cut: bool = False, limits: Limits = LIMITS) -> bytes:
    """Return all that comes to a client that sends `data` and ends its output; cut: byte by byte."""
    received = b""
    async with connected(handler, limits, lockstep=cut) as client, trio.open_nursery() as nursery:

        async def receive() -> None:
            nonlocal received
            received = await client.receive_all()

        nursery.start_soon(receive)
        with suppress(trio.BrokenResourceError):  # the handler has ended the connection before
            for start in range(0, len(data), step := 1 if cut else len(data)):
                await client.send(data[start : start + step])
            await client.stream.send_eof()
    return received


@asynccontextmanager
async def served(handler: Handler) -> AsyncIterator[Endpoint]:
    """Serve a handler that has a certificate, on a port of this machine."""
    async with trio.open_nursery() as nursery:
        serve = partial(caas_trio.serve, handler, ANYWHERE, trust=Trust(tls=server_context()))
        [endpoint] = await nursery.start(serve)
        yield endpoint
        nursery.cancel_scope.cancel()


async def ask(connection: Connection, request: bytes, *reply: bytes) -> None:
    """Send a request, and receive the lines of its reply."""
    await connection.send(request)
    for line in reply:
        assert await connection.receive_line() == line
