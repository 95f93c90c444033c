"""One turn of the hub with new clients, without a server: which are read, how often, how that is counted."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import partial

import pytest

from caas_trio import First, Limits, LineSession
from caas_trio.core.telemetry import ServerStats
from caas_trio.drivers.drain import Drain
from caas_trio.drivers.driver import FirstTurn
from caas_trio.drivers.hub import Hub
from caas_trio.drivers.inlineturn import InlineTurn

from .support.machines import CountingMachine
from .support.streams import reset


class Stats(ServerStats):
    """Keeps how many clients were answered at a time, and in how many seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.turns: list[tuple[int, float]] = []

    def served(self, reads: int, seconds: float) -> None:
        self.turns.append((reads, seconds))


class Careful(LineSession):
    """Wants ten bytes at a time."""

    def __init__(self) -> None:
        super().__init__(bytes.upper)
        self.max_chunk = 10


class Turn:
    """A turn, and the clients that come in it."""

    def __init__(self, opened: ExitStack) -> None:
        self.machine = CountingMachine()
        self.stats = Stats()
        self._opened = opened
        self._hub = Hub(Limits(), Drain(), stats=self.stats, machine=self.machine)
        opened.callback(self._hub.close)
        self.turn: InlineTurn[str] = self._hub.first_turn()

    def client(self, name: str, spoken: bytes = b"", session: LineSession | None = None) -> socket.socket:
        """Return a client that has connected, and spoken."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            client = self._opened.enter_context(socket.create_connection(listening.getsockname()))
            accepted = self._opened.enter_context(listening.accept()[0])
        client.setblocking(False)  # noqa: FBT003 - the socket module's signature
        client.send(spoken)
        self.turn.add(name, self._hub.channel(accepted), session or LineSession(bytes.upper))
        return client

    @property
    def remaining(self) -> list[str]:
        """Which clients get tasks."""
        return [name for name, _ in self.turn.remaining]


@pytest.fixture
def made() -> Iterator[Turn]:
    with ExitStack() as opened:
        yield Turn(opened)


def heard(client: socket.socket) -> bytes:
    """Return what has been sent to a client."""
    with suppress(BlockingIOError):
        return client.recv(1000)
    return b""


def test_a_client_that_has_spoken_is_answered_and_counted(made: Turn) -> None:
    client = made.client("a", b"a\n")
    assert made.turn.poll()
    assert heard(client) == b"A\n"
    assert not made.turn.poll()
    others = [made.client(name, b"b\n") for name in "bcd"]
    assert made.turn.poll()
    assert [heard(other) for other in others] == [b"B\n"] * 3
    assert made.stats.turns == [(1, 1.0), (3, 1.0)]


def break_down(_: bytes) -> bytes:
    raise ZeroDivisionError


@pytest.mark.parametrize("case", ["silent", "reset", "gone", "broken", "finished"])
def test_whatever_becomes_of_others_each_client_is_answered_in_the_same_turn(case: str, made: Turn) -> None:
    clients: list[socket.socket] = []

    def leave(line: bytes) -> bytes:
        reset(clients.pop(0))
        return line

    for name in ("one", "two"):
        match case:
            case "silent":
                made.client(name)
            case "reset":
                reset(made.client(name))
            case "gone":
                clients.append(made.client(name, b"a\n", LineSession(leave)))
            case "broken":
                made.client(name, b"a\n", LineSession(break_down))
            case _:
                made.client(name).shutdown(socket.SHUT_WR)
    last = made.client("last", b"a\n")
    assert made.turn.poll()
    assert heard(last) == b"A\n"
    assert made.turn.lost == (["one", "two"] if case in ("reset", "gone") else [])
    assert made.turn.ended == (["one", "two"] if case == "finished" else [])
    assert made.remaining == (["one", "two"] if case == "broken" else [])
    assert {type(error) for _, error in made.turn.remaining} <= {ZeroDivisionError}
    assert made.stats.turns == [(1 if case == "silent" else 3, 1.0)]


@pytest.mark.parametrize(("full", "answered"), [(3, 3), (4, 4), (6, 4)])
def test_no_more_than_four_full_reads_are_served_in_a_turn(full: int, answered: int, made: Turn) -> None:
    clients = [made.client(str(number), b"ninebytes\n", Careful()) for number in range(full)]
    assert made.turn.poll()
    assert [heard(client) for client in clients].count(b"NINEBYTES\n") == answered
    made.turn.poll_until_idle()
    assert not any(heard(client) for client in clients)
    assert (made.machine.polls > 0) == (answered < 4)  # what is used up asks the kernel no more
    made.turn.spawn_rest()
    assert len(made.remaining) == full
    for number in range(4):
        client = made.client(f"later {number}", b"ninebytes\n", Careful())
        made.turn.poll_until_idle()
        assert heard(client) == b"NINEBYTES\n"


def test_a_client_that_speaks_again_after_its_reply_gets_a_task(made: Turn) -> None:
    client = made.client("a", b"a\n")
    assert made.turn.poll()
    client.send(b"b\n")
    assert made.turn.poll()
    assert (heard(client), made.turn.remaining) == (b"A\nB\n", [("a", None)])
    client.send(b"c\n")
    assert not made.turn.poll()


def test_a_driver_that_answers_nobody_in_a_turn_has_nothing_to_poll() -> None:
    assert not FirstTurn[str]().poll()


class Farewell(LineSession):
    """Says goodbye at once."""

    def open(self) -> bytes:
        super().open()
        return b"bye\n" + self.end_of_input()


@pytest.mark.parametrize(
    "session",
    [Farewell(bytes.upper), LineSession(bytes.upper, First.SERVER, b"x" * (1 << 24))],
    ids=["closing", "unsent"],
)
def test_a_client_that_is_not_to_be_read_from_gets_a_task(session: LineSession, made: Turn) -> None:
    client = made.client("a", b"a\n", session)
    assert made.turn.remaining == [("a", None)]
    assert not made.turn.poll()
    assert b"A" not in heard(client)


@pytest.mark.parametrize(("silent", "polls"), [(1, 64), (2, 128), (3, 192), (5, 192)])
def test_silent_clients_are_waited_for_as_long_as_three_tasks_would_take(
    silent: int, polls: int, made: Turn
) -> None:
    for number in range(silent):
        made.client(str(number))
    assert not made.turn.poll()
    assert made.machine.polls == polls


def test_a_client_that_speaks_while_it_is_waited_for_is_answered(made: Turn) -> None:
    """And one whose conversation is over is not waited for, whatever it sends."""
    over = made.client("over", b"a\n", LineSession(bytes.upper, once=True))
    assert made.turn.poll()
    over.send(b"b\n")
    client = made.client("late")
    made.machine.happens = lambda: client.send(b"c\n")
    assert made.turn.poll()
    assert (heard(over), heard(client)) == (b"A\n", b"C\n")
    assert made.stats.received == len(b"a\nc\n")
    assert not made.turn.poll()
    assert made.machine.polls == 2 + 64


def test_a_client_that_connects_while_others_are_waited_for_is_accepted_first(made: Turn) -> None:
    silent = made.client("silent")
    with socket.create_server(("127.0.0.1", 0)) as listening, ExitStack() as opened:
        connect = partial(socket.create_connection, listening.getsockname())
        made.machine.happens = lambda: opened.enter_context(connect())
        assert made.turn.poll(listening)
        assert made.machine.polls == 2
        silent.send(b"a\n")
        assert made.turn.poll(listening)
        assert heard(silent) == b"A\n"
        assert made.machine.polls == 2


def test_a_client_that_speaks_as_another_one_connects_is_answered(made: Turn) -> None:
    client = made.client("a")
    with socket.create_server(("127.0.0.1", 0)) as listening, ExitStack() as opened:

        def happens() -> None:
            client.send(b"a\n")
            opened.enter_context(socket.create_connection(listening.getsockname()))

        made.machine.happens = happens
        assert made.turn.poll(listening)
        assert heard(client) == b"A\n"


def test_where_nobody_connects_silent_clients_are_waited_for_as_ever(made: Turn) -> None:
    made.client("a")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        assert not made.turn.poll(listening)
    assert made.machine.polls == 64


def test_a_client_waits_for_the_next_turn_and_no_longer(made: Turn) -> None:
    old, young = made.client("old"), made.client("young")
    made.turn.carry_over()
    assert made.remaining == []
    newest = made.client("newest")
    young.send(b"b\n")
    assert made.turn.poll()
    made.turn.carry_over()
    assert made.remaining == ["old", "young"]
    for client in (old, newest):
        client.send(b"c\n")
    assert made.turn.poll()
    assert [heard(client) for client in (old, young, newest)] == [b"", b"B\n", b"C\n"]
    made.turn.carry_over()
    assert made.remaining == ["old", "young", "newest"]


def test_before_as_many_reads_all_may_wait_for_the_next(made: Turn) -> None:
    for number in range(3):
        made.client(str(number), b"a" * 10, Careful())
    assert made.turn.poll()
    made.turn.carry_over()
    assert made.remaining == []


def test_after_as_many_reads_as_a_turn_has_nobody_waits_for_the_next(made: Turn) -> None:
    for number in range(5):
        made.client(str(number), b"a" * 10, Careful())
    made.turn.poll_until_idle()
    made.turn.carry_over()
    assert made.remaining == [str(number) for number in (4, 0, 1, 2, 3)]
    client = made.client("next", b"a\n")
    made.turn.poll_until_idle()
    assert heard(client) == b"A\n"


def test_in_the_end_all_that_are_left_get_tasks(made: Turn) -> None:
    made.client("over", b"a\n", LineSession(bytes.upper, once=True))
    made.client("silent")
    assert made.turn.poll()
    made.turn.spawn_rest()
    assert made.remaining == ["over", "silent"]
