"""The accept loops' sign of life, by the mock clock."""

from __future__ import annotations

import itertools
import math
import socket
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from caas_trio import AtCapacity, Endpoint, Limits, LineSession, Watchdog, serve_datagrams, serve_sessions
from caas_trio.drivers.machine import Machine


async def test_it_beats_while_every_loop_runs(autojump_clock: MockClock) -> None:
    beats: list[float] = []
    watchdog = Watchdog(lambda: beats.append(trio.current_time()), 8)
    assert watchdog.turn == 4

    async def go_round(times: int) -> None:
        for _ in range(times):
            watchdog.tick(times)
            await trio.sleep(watchdog.turn)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(go_round, 5)
        await trio.sleep(1)
        nursery.start_soon(go_round, 10)
    assert beats[0] == 0
    assert all(later - sooner <= 8 for sooner, later in itertools.pairwise(beats))
    assert 13 <= beats[-1] <= 21  # the first loop ended at 20


async def test_busy_loops_do_not_raise_the_rate(autojump_clock: MockClock) -> None:
    beats: list[float] = []
    watchdog = Watchdog(lambda: beats.append(trio.current_time()), 8)
    for _ in range(100):
        watchdog.tick("busy")
        await trio.sleep(0.1)
    assert [round(beat) for beat in beats] == [0, 4, 8]


async def test_a_loop_that_is_over_is_waited_for_no_longer(autojump_clock: MockClock) -> None:
    beats: list[float] = []
    watchdog = Watchdog(lambda: beats.append(trio.current_time()), 8)
    watchdog.tick("short")
    watchdog.tick("long")
    watchdog.unregister("short")
    for _ in range(2):
        await trio.sleep(watchdog.turn)
        watchdog.tick("long")
    assert beats == [0, 4, 8]


async def test_without_a_watchdog_it_never_beats(mock_clock: MockClock) -> None:
    watchdog = Watchdog(lambda: pytest.fail("nobody asked for it"))
    assert watchdog.turn == math.inf
    watchdog.tick("a")


async def test_a_wait_ends_with_its_event_or_the_interval(autojump_clock: MockClock) -> None:
    watchdog = Watchdog(lambda: None, 8)
    assert await watchdog.wait(partial(trio.sleep, 3))
    assert not await watchdog.wait(partial(trio.sleep, 5))
    assert trio.current_time() == 7


async def test_without_a_watchdog_a_wait_is_unbounded(autojump_clock: MockClock) -> None:
    assert await Watchdog(lambda: None).wait(partial(trio.sleep, 10**6))
    assert trio.current_time() == 10**6


@pytest.mark.parametrize("crowded", [False, True])
async def test_an_accept_loop_is_watched_until_the_stop(
    autojump_clock: MockClock, tmp_path: Path, *, crowded: bool
) -> None:
    beats: list[float] = []
    watchdog = Watchdog(lambda: beats.append(trio.current_time()), 2)
    path = tmp_path / "s"
    stop = trio.Event()
    limits = Limits(max_connections=1, at_capacity=AtCapacity.WAIT)
    with ExitStack() as clients:
        async with trio.open_nursery() as nursery:

            async def serve(task_status: trio.TaskStatus[list[Endpoint]]) -> None:
                endpoints = (f"unix:{path}", f"unix:{path}2")
                await serve_sessions(
                    lambda: LineSession(bytes.upper),
                    *endpoints,
                    limits=limits,
                    stop=stop,
                    watchdog=watchdog,
                    task_status=task_status,
                )

            await nursery.start(serve)
            if crowded:
                for _ in range(2):
                    client = clients.enter_context(socket.socket(socket.AF_UNIX))
                    client.connect(str(path))
            await trio.sleep(10)
            stop.set()
        assert len(beats) >= 10
        assert all(later - sooner <= 2 for sooner, later in itertools.pairwise(beats))
        assert beats[-1] <= 10


async def test_a_datagram_loop_is_watched(autojump_clock: MockClock, tmp_path: Path) -> None:
    beats: list[float] = []
    watchdog = Watchdog(lambda: beats.append(trio.current_time()), 2)
    endpoints = (f"unixgram:{tmp_path / 's'}", "udp://127.0.0.1:0")
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve_datagrams, bytes.upper, *endpoints, watchdog=watchdog))
        await trio.sleep(10)
        nursery.cancel_scope.cancel()
    assert len(beats) >= 10
    assert all(later - sooner <= 2 for sooner, later in itertools.pairwise(beats))


class StuckMachine(Machine):
    """A machine on which the wait for the first socket does not even end when it is cancelled."""

    def __init__(self) -> None:
        self.released = trio.Event()
        self._first: socket.socket | None = None

    async def wait_readable(self, sock: Any) -> None:
        if isinstance(sock, socket.socket):
            self._first = self._first or sock
        if sock is self._first:
            with trio.CancelScope(shield=True):
                await self.released.wait()
        await super().wait_readable(sock)


@pytest.mark.parametrize("scheme", ["unix", "unixgram"])
async def test_one_loop_that_hangs_ends_the_beats_though_others_run(
    scheme: str, autojump_clock: MockClock, tmp_path: Path
) -> None:
    beats: list[float] = []
    watchdog = Watchdog(lambda: beats.append(trio.current_time()), 2)
    machine = StuckMachine()
    start: Callable[..., Awaitable[None]] = (
        partial(serve_datagrams, bytes.upper)
        if scheme == "unixgram"
        else partial(serve_sessions, partial(LineSession, bytes.upper))
    )
    endpoints = (f"{scheme}:{tmp_path}/a", f"{scheme}:{tmp_path}/b")
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(start, *endpoints, watchdog=watchdog, machine=machine))
        await trio.sleep(10)
        machine.released.set()
        nursery.cancel_scope.cancel()
    assert beats
    assert beats[-1] <= 2
