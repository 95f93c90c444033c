"""Descriptors, poll and epoll of a simulated host; the latter two beside the real ones."""

from __future__ import annotations

import errno
import os
import random
import select
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

import pytest

from caas_trio.testing.files import EPOLLIN, EPOLLOUT, Descriptors, Epoll, Poll
from caas_trio.testing.streams import StreamSocket

from .support import Lab


def test_the_lowest_free_descriptor_is_given_out() -> None:
    table = Descriptors(4)
    assert [table.open(None) for _ in range(3)] == [3, 4, 5]
    table.close(4)
    table.close(3)
    assert [table.open(None) for _ in range(3)] == [3, 4, 6]
    with pytest.raises(OSError, match="Too many open files"):
        table.open(None)
    with pytest.raises(OSError, match="Bad file descriptor"):
        table.close(7)
    with pytest.raises(OSError, match="Bad file descriptor"):
        table[3]
    assert len(table) == 4


def test_those_that_have_waited_longest_are_reported_first() -> None:
    lab = Lab()
    epoll = Epoll(lab.server.descriptors)
    pairs = [lab.pair() for _ in range(3)]
    for _, server in pairs:
        epoll.register(server.fileno(), EPOLLOUT)
    first, second, third = (server.fileno() for _, server in pairs)
    assert epoll.poll(0, 2) == [(first, EPOLLOUT), (second, EPOLLOUT)]
    assert epoll.poll(0, 2) == [(third, EPOLLOUT), (first, EPOLLOUT)]
    assert epoll.ready == EPOLLIN
    assert epoll.poll() == [(second, EPOLLOUT), (third, EPOLLOUT), (first, EPOLLOUT)]


class Sides:
    """The same three connections and what polls them, simulated and real, for one script of calls."""

    def __init__(self, simulated: Callable[[Descriptors], Any], real: Any) -> None:
        lab = Lab()
        self.pairs: list[tuple[Any, Any]] = []
        for number in range(3):
            listening = StreamSocket(lab.server, socket.AF_UNIX)
            listening.bind(f"\0{number}")
            listening.listen()
            ours = StreamSocket(lab.server, socket.AF_UNIX)
            ours.connect(f"\0{number}")
            self.pairs.append((ours, listening.accept()[0]))
            listening.close()
        self.real = [socket.socketpair() for _ in range(3)]
        for each, _ in self.real:
            each.setblocking(False)  # noqa: FBT003 - the socket module's signature
        self.polls: tuple[Any, Any] = simulated(lab.server.descriptors), real

    def close(self) -> None:
        for pair in self.real:
            for each in pair:
                each.close()

    def ready(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Return what both report, by the number of the connection."""
        numbers = [
            {pair[0].fileno(): number for number, pair in enumerate(pairs)}
            for pairs in (self.pairs, self.real)
        ]
        simulated, real = (
            sorted((number[fd], events) for fd, events in poll.poll(0))
            for number, poll in zip(numbers, self.polls, strict=True)
        )
        return simulated, real

    def call(self, name: str, number: int) -> tuple[str, str]:
        """Return what a call comes to on both sides."""
        simulated, real = (
            outcome(name, poll, *pairs[number], EPOLLIN | EPOLLOUT * (number % 2))
            for pairs, poll in zip((self.pairs, self.real), self.polls, strict=True)
        )
        return simulated, real


def outcome(name: str, poll: Any, ours: Any, theirs: Any, events: int) -> str:
    """Return what a call comes to, as text."""
    calls: dict[str, Callable[[], object]] = {
        "register": lambda: poll.register(ours.fileno(), events),
        "modify": lambda: poll.modify(ours.fileno(), EPOLLIN),
        "unregister": lambda: poll.unregister(ours.fileno()),
        "send": lambda: theirs.send(b"x"),
        "recv": lambda: ours.recv(1),
        "shutdown": lambda: theirs.shutdown(socket.SHUT_WR),
        "close": ours.close,
    }
    try:
        return str(calls[name]())
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    except ValueError:  # Python's word for a closed socket
        return "EBADF"
    except KeyError:
        return "KeyError"


def check_same_events(sides: Sides, names: Sequence[str], seed: int) -> None:
    choices = random.Random(seed)  # noqa: S311 - to be repeated
    with closing(sides):
        for _ in range(40):
            name, number = choices.choice(names), choices.randrange(3)
            simulated, real = sides.call(name, number)
            assert simulated == real, f"{name}({number})"
            simulated_ready, real_ready = sides.ready()
            assert simulated_ready == real_ready, f"{name}({number})"


@pytest.mark.skipif(sys.platform != "linux", reason="it is Linux that is simulated")
@pytest.mark.parametrize("seed", range(60))
def test_epoll_reports_the_same_events_as_the_real_one(seed: int) -> None:
    names = (*("register", "send", "recv") * 3, "modify", "unregister", "shutdown", "close")
    with closing(select.epoll()) as real:
        check_same_events(Sides(Epoll, real), names, seed)


@pytest.mark.skipif(sys.platform != "linux", reason="it is Linux that is simulated")
@pytest.mark.parametrize("seed", range(20))
def test_poll_reports_the_same_events_as_the_real_one(seed: int) -> None:
    names = (*("register", "send", "recv") * 3, "unregister", "shutdown")
    check_same_events(Sides(Poll, select.poll()), names, seed)


def test_a_closed_descriptor_that_is_used_again_is_another_one() -> None:
    lab = Lab()
    epoll = Epoll(lab.server.descriptors)
    _, server = lab.pair()
    fd = server.fileno()
    epoll.register(fd, EPOLLOUT)
    server.close()
    assert epoll.poll() == []
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        epoll.unregister(fd)
    _, other = lab.pair()
    assert other.fileno() == fd
    with pytest.raises(FileNotFoundError):
        epoll.modify(fd, EPOLLOUT)
    epoll.register(fd, EPOLLOUT)
    assert epoll.poll() == [(fd, EPOLLOUT)]
    epoll.close()
    epoll.close()
