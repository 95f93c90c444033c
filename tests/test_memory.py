"""What one connection can make the server hold: the formulas of docs/denial-of-service.md.

Measured with tracemalloc, so kernel buffers do not count, over Unix sockets, whose kernel buffers are
small and fixed. The clients send from one block of memory, and allocate nothing that lasts.
"""

from __future__ import annotations

import gc
import socket
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from caas_trio import (
    Connection,
    Limits,
    LineSession,
    LineTooLong,
    Oversize,
)
from caas_trio.drivers import hubtransport as hub_driver
from caas_trio.drivers import stream as stream_driver

from .support.drivers import serve, serve_sessions

#: Every test runs over both drivers.
pytestmark = pytest.mark.usefixtures("driver")

MAX_LINE = 100_000
LIMITS = Limits(max_line=MAX_LINE, linger_timeout=1000)

#: How many clients attack at a time, and what each sends at most where the server goes on taking it.
CLIENTS = 5
MAX_BYTES = 5_000_000

LINES = memoryview(b"a line of 32 bytes, its LF too.\n" * 2048)
NO_LINE = memoryview(b"x" * 65536)

READ_SIZE = {"hub": hub_driver.READ_SIZE, "stream": stream_driver.READ_SIZE}

#: A connection without its buffers: task, socket, session. Loose: it differs by driver and Python.
IDLE = 16 * 1024


async def handler(connection: Connection) -> None:
    """Answer lines, an oversize one with an error."""
    while True:
        try:
            async for line in connection:
                await connection.send(line.upper())
        except LineTooLong as error:
            await connection.send(b"error: %b\n" % str(error).encode())
        else:
            return


def sessions(oversize: Oversize) -> Callable[..., Awaitable[None]]:
    return partial(serve_sessions, partial(LineSession, bytes.upper, max_line=MAX_LINE, oversize=oversize))


SERVERS: dict[str, Callable[..., Awaitable[None]]] = {
    "reject": sessions(Oversize.REJECT),
    "discard": sessions(Oversize.DISCARD),
    "stream": sessions(Oversize.STREAM),
    "handler": partial(serve, handler),
}


class Memory:
    """What has been allocated in the block of `traced`, in bytes."""

    @property
    def held(self) -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    @property
    def peak(self) -> int:
        return tracemalloc.get_traced_memory()[1]


@contextmanager
def traced() -> Iterator[Memory]:
    gc.collect()
    tracemalloc.start()
    try:
        yield Memory()
    finally:
        tracemalloc.stop()


@asynccontextmanager
async def serving(
    server: Callable[..., Awaitable[None]], directory: Path, number: int
) -> AsyncIterator[tuple[str, list[socket.socket]]]:
    """Yield a path that is served, and non-blocking clients to connect to it."""
    path = f"{directory}/caas.sock"
    with ExitStack() as opened:
        clients = [opened.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(number)]
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(server, f"unix:{path}", limits=LIMITS))
            for client in clients:
                client.setblocking(False)  # noqa: FBT003 - the socket module's signature
            yield path, clients
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def attacking(
    server: Callable[..., Awaitable[None]], directory: Path, number: int = CLIENTS
) -> AsyncIterator[list[socket.socket]]:
    """Yield clients that are connected and known to the server."""
    async with serving(server, directory, number) as (path, clients):
        for client in clients:
            client.connect(path)
        await trio.testing.wait_all_tasks_blocked()
        yield clients


async def send_until_stuck(client: socket.socket, data: memoryview) -> int:
    """Send again and again until the server takes no more, `MAX_BYTES` bytes at most; return how many."""
    sent = 0
    stuck = False
    while sent < MAX_BYTES:
        try:
            sent += client.send(data)
        except BlockingIOError:
            if stuck:
                break
            stuck = True
            await trio.testing.wait_all_tasks_blocked()
        else:
            stuck = False
    return sent


