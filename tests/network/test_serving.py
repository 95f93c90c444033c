"""Servers and clients on a simulated network, over both drivers and under faults that a seed chooses."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from caas_trio import (
    Connection,
    Endpoint,
    Limits,
    LineSession,
    connect,
    serve,
    serve_datagrams,
    serve_sessions,
)
from caas_trio.drivers.choice import DriverName
from caas_trio.testing import Conditions, Host, Network

CAPITALS = partial(LineSession, bytes.upper)

DRIVERS: list[DriverName] = ["hub", "stream"]


async def answer(connection: Connection) -> None:
    async for line in connection:
        await connection.send(line.upper())


@asynccontextmanager
async def serving(
    host: Host,
    driver: DriverName,
    *endpoints: str,
    handler: bool = False,
    limits: Limits = Limits(),  # noqa: B008
) -> AsyncIterator[list[Endpoint]]:
    stop = trio.Event()
    serves = partial(serve, answer) if handler else partial(serve_sessions, CAPITALS)
    start = partial(serves, *endpoints, machine=host, driver=driver, stop=stop, limits=limits)
    async with trio.open_nursery() as nursery:
        yield await nursery.start(start)
        stop.set()


async def talk(stream: trio.SocketStream, data: bytes) -> bytes:
    """Return all that comes to a client that sends `data` and ends its output."""
    received = bytearray()
    async with stream, trio.open_nursery() as nursery:

        async def speak() -> None:
            await stream.send_all(data)
            await stream.send_eof()

        nursery.start_soon(speak)
        async for chunk in stream:
            received += chunk
    return bytes(received)


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("handler", [False, True])
@pytest.mark.parametrize("endpoint", ["tcp://0.0.0.0:0", "tcp://localhost:0", "unix:/run/caas", "unix:@caas"])
async def test_a_server_serves_on_a_simulated_host(
    driver: DriverName, endpoint: str, *, handler: bool, autojump_clock: MockClock
) -> None:
    network = Network(1)
    host = network.host("server")
    async with serving(host, driver, endpoint, handler=handler) as [place]:
        if endpoint.startswith("tcp"):
            stream = await host.open_tcp("localhost", place.port)
        else:
            stream = await host.open_unix(place.path.replace("@", "\0"))
        assert await talk(stream, b"one\r\ntwo\nthree") == b"ONE\r\nTWO\nTHREE"
    assert host.open_descriptors == 0


async def conversation(seed: int, driver: DriverName) -> str:
    """Run three clients and a server under the faults of a seed; return the trace's hash."""
    network = Network(seed)
    network = Network(seed, conditions=Conditions.drawn(network.random("conditions"), resets=False))
    data = b"".join(b"line %d\n" % number for number in range(100))
    async with serving(network.host("server"), driver, "tcp://server:7") as _, trio.open_nursery() as nursery:

        async def client(name: str) -> None:
            assert await talk(await network.host(name).open_tcp("server", 7), data) == data.upper()

        for number in range(3):
            nursery.start_soon(client, f"client{number}")
    assert network.host("server").open_descriptors == 0
    return network.trace_hash


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("seed", range(20))
def test_the_same_seed_gives_the_same_trace(driver: DriverName, seed: int) -> None:
    first, second = (
        trio.run(conversation, seed, driver, clock=MockClock(autojump_threshold=0)) for _ in range(2)
    )
    assert first == second


@pytest.mark.slow
def test_the_trace_does_not_depend_on_the_hash_seed() -> None:
    """Slow: each seed starts a Python."""
    code = (
        "import trio\nfrom trio.testing import MockClock\n"
        "from tests.network.test_serving import conversation\n"
        "print([trio.run(conversation, seed, driver, clock=MockClock(autojump_threshold=0))"
        " for seed in range(5) for driver in ('hub', 'stream')])"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("0", "1", "12345")
    }
    assert len(printed) == 1


async def test_datagrams_are_answered(autojump_clock: MockClock) -> None:
    network = Network(1)
    async with trio.open_nursery() as nursery:
        start = partial(serve_datagrams, bytes.upper, "udp://server:7", machine=network.host("server"))
        await nursery.start(start)
        client = network.host("client").trio_socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
        with client:
            await client.sendto(b"hello", ("server", 7))
            assert await client.recvfrom(100) == (b"HELLO", (network.host("server").address, 7))
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("driver", DRIVERS)
async def test_what_has_arrived_at_the_stop_is_answered(
    driver: DriverName, autojump_clock: MockClock
) -> None:
    network = Network(1)
    async with serving(network.host("server"), driver, "tcp://server:7"):
        stream = await network.host("client").open_tcp("server", 7)
        await stream.send_all(b"a\n")
        assert await stream.receive_some() == b"A\n"
        await stream.send_all(b"b\nc")
    async with stream:
        assert b"".join([chunk async for chunk in stream]) == b"B\n"


@pytest.mark.parametrize("endpoint", ["tcp://server:7", "unix:@caas"])
async def test_the_client_side_runs_on_a_host(endpoint: str, autojump_clock: MockClock) -> None:
    network = Network(1)
    host = network.host("server")
    async with serving(host, "hub", endpoint), connect(endpoint, machine=host) as connection:
        await connection.send(b"a\n")
        assert await connection.receive_line() == b"A\n"
