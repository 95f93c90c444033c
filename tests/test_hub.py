"""The hub's one task: in which order clients, other tasks and the clock have their turns."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager

import pytest
import trio
import trio.testing

from caas_trio import Limits, LineSession, Session
from caas_trio.core.telemetry import ServerStats
from caas_trio.drivers.drain import Drain
from caas_trio.drivers.hub import Hub
from caas_trio.drivers.machine import Machine


class SteppingMachine(Machine):
    """A machine on which each look at the clock takes a while."""

    def __init__(self, step: float) -> None:
        self._step = step
        self._seconds = 100.0

    def monotonic(self) -> float:
        self._seconds += self._step
        return self._seconds


class Stats(ServerStats):
    """Keeps how many clients were answered at a time, and in how many seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.turns: list[tuple[int, float]] = []

    def served(self, reads: int, seconds: float) -> None:
        self.turns.append((reads, seconds))


class Running:
    """A hub that runs, and what clients of it do."""

    def __init__(self, nursery: trio.Nursery, opened: ExitStack, step: float) -> None:
        self.stats = Stats()
        self.hub = Hub(Limits(), Drain(), stats=self.stats, machine=SteppingMachine(step))
        self._nursery = nursery
        self._opened = opened
        opened.callback(self.hub.close)
        nursery.start_soon(self.hub.run)

    def client(self, session: Session) -> socket.socket:
        """Return a client whose conversation begins."""
        ours, theirs = socket.socketpair()
        self._opened.enter_context(ours)
        channel = self.hub.channel(theirs)
        self._opened.callback(channel.close)

        async def converse() -> None:
            await channel.converse(session)

        self._nursery.start_soon(converse)
        return ours


@asynccontextmanager
async def running(step: float = 0) -> AsyncIterator[Running]:
    with ExitStack() as opened:
        async with trio.open_nursery() as nursery:
            yield Running(nursery, opened, step)
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize(("step", "turns"), [(0, 1), (0.003, 50)])
async def test_others_have_their_turn_every_two_milliseconds_and_when_the_hub_wakes_one(
    step: float, turns: int
) -> None:
    """As long as sockets are ready: one client has its next line there whenever one is answered."""
    begun_at: list[int] = []
    checkpoints = 0

    def service(line: bytes) -> bytes:
        begun_at.append(checkpoints)
        if len(begun_at) <= 50:
            talker.send(line)
        return b""

    async with running(step) as server, trio.open_nursery() as nursery:
        talker = server.client(LineSession(service))
        finished = server.client(LineSession(bytes.upper, once=True))
        await trio.testing.wait_all_tasks_blocked()

        async def stand_by() -> None:
            nonlocal checkpoints
            while len(begun_at) <= 50:
                await trio.lowlevel.checkpoint()
                checkpoints += 1

        finished.send(b"a\n")
        talker.send(b"a\n")
        nursery.start_soon(stand_by)
        await trio.testing.wait_all_tasks_blocked()
        assert begun_at[-1] - begun_at[0] == turns
        assert finished.recv(100) == b"A\n"


async def test_each_turn_is_counted_with_its_seconds_and_bytes() -> None:
    async with running(step=1) as server:
        clients = [server.client(LineSession(bytes.upper)) for _ in range(3)]
        await trio.testing.wait_all_tasks_blocked()
        for number in range(3):
            for client in clients[number:]:
                client.send(b"two\n" * 2000)
            await trio.testing.wait_all_tasks_blocked()
        assert server.stats.turns == [(3, 1), (2, 1), (1, 1)]
        assert (server.stats.received, server.stats.sent, server.stats.lines) == (48000, 48000, 12000)