async def send_and_receive(client: socket.socket, data: memoryview, into: bytearray) -> int:
    """Send again and again, reading replies as they come, `MAX_BYTES` bytes; return how many were heard."""
    sent = heard = 0
    while sent < MAX_BYTES:
        with suppress(BlockingIOError):
            sent += client.send(data)
        await trio.testing.wait_all_tasks_blocked()
        with suppress(BlockingIOError):
            heard += client.recv_into(into)
    return heard


def one_read(driver: str) -> int:
    """Return what one read can bring in, on top of a line that is not complete."""
    return MAX_LINE + READ_SIZE[driver]


def max_held(server: str, driver: str) -> int:
    """Return the most that one connection can hold, by the formulas."""
    if server == "handler":
        # The handler holds a line and its reply, the channel replies to be sent together.
        return one_read(driver) + 2 * MAX_LINE + hub_driver.MAX_HELD + IDLE
    return MAX_LINE + one_read(driver) + (READ_SIZE["stream"] if driver == "stream" else 0) + IDLE


@pytest.mark.parametrize("server", SERVERS)
async def test_a_client_that_does_not_read_its_replies(server: str, driver: str, tmp_path: Path) -> None:
    async with attacking(SERVERS[server], tmp_path) as clients:
        with traced() as memory:
            for client in clients:
                assert READ_SIZE["stream"] < await send_until_stuck(client, LINES) < MAX_BYTES
            assert IDLE < memory.held / CLIENTS < max_held(server, driver)
            # While it is answered, a read is there four times at most: as it came, behind what was
            # held, as lines, as their replies.
            assert memory.peak < CLIENTS * max_held(server, driver) + 4 * one_read(driver)


@pytest.mark.parametrize("server", SERVERS)
async def test_an_endless_line(server: str, driver: str, tmp_path: Path) -> None:
    into = bytearray(MAX_BYTES)
    async with attacking(SERVERS[server], tmp_path, 1) as [client]:
        with traced() as memory:
            heard = await send_and_receive(client, NO_LINE, into)
            assert memory.peak < max_held(server, driver) + 4 * one_read(driver)
        if server == "stream":
            assert heard > MAX_BYTES / 2
        else:
            assert into[:heard] == b"error: line longer than 100000 bytes\n"


@pytest.mark.parametrize("server", SERVERS)
async def test_a_partial_line(server: str, driver: str, tmp_path: Path) -> None:
    begun = memoryview(b"x" * MAX_LINE)
    async with attacking(SERVERS[server], tmp_path) as clients:
        with traced() as memory:
            for client in clients:
                assert client.send(begun) == MAX_LINE
            await trio.testing.wait_all_tasks_blocked()
            assert MAX_LINE <= memory.held / CLIENTS < one_read(driver) + IDLE


@pytest.mark.parametrize("server", ["reject", "handler"])
async def test_an_idle_connection(server: str, tmp_path: Path) -> None:
    number = 100
    async with serving(SERVERS[server], tmp_path, number + 1) as (path, clients):
        clients.pop().connect(path)  # what the first one loads is not its own
        await trio.testing.wait_all_tasks_blocked()
        with traced() as memory:
            for client in clients:
                client.connect(path)
            await trio.testing.wait_all_tasks_blocked()
            assert memory.held / number < IDLE


async def test_what_a_handler_sends_is_not_copied(tmp_path: Path) -> None:
    reply = bytes(MAX_BYTES)

    async def send_it(connection: Connection) -> None:
        await connection.receive_line()
        await connection.send(reply)

    into = bytearray(65536)
    async with attacking(partial(serve, send_it), tmp_path, 1) as [client]:
        with traced() as memory:
            client.send(b"\n")
            heard = 0
            while heard < MAX_BYTES:
                await trio.testing.wait_all_tasks_blocked()
                heard += client.recv_into(into)
            assert memory.peak < MAX_BYTES / 10
