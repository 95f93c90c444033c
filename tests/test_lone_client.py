"""The hub's turns: a client that is alone, and answers at once, is served without waits."""

from __future__ import annotations

import select
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from caas_trio import Connection, Limits, LineSession, LocalPeer
from caas_trio.core.telemetry import ServerStats
from caas_trio.drivers.drain import Drain
from caas_trio.drivers.hub import Hub
from caas_trio.drivers.hubchannel import HubChannel
from caas_trio.drivers.machine import Machine

LINES = 200
LIMITS = Limits()


class PromptEpoll:
    """An epoll descriptor whose client sends its next line after some polls in vain, or during a wait."""

    def __init__(self, client: socket.socket, pause: int) -> None:
        self._kernel = select.epoll()
        self._client = client
        self._pause = pause
        self._silent = 0
        self._lines_left = LINES

    def __getattr__(self, name: str) -> Any:
        return getattr(self._kernel, name)

    def poll(self, timeout: float, maxevents: int) -> list[tuple[int, int]]:
        ready = self._kernel.poll(timeout, maxevents)
        self._silent = 0 if ready else self._silent + 1
        if self._silent == self._pause:
            self.speak()
        return ready

    def speak(self) -> None:
        if self._lines_left:
            self._lines_left -= 1
            self._client.send(b"line\n")


class PromptMachine(Machine):
    """A machine with such a client, which counts the waits for it."""

    def __init__(self, client: socket.socket, pause: int) -> None:
        self.prompt = PromptEpoll(client, pause)
        self.waits = 0

    def epoll(self) -> Any:
        return self.prompt

    async def wait_readable(self, sock: Any) -> None:
        if sock is self.prompt:
            self.waits += 1
            self.prompt.speak()
        await trio.lowlevel.wait_readable(sock)


async def session(channel: HubChannel) -> None:
    await channel.converse(LineSession(bytes.upper))


async def handler(channel: HubChannel) -> None:
    connection = Connection(channel, None, LocalPeer(), LIMITS, Drain())
    async for line in connection:
        await connection.send(line.upper())


@pytest.mark.parametrize("converse", [session, handler])
@pytest.mark.parametrize("pause", [3, Machine.busy_polls - 1])
async def test_a_client_alone_that_answers_at_once_is_served_without_waits(
    converse: Callable[[HubChannel], Awaitable[None]], pause: int
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, trio.fail_after(20):
        machine = PromptMachine(ours, pause)
        stats = ServerStats()
        hub = Hub(LIMITS, Drain(), stats=stats, machine=machine)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(converse, hub.channel(theirs))
            await wait_all_tasks_blocked()
            nursery.start_soon(hub.run)
            replies = bytearray()
            while len(replies) < 5 * LINES:
                await trio.lowlevel.wait_readable(ours)
                replies += ours.recv(4096)
            nursery.cancel_scope.cancel()
        hub.close()
    assert replies == b"LINE\n" * LINES
    assert stats.lines == LINES
    assert machine.waits < LINES / 10
