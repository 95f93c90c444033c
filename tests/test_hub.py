"""The hub's one task: in which order clients, other tasks and the clock have their turns."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from types import NoneType

import pytest
import trio
import trio.testing

from caas_trio import ConnectionLost, Limits, LineSession, Session
from caas_trio.core.telemetry import ServerStats
from caas_trio.drivers.drain import Drain
from caas_trio.drivers.hub import Hub
from caas_trio.drivers.hubchannel import HubChannel
from caas_trio.drivers.machine import Machine
from caas_trio.drivers.poller import EPOLLIN


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


@dataclass
class Client:
    """A client, and what has become of its conversation."""

    sock: socket.socket
    channel: HubChannel
    raised: Exception | None = None
    over: bool = False

    async def run(self, session: Session) -> None:
        try:
            await self.channel.converse(session)
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.raised = error
        self.over = True

    def heard(self) -> bytes:
        """Return all that has been sent to it."""
        heard = b""
        with suppress(BlockingIOError):
            while data := self.sock.recv(1 << 20):
                heard += data
        return heard


class Running:
    """A hub that runs, and what clients of it do."""

    def __init__(self, nursery: trio.Nursery, opened: ExitStack, step: float) -> None:
        self.stats = Stats()
        self.drain = Drain()
        self.hub = Hub(Limits(), self.drain, stats=self.stats, machine=SteppingMachine(step))
        self._nursery = nursery
        self._opened = opened
        opened.callback(self.hub.close)
        nursery.start_soon(self.hub.run)

    def client(self, session: Session, spoken: bytes = b"") -> Client:
        """Return a client that has spoken, and whose conversation begins."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)  # noqa: FBT003 - the socket module's signature
        self._opened.enter_context(ours)
        ours.send(spoken)
        client = Client(ours, self.hub.channel(theirs))
        self._opened.callback(client.channel.close)
        self._nursery.start_soon(client.run, session)
        return client


@asynccontextmanager
async def running(step: float = 0) -> AsyncIterator[Running]:
    with ExitStack() as opened:
        async with trio.open_nursery() as nursery:
            yield Running(nursery, opened, step)
            nursery.cancel_scope.cancel()


def break_down(_: bytes) -> bytes:
    raise ZeroDivisionError


