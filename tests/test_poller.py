"""What the hub's epoll watches, and how often timeouts are checked."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from caas_trio import Limits
from caas_trio.drivers.drain import Drain
from caas_trio.drivers.machine import Machine
from caas_trio.drivers.poller import EPOLLIN, EPOLLOUT, Poller, sweep_interval

NEVER = Limits(idle_timeout=math.inf, line_timeout=math.inf, write_timeout=math.inf)


class Watching:
    """An epoll descriptor that keeps what it is asked for, and refuses what the kernel would."""

    def __init__(self) -> None:
        self.events: dict[int, int] = {}
        self.polls = 0

    def register(self, fd: int, events: int) -> None:
        assert fd not in self.events
        self.events[fd] = events

    def modify(self, fd: int, events: int) -> None:
        assert fd in self.events
        self.events[fd] = events

    def unregister(self, fd: int) -> None:
        del self.events[fd]

    def poll(self, timeout: float, limit: int = 1023) -> list[tuple[int, int]]:
        assert timeout == 0
        self.polls += 1
        return list(self.events.items())[:limit]


class WatchingMachine(Machine):
    """The machine with such an epoll."""

    def epoll(self) -> Any:
        return Watching()


class Client:
    """A channel with a descriptor that nothing is behind."""

    def __init__(self, fd: int, limits: Limits = NEVER) -> None:
        self.fd = fd
        self.limits = limits
        self.watched = 0

    @property
    def sock(self) -> Client:
        return self

    def fileno(self) -> int:
        return self.fd


def poller_of(limits: Limits = NEVER) -> Poller:
    return Poller(limits, Drain(), None, counting=False, machine=WatchingMachine())


def test_each_descriptor_is_watched_for_its_own_events() -> None:
    """A server that was started without standard input and output has sockets at 0 and 1."""
    poller = poller_of()
    clients = [Client(fd) for fd in (1, 0, 5, 3)]
    for client in clients:
        poller.watch(client, EPOLLIN)
    assert poller.channels == [clients[1], clients[0], None, clients[3], None, clients[2]]
    poller.watch(clients[0], EPOLLOUT)
    poller.watch(clients[1], 0)
    poller.watch(clients[3], EPOLLIN)
    assert poller.epoll.events == {1: EPOLLOUT, 5: EPOLLIN, 3: EPOLLIN}  # type: ignore[attr-defined]
    assert [client.watched for client in clients] == [EPOLLOUT, 0, EPOLLIN, EPOLLIN]
    assert poller.channels[0] is None
    assert list(poller.all_watched()) == [clients[0], clients[3], clients[2]]


def test_other_tasks_have_their_turn_after_64_clients() -> None:
    poller = poller_of()
    for fd in range(100):
        poller.watch(Client(fd), EPOLLIN)
    assert len(poller.poll()) == 64


def test_after_a_wait_a_client_that_is_alone_needs_no_poll() -> None:
    poller = poller_of()
    first, second = Client(3), Client(4)

    def ready(*, polls: int) -> list[int]:
        before = poller.epoll.polls  # type: ignore[attr-defined]
        descriptors = [fd for fd, _ in poller.after_wait()]
        assert poller.epoll.polls - before == polls  # type: ignore[attr-defined]
        return descriptors

    assert ready(polls=1) == []
    poller.watch(first, EPOLLIN)
    assert ready(polls=1) == [3]  # it may be another one than before
    assert ready(polls=0) == [3]
    poller.watch(second, EPOLLIN)
    assert ready(polls=1) == [3, 4]
    poller.watch(first, 0)
    assert ready(polls=1) == [4]
    assert ready(polls=0) == [4]
    poller.watch(second, 0)
    poller.watch(first, EPOLLIN)
    assert ready(polls=1) == [3]


def test_a_client_alone_is_polled_for_from_its_first_wait_on() -> None:
    poller, client = poller_of(), Client(3)
    poller.watch(client, EPOLLIN)
    assert poller.after_wait() == [(3, EPOLLIN)]
    assert poller.prompt() is poller.lone() is client
    others = [Client(4), Client(5)]
    for other in others:
        poller.watch(other, EPOLLIN)
    alone = []
    for other in others:
        alone.append(poller.lone())
        poller.watch(other, 0)
    assert [*alone, poller.lone()] == [None, None, client]


def test_polls_in_a_row_become_rare_while_they_are_in_vain() -> None:
    poller = poller_of()
    epoll: Any = poller.epoll
    client = Client(3)

    def tried(waits: int) -> list[int]:
        """Before which of so many waits is it worth a try? None of them finds anything."""
        epoll.events.clear()
        found = []
        for number in range(waits):
            before = epoll.polls
            if poller.prompt() is not None:
                assert poller.poll_on() == []
                found.append(number)
            assert epoll.polls - before == Machine.busy_polls * (number in found)
        epoll.events[3] = EPOLLIN
        return found

    assert poller.prompt() is None  # nobody is there
    poller.watch(client, EPOLLIN)
    assert poller.after_wait() == [(3, EPOLLIN)]
    assert tried(300) == [0, 2, 5, 10, 19, 36, 69, 134, 199, 264]
    assert tried(29) == []
    assert poller.prompt() is client
    assert poller.poll_on() == poller.poll_on() == [(3, EPOLLIN)]
    assert tried(20) == [0, 2, 5, 10, 19]  # as in the beginning
    poller.watch(Client(4), EPOLLIN)
    assert tried(40) == []  # not alone


@pytest.mark.parametrize("name", ["idle_timeout", "line_timeout", "write_timeout"])
def test_timeouts_are_checked_eight_times_within_the_shortest_and_once_a_second(name: str) -> None:
    timeouts: list[dict[str, Any]] = [{name: seconds} for seconds in (0.8, 8, 80)]
    intervals = [sweep_interval(replace(NEVER, **timeout)) for timeout in timeouts]
    assert intervals == pytest.approx([0.1, 1, 1])


def test_the_client_with_the_shortest_timeout_says_how_often() -> None:
    poller = poller_of()
    assert poller.sweep_interval() == 1
    for fd, timeout in enumerate((1.6, 0.8, 4)):
        poller.watch(Client(fd, replace(NEVER, idle_timeout=timeout)), EPOLLIN)
    assert poller.sweep_interval() == pytest.approx(0.1)


@pytest.mark.parametrize(("left", "due"), [(0.5, 0.1), (0.05, 0.05)])
async def test_the_next_check_comes_in_time_for_a_client_that_is_new(
    left: float, due: float, mock_clock: MockClock
) -> None:
    mock_clock.jump(100)
    poller = poller_of()
    poller.sweep = trio.CancelScope(deadline=trio.current_time() + left)
    poller.watch(Client(3), EPOLLIN)
    assert poller.sweep.deadline == pytest.approx(100 + left)
    poller.watch(Client(4, replace(NEVER, line_timeout=0.8)), EPOLLIN)
    assert poller.sweep.deadline == pytest.approx(100 + due)
