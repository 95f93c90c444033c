"""A server whose path a successor takes over, both in this process: connected clients may still speak."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from caas_trio import (
    Connection,
    Endpoint,
    Limits,
    LineSession,
)
from caas_trio.drivers.drain import DRAIN_READ_TIMEOUT_S
from caas_trio.server.server import HANDOVER_DELAY_S

from .support.drivers import serve, serve_sessions
from .support.machines import HookedMachine
from .support.recorder import Recorder

#: Every test runs over both drivers.
pytestmark = pytest.mark.usefixtures("driver")

CAPITALS = partial(LineSession, bytes.upper)


@dataclass
class Old:
    """A server whose stop is about to be asked for.

    Attributes:
        path: where it listens.
        stop: what the signal sets.
        told: when it was told, by trio's clock.
        over: whether it has ended, set then.
    """

    path: Path
    nursery: trio.Nursery
    stop: trio.Event = field(default_factory=trio.Event)
    over: trio.Event = field(default_factory=trio.Event)
    telemetry: Recorder = field(default_factory=Recorder)
    told: float = 0.0
    endpoints: list[Endpoint] = field(default_factory=list)

    async def begin(self, run: Callable[..., Awaitable[None]], *others: str) -> None:
        """Run it at its path, and on other endpoints."""

        async def until_over(*, task_status: trio.TaskStatus[list[Endpoint]]) -> None:
            start = partial(run, f"unix:{self.path}", *others, telemetry=self.telemetry, stop=self.stop)
            await start(task_status=task_status)
            self.over.set()

        self.endpoints = await self.nursery.start(until_over)

    def signal(self, pid: int, number: int) -> None:
        """Note the signal that it gets."""
        assert (pid, number) == (12345, signal.SIGTERM)
        self.told = trio.current_time()
        self.stop.set()

    async def connect(self) -> trio.SocketStream:
        """Return a client that the server has accepted, and that has not spoken."""
        client = await trio.open_unix_socket(str(self.path))
        await wait_all_tasks_blocked()
        return client

    async def hand_over(self) -> None:
        """Start a successor with another service, which takes over."""
        session = partial(LineSession, bytes.lower)
        machine = HookedMachine(kill=self.signal, peer=lambda: (12345, 0, 0))
        start = partial(serve_sessions, session, f"unix:{self.path}", takeover=True, machine=machine)
        await self.nursery.start(start)

    def since(self) -> float:
        """Return how many seconds ago its stop began."""
        return trio.current_time() - self.told


@pytest.fixture
async def old(tmp_path: Path, nursery: trio.Nursery) -> AsyncIterator[Old]:
    old = Old(tmp_path / "caas.sock", nursery)
    with trio.fail_after(1000):
        yield old


async def ask(client: trio.SocketStream) -> bytes:
    await client.send_all(b"Ask\n")
    return bytes(await client.receive_some())


async def test_at_a_handover_silent_clients_are_served_or_closed(old: Old, autojump_clock: MockClock) -> None:
    await old.begin(partial(serve_sessions, CAPITALS))
    hesitant, silent = await old.connect(), await old.connect()
    await old.hand_over()
    async with await old.connect() as late:
        assert await ask(late) == b"ask\n"
    await trio.sleep(HANDOVER_DELAY_S / 2)
    assert await ask(hesitant) == b"ASK\n"
    assert not old.over.is_set()
    for client in (silent, hesitant):
        assert await client.receive_some() == b""
        assert old.since() == pytest.approx(HANDOVER_DELAY_S + DRAIN_READ_TIMEOUT_S, abs=0.02)
        await client.aclose()
    await old.over.wait()
    assert old.telemetry.drain_timeouts == 0


async def test_a_handover_ends_with_the_last_connection(old: Old, autojump_clock: MockClock) -> None:
    await old.begin(partial(serve_sessions, CAPITALS))
    client = await old.connect()
    await old.hand_over()
    await trio.sleep(HANDOVER_DELAY_S / 4)
    await client.aclose()
    await old.over.wait()
    assert old.since() == pytest.approx(HANDOVER_DELAY_S / 4, abs=0.02)


async def test_without_a_successor_the_drain_begins_at_once(old: Old, autojump_clock: MockClock) -> None:
    await old.begin(partial(serve_sessions, CAPITALS))
    client = await old.connect()
    old.signal(12345, signal.SIGTERM)
    assert await client.receive_some() == b""
    assert old.since() == pytest.approx(DRAIN_READ_TIMEOUT_S, abs=0.02)
    await client.aclose()
    await old.over.wait()


async def test_at_a_handover_clients_of_other_endpoints_are_served_too(
    old: Old, autojump_clock: MockClock
) -> None:
    await old.begin(partial(serve_sessions, CAPITALS), "tcp://127.0.0.1:0")
    address = old.endpoints[1].host, old.endpoints[1].port
    client = await trio.open_tcp_stream(*address)
    await wait_all_tasks_blocked()
    await old.hand_over()
    with pytest.raises(OSError, match="all attempts to connect"):
        await trio.open_tcp_stream(*address)
    await trio.sleep(HANDOVER_DELAY_S / 2)
    assert await ask(client) == b"ASK\n"
    await client.aclose()
    await old.over.wait()


@pytest.mark.parametrize("drain_timeout", [0.5, 10.0])
async def test_the_drain_timeout_counts_from_the_stop(
    old: Old, autojump_clock: MockClock, drain_timeout: float
) -> None:
    begun: list[float] = []

    async def never_end(connection: Connection) -> None:
        assert await connection.receive_line() == b""
        if connection.draining:  # and not the successor's question who listens
            begun.append(old.since())
            await trio.sleep_forever()

    await old.begin(partial(serve, never_end, limits=Limits(drain_timeout=drain_timeout)))
    client = await old.connect()
    await old.hand_over()
    await old.over.wait()
    assert old.since() == pytest.approx(drain_timeout, abs=0.02)
    assert begun == [pytest.approx(min(HANDOVER_DELAY_S, drain_timeout / 2), abs=0.02)]
    assert old.telemetry.drain_timeouts == 1
    await client.aclose()


async def test_cancellation_ends_a_handover_at_once(old: Old, autojump_clock: MockClock) -> None:
    cut = trio.CancelScope()

    async def run(*endpoints: str, **others: Any) -> None:
        with cut:
            await serve_sessions(CAPITALS, *endpoints, **others)

    await old.begin(run)
    client = await old.connect()
    await old.hand_over()
    cut.cancel()
    await old.over.wait()
    assert old.since() < HANDOVER_DELAY_S / 2
    assert await client.receive_some() == b""
    await client.aclose()