@pytest.mark.parametrize("how", [bytes.upper, break_down])
@pytest.mark.parametrize(("step", "turns"), [(0, range(3, 6)), (0.003, range(49, 52))])
async def test_others_have_their_turn_every_two_milliseconds_and_when_the_hub_wakes_one(
    step: float, turns: range, how: Callable[[bytes], bytes]
) -> None:
    """As long as sockets are ready: one client has its next line there whenever one is answered.

    How many turns these are is no exact number: trio may take the hub's first, or the others'.
    """
    begun_at: list[int] = []
    checkpoints = 0

    def service(line: bytes) -> bytes:
        begun_at.append(checkpoints)
        if len(begun_at) <= 50:
            talker.sock.send(line)
        if len(begun_at) in (10, 20, 30, 40):  # its conversation ends, so the hub wakes its task
            leaving[len(begun_at) // 10 - 1].sock.send(line)
        return b""

    async with running(step) as server, trio.open_nursery() as nursery:
        talker = server.client(LineSession(service))
        leaving = [server.client(LineSession(how, once=True)) for _ in range(4)]
        await trio.testing.wait_all_tasks_blocked()

        async def stand_by() -> None:
            nonlocal checkpoints
            while len(begun_at) <= 50:
                await trio.lowlevel.checkpoint()
                checkpoints += 1

        talker.sock.send(b"a\n")
        nursery.start_soon(stand_by)
        await trio.testing.wait_all_tasks_blocked()
        assert begun_at[-1] - begun_at[0] in turns
        assert [client.over for client in leaving] == [True] * 4


async def test_each_turn_is_counted_with_its_seconds_and_bytes() -> None:
    async with running(step=1) as server:
        clients = [server.client(LineSession(bytes.upper)) for _ in range(3)]
        await trio.testing.wait_all_tasks_blocked()
        for speaking in range(3, 0, -1):
            for client, lines in zip(clients[:speaking], (2000, 1, 2), strict=False):
                client.sock.send(b"two\n" * lines)
            await trio.testing.wait_all_tasks_blocked()
        assert server.stats.turns == [(3, 1), (2, 1), (1, 1)]
        lines = 3 * 2000 + 2 * 1 + 2
        assert (server.stats.received, server.stats.sent) == (4 * lines, 4 * lines)
        assert server.stats.lines == lines
        assert [client.channel.received for client in clients] == [0, 0, 0]  # nobody has each count


async def test_a_long_reply_is_sent_as_the_client_reads_it_and_then_let_go() -> None:
    async with running() as server:
        client = server.client(LineSession(lambda line: line * 1_000_000))
        await trio.testing.wait_all_tasks_blocked()
        client.sock.send(b"a\n")
        received = 0
        while received < 2_000_000:
            await trio.testing.wait_all_tasks_blocked()
            received += len(client.heard())
        await trio.testing.wait_all_tasks_blocked()
        assert (received, server.stats.sent) == (2_000_000, 2_000_000)
        assert client.channel.write_buffer == b""
        assert isinstance(client.channel.write_buffer, bytes)  # and no view of what has been sent
        client.sock.send(b"b\n")
        await trio.testing.wait_all_tasks_blocked()
        assert client.heard().startswith(b"b\n")


@pytest.mark.parametrize("watched", [0, EPOLLIN])
async def test_what_a_task_lets_be_buffered_is_sent_by_the_hub(watched: int) -> None:
    async with running() as server:
        client = server.client(LineSession(bytes.upper))
        await trio.testing.wait_all_tasks_blocked()
        client.channel.interrupt()
        server.hub._poller.watch(client.channel, watched)
        assert client.channel.try_buffer(b"buffered")
        await trio.testing.wait_all_tasks_blocked()
        assert client.heard() == b"buffered"
        assert client.channel.watched == watched


@pytest.mark.parametrize("case", ["awake", "reset", "deaf", "left", "late", "broken", "draining"])
async def test_whatever_becomes_of_one_client_the_others_are_served_in_the_same_turn(case: str) -> None:
    served_in: list[int] = []

    def note(line: bytes) -> bytes:
        served_in.append(len(server.stats.turns))
        return line.upper()

    def service(line: bytes) -> bytes:
        if line == b"bug\n":
            raise ZeroDivisionError
        return bytes(1_000_000) if line == b"much\n" else line

    async with running() as server:
        one, other = server.client(LineSession(service)), server.client(LineSession(note))
        await trio.testing.wait_all_tasks_blocked()
        one.sock.send({"reset": b"a\n", "left": b"much\n", "late": b"much\n"}.get(case, b"half"))
        await trio.testing.wait_all_tasks_blocked()
        turns = len(server.stats.turns)
        if case == "awake":
            one.channel.interrupt()
        elif case == "draining":
            server.drain.begin()
        elif case in ("reset", "left"):
            one.sock.close()  # with an unread reply
        if case == "late":
            assert len(one.heard()) < 1_000_000
        elif case not in ("reset", "left"):
            one.sock.send({"deaf": b"\nmuch\n", "broken": b"\nbug\n"}.get(case, b"\n"))
        other.sock.send(b"a\n")
        await trio.testing.wait_all_tasks_blocked()
        assert served_in == [turns]
        assert other.heard() == b"A\n"
        raised = {"reset": ConnectionLost, "left": ConnectionLost, "broken": ZeroDivisionError}
        assert type(one.raised) is raised.get(case, NoneType)
        assert one.over == (case not in ("deaf", "late"))
        assert (one.channel.watched == 0) == (case in ("awake", "reset", "left", "draining"))


async def test_after_the_end_of_the_input_there_is_nothing_to_linger_for() -> None:
    async with running() as server:
        client = server.client(LineSession(bytes.upper))
        await trio.testing.wait_all_tasks_blocked()
        client.sock.send(b"a")
        await trio.testing.wait_all_tasks_blocked()
        lingers = [not client.channel.needs_no_linger]
        client.sock.shutdown(socket.SHUT_WR)
        await trio.testing.wait_all_tasks_blocked()
        assert client.over
        assert [*lingers, not client.channel.needs_no_linger] == [True, False]
        assert client.heard() == b"A"


async def test_a_conversation_whose_channel_is_closed_is_lost() -> None:
    async with running() as server:
        client = server.client(LineSession(bytes.upper))
        await trio.testing.wait_all_tasks_blocked()
        await client.channel.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert isinstance(client.raised, ConnectionLost)


async def test_a_conversation_may_be_over_before_it_has_begun() -> None:
    class Refusal(LineSession):
        def open(self) -> bytes:
            self.closing = True
            return b"no\n"

        def receive(self, data: bytes | bytearray | memoryview) -> bytes:  # noqa: ARG002
            raise AssertionError

    async with running() as server:
        refused = server.client(Refusal(bytes.upper), b"a\n")
        once = server.client(LineSession(bytes.upper, once=True), b"a\nb\n")
        await trio.testing.wait_all_tasks_blocked()
        assert (refused.over, refused.raised, refused.heard()) == (True, None, b"no\n")
        assert (once.over, once.raised, once.heard()) == (True, None, b"A\n")


@pytest.mark.parametrize("ends", [False, True])
async def test_the_drain_answers_what_has_come_by_then_and_nothing_later(ends: bool) -> None:  # noqa: FBT001
    """However little the session wants at a time, and however fast more comes."""

    def service(line: bytes) -> bytes:
        if server.drain.begun and not ends:
            client.sock.send(b"too late\n" * 20)
        return line.upper()

    session = LineSession(service)
    session.max_chunk = 100
    async with running() as server:
        client = server.client(session)
        await trio.testing.wait_all_tasks_blocked()
        client.sock.send(b"ninebytes\n" * 25 + b"tail")
        if ends:
            client.sock.shutdown(socket.SHUT_WR)
        server.drain.begin()
        await trio.testing.wait_all_tasks_blocked()
        assert client.over
        assert client.heard() == b"NINEBYTES\n" * 25 + (b"TAIL" if ends else b"")
        assert len(server.stats.turns) >= 3


async def test_the_drain_tells_a_session_that_is_over_nothing_more() -> None:
    class Once(LineSession):
        def end_of_input(self) -> bytes:
            assert not self.closing
            return super().end_of_input()

    async with running() as server:
        client = server.client(Once(bytes.upper, once=True))
        await trio.testing.wait_all_tasks_blocked()
        client.sock.send(b"a\n")
        client.sock.shutdown(socket.SHUT_WR)
        server.drain.begin()
        await trio.testing.wait_all_tasks_blocked()
        assert (client.raised, client.over, client.heard()) == (None, True, b"A\n")
