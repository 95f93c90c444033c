"""Clients that have sent a line, or everything, by the time they are accepted."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from caas_trio import (
    ConnectionLost,
    Endpoint,
    Limits,
    LineSession,
    Oversize,
    Session,
    Telemetry,
)
from caas_trio.core.telemetry import Outcome
from caas_trio.drivers.machine import MACHINE, Machine
from caas_trio.server.listeners import listen_all

from .support import streams
from .support.drivers import serve_sessions
from .support.machines import CountingMachine
from .support.recorder import StatsRecorder
from .support.sockets import descriptors, receive_all
from .support.streams import reset

#: Every test runs over both drivers.
pytestmark = pytest.mark.usefixtures("driver")

CAPITALS = partial(LineSession, bytes.upper)


class Tasks(trio.abc.Instrument):
    """Counts the tasks that are connections, and how many had been accepted by the first."""

    def __init__(self, telemetry: Telemetry | None = None) -> None:
        self.begun = 0
        self.accepted_before = 0
        self._telemetry = telemetry

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        if task.name != "connection":
            return
        if not self.begun and isinstance(self._telemetry, StatsRecorder):
            self.accepted_before = self._telemetry.listener_stats.accepted
        self.begun += 1


class SuspendedServer:
    """A server, and clients that act while it has no chance to."""

    def __init__(self, path: Path, clients: ExitStack, tasks: Tasks, everything: trio.CancelScope) -> None:
        self.everything = everything
        self._path = path
        self._clients = clients
        self._tasks = tasks

    @property
    def tasks(self) -> int:
        """How many connections have had a task."""
        return self._tasks.begun

    @property
    def accepted_before_a_task(self) -> int:
        """How many connections had been accepted when the first of them got a task."""
        return self._tasks.accepted_before

    def client(self, spoken: bytes, *, ends: bool = True) -> socket.socket:
        """Return a client that has connected, spoken, and ended its output if it is to."""
        client = self._clients.enter_context(socket.socket(socket.AF_UNIX))
        client.connect(str(self._path))
        client.setblocking(False)  # noqa: FBT003 - the socket module's signature
        client.send(spoken)
        if ends:
            client.shutdown(socket.SHUT_WR)
        return client


@asynccontextmanager
async def served(
    path: Path,
    new_session: Callable[[], Session] = CAPITALS,
    telemetry: Telemetry | None = None,
    limits: Limits = Limits(),  # noqa: B008 - immutable
    machine: Machine = MACHINE,
    *,
    shared: bool = False,
) -> AsyncIterator[SuspendedServer]:
    tasks = Tasks(telemetry)
    [listener] = await listen_all([Endpoint.parse(f"unix:{path}")])
    listener.shared = shared
    trio.lowlevel.add_instrument(tasks)
    start = partial(
        serve_sessions, new_session, listener, telemetry=telemetry, limits=limits, machine=machine
    )
    try:
        with ExitStack() as clients:
            async with trio.open_nursery() as nursery:
                await nursery.start(start)
                await trio.testing.wait_all_tasks_blocked()
                yield SuspendedServer(path, clients, tasks, nursery.cancel_scope)
                nursery.cancel_scope.cancel()
    finally:
        trio.lowlevel.remove_instrument(tasks)


class Careful(LineSession):
    """Wants little at a time, as a session does that may have much work with each byte."""

    def __init__(self) -> None:
        super().__init__(bytes.upper)
        self.max_chunk = 10


async def test_costly_new_connections_get_tasks(tmp_path: Path) -> None:
    async with served(tmp_path / "caas.sock", Careful) as server:
        clients = [server.client(b"one\ntwo\nth") for _ in range(6)]
        await trio.testing.wait_all_tasks_blocked()
        assert [receive_all(client) for client in clients] == [b"ONE\nTWO\nTH"] * len(clients)
        assert server.tasks == len(clients)


async def test_a_client_that_has_sent_all_when_accepted_needs_no_task(tmp_path: Path, driver: str) -> None:
    recorder = StatsRecorder()
    async with served(tmp_path / "caas.sock", telemetry=recorder) as server:
        clients = [server.client(b"one\ntw"), server.client(b"")]
        await trio.testing.wait_all_tasks_blocked()
        assert [receive_all(client) for client in clients] == [b"ONE\nTW", b""]
        assert server.tasks == (0 if driver == "hub" else len(clients))
        assert recorder.ends == [None] * len(clients)
        assert recorder.listener_stats.accepted == len(clients)
        assert recorder.outcomes == {Outcome.COMPLETED: len(clients)}


@pytest.fixture
def few_at_a_time() -> Machine:
    """A machine on which two connections are accepted before other tasks have their turn."""
    machine = Machine()
    machine.accept_burst = 2
    return machine


@pytest.mark.parametrize(("shared", "count"), [(False, 5), (True, 6)])
async def test_clients_of_a_full_burst_need_no_task(
    tmp_path: Path, driver: str, count: int, *, shared: bool
) -> None:
    """They wait for the next one; where other processes accept too, it is finished within one turn."""
    machine = Machine()
    machine.accept_burst = 4  # as many as are accepted from a shared queue in any case
    async with served(tmp_path / "caas.sock", machine=machine, shared=shared) as server:
        clients = [server.client(b"a\n") for _ in range(count)]
        await trio.testing.wait_all_tasks_blocked()
        assert [receive_all(client) for client in clients] == [b"A\n"] * count
        assert server.tasks == (0 if driver == "hub" else count)


async def test_a_silent_client_gets_a_task_however_many_connect(
    tmp_path: Path, driver: str, few_at_a_time: Machine
) -> None:
    """It has the timeouts of all: it waits for one more burst, and no longer."""
    recorder = StatsRecorder()
    async with served(tmp_path / "caas.sock", telemetry=recorder, machine=few_at_a_time) as server:
        server.client(b"", ends=False)
        clients = [server.client(b"a\n") for _ in range(20)]
        await trio.testing.wait_all_tasks_blocked()
        assert server.accepted_before_a_task == (4 if driver == "hub" else 2)
        assert [receive_all(client) for client in clients] == [b"A\n"] * len(clients)


async def test_clients_that_wait_for_the_next_burst_are_closed_with_the_server(
    tmp_path: Path, few_at_a_time: Machine
) -> None:
    recorder = StatsRecorder()
    before = descriptors()
    async with served(tmp_path / "caas.sock", telemetry=recorder, machine=few_at_a_time) as server:
        clients = [server.client(b"", ends=False) for _ in range(5)]
        while not recorder.listener_stats.accepted:
            await trio.lowlevel.checkpoint()
        server.everything.cancel()
        with trio.CancelScope(shield=True):
            await trio.testing.wait_all_tasks_blocked()
        assert recorder.outcomes == {Outcome.CUT_OFF: recorder.listener_stats.accepted}
        for client in clients:
            client.close()
    assert descriptors() == before


async def test_a_client_that_stays_gets_a_task(tmp_path: Path) -> None:
    async with served(tmp_path / "caas.sock") as server:
        clients = [server.client(spoken, ends=False) for spoken in (b"", b"a\nb", b"a\nb")]
        await trio.testing.wait_all_tasks_blocked()
        assert server.tasks == len(clients)
        for client, due in zip(clients, (b"", b"A\n", b"A\n"), strict=True):
            assert not due or client.recv(100) == due
            client.send(b"c\n")
        await trio.testing.wait_all_tasks_blocked()
        assert [client.recv(100) for client in clients] == [b"C\n", b"BC\n", b"BC\n"]


async def test_a_client_that_sends_more_after_its_reply_gets_a_task(tmp_path: Path) -> None:
    def service(line: bytes) -> bytes:
        if line == b"a\n":
            talker.send(b"b\n")
        return line.upper()

    async with served(tmp_path / "caas.sock", partial(LineSession, service)) as server:
        talker = server.client(b"a\n", ends=False)
        await trio.testing.wait_all_tasks_blocked()
        assert server.tasks == 1
        assert talker.recv(100) == b"A\nB\n"


async def test_a_reply_to_the_end_of_the_input_may_exceed_the_send_buffer(tmp_path: Path) -> None:
    async with served(tmp_path / "caas.sock", partial(LineSession, lambda line: line * 1_000_000)) as server:
        client = trio.socket.from_stdlib_socket(server.client(b"ab"))
        await trio.testing.wait_all_tasks_blocked()
        assert await streams.receive_all(trio.SocketStream(client)) == b"ab" * 1_000_000


async def test_after_the_last_reply_the_connection_lingers(tmp_path: Path) -> None:
    async with served(tmp_path / "caas.sock", partial(CAPITALS, once=True)) as server:
        client = server.client(b"a\nb\n", ends=False)
        await trio.testing.wait_all_tasks_blocked()
        assert receive_all(client) == b"A\n"
        assert client.send(b"more") == len(b"more")  # the connection was not reset


async def test_finished_connections_give_their_place_back(tmp_path: Path) -> None:
    async with served(tmp_path / "caas.sock", limits=Limits(max_connections=1)) as server:
        for _ in range(3):
            client = server.client(b"a\n")
            await trio.testing.wait_all_tasks_blocked()
            assert receive_all(client) == b"A\n"


async def test_a_bug_ends_its_connection_only(tmp_path: Path) -> None:
    def service(line: bytes) -> bytes:
        if line == b"bug\n":
            raise ZeroDivisionError
        return line.upper()

    recorder = StatsRecorder()
    async with served(tmp_path / "caas.sock", partial(LineSession, service), recorder) as server:
        clients = [server.client(spoken) for spoken in (b"a\n", b"bug\n", b"b\n")]
        await trio.testing.wait_all_tasks_blocked()
        assert [receive_all(client) for client in clients] == [b"A\n", b"", b"B\n"]
        assert recorder.outcomes == {Outcome.COMPLETED: 2, Outcome.FAILED: 1}
        assert [type(error) for error in recorder.errors] == [ZeroDivisionError]


async def test_a_bug_before_the_first_word_ends_its_connection_only(tmp_path: Path) -> None:
    class Dumb(LineSession):
        def open(self) -> bytes:
            raise ZeroDivisionError

    sessions = iter([Dumb(bytes.upper), LineSession(bytes.upper)])
    recorder = StatsRecorder()
    async with served(tmp_path / "caas.sock", lambda: next(sessions), recorder) as server:
        clients = [server.client(spoken) for spoken in (b"", b"b\n")]
        await trio.testing.wait_all_tasks_blocked()
        assert [receive_all(client) for client in clients] == [b"", b"B\n"]
        assert recorder.outcomes == {Outcome.COMPLETED: 1, Outcome.FAILED: 1}
        assert [type(error) for error in recorder.errors] == [ZeroDivisionError]


async def test_the_counts_are_right(tmp_path: Path) -> None:
    recorder = StatsRecorder()
    session = partial(LineSession, bytes.upper, max_line=3, oversize=Oversize.DISCARD)
    async with served(tmp_path / "caas.sock", session, recorder) as server:
        replies = [server.client(spoken) for spoken in (b"a\n", b"abcd\nb")]
        staying = server.client(b"abcd\n", ends=False)
        await trio.testing.wait_all_tasks_blocked()
        sent = sum(len(receive_all(client)) for client in replies) + len(staying.recv(100))
        stats = recorder.stats
        assert (stats.received, stats.sent, stats.lines) == (13, sent, 3)
        assert stats.oversize == 2
        assert sum(stats.waits) == 5  # three reads, two ends
        staying.shutdown(socket.SHUT_WR)
        await trio.testing.wait_all_tasks_blocked()
        assert stats.oversize == 2


async def test_a_telemetry_that_raises_affects_no_connection(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(Telemetry):
        def conversation_ended(self, error: Exception | None, endpoint: Endpoint) -> None:  # noqa: ARG002
            raise ZeroDivisionError

    before = descriptors()
    async with served(tmp_path / "caas.sock", telemetry=Failing()) as server:
        clients = [server.client(spoken) for spoken in (b"a\n", b"b\n", b"")]
        await trio.testing.wait_all_tasks_blocked()
        assert [receive_all(client) for client in clients] == [b"A\n", b"B\n", b""]
    assert descriptors() <= before
    [record] = caplog.records  # the first failure is reported, and it is called again
    assert (record.name, record.getMessage()) == (
        "caas_trio",
        "the telemetry raised an error at conversation_ended",
    )


async def test_cancellation_closes_all_new_connections(tmp_path: Path) -> None:
    async with served(tmp_path / "caas.sock") as server:
        server.everything.cancel()
        clients = [server.client(b"a\n", ends=False) for _ in range(3)]
        with trio.CancelScope(shield=True):
            await trio.testing.wait_all_tasks_blocked()
        for client in clients:
            with pytest.raises((ConnectionResetError, BlockingIOError)):
                client.recv(100)


@pytest.mark.parametrize(
    "when", ["without a word", "before the accept", "with a reply under way", "after its reply"]
)
async def test_a_client_that_resets_is_lost_without_a_task(when: str, driver: str) -> None:
    recorder, tasks = StatsRecorder(), Tasks()
    clients: list[socket.socket] = []

    def service(line: bytes) -> bytes:
        if when == "with a reply under way":
            reset(clients[-1])
        return line.upper()

    start = partial(serve_sessions, partial(LineSession, service), "tcp://127.0.0.1:0", telemetry=recorder)
    trio.lowlevel.add_instrument(tasks)
    try:
        async with trio.open_nursery() as nursery:
            [endpoint] = await nursery.start(start)
            await trio.testing.wait_all_tasks_blocked()
            client = socket.create_connection((endpoint.host, endpoint.port))
            clients.append(client)
            if when != "without a word":
                client.sendall(b"a\n")
            if when in ("without a word", "before the accept"):
                reset(client)
            await trio.testing.wait_all_tasks_blocked()
            if when == "after its reply":
                assert client.recv(100) == b"A\n"
                reset(client)
            while not recorder.ends:
                await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    finally:
        trio.lowlevel.remove_instrument(tasks)
    assert [type(error) for error in recorder.ends] == [ConnectionLost]
    assert recorder.outcomes == {Outcome.LOST: 1}
    if driver == "hub" and when != "after its reply":
        assert tasks.begun == 0
        assert recorder.ends[0] is not None
        assert recorder.ends[0].__traceback__ is None


class AcceptingMachine(CountingMachine):
    """Notes how many polls there were before each connection was accepted."""

    def __init__(self) -> None:
        super().__init__()
        self.accepted: list[int] = []

    def accept(self, listening: socket.socket, family: int, kind: int) -> tuple[socket.socket, Any]:
        accepted = super().accept(listening, family, kind)
        self.accepted.append(self.polls)
        return accepted


async def test_a_client_that_connects_while_another_is_waited_for_does_not_wait(
    tmp_path: Path, driver: str
) -> None:
    machine = AcceptingMachine()
    async with served(tmp_path / "caas.sock", machine=machine) as server:
        late: list[socket.socket] = []
        machine.happens = lambda: late.append(server.client(b"a\n"))
        server.client(b"", ends=False)
        await trio.testing.wait_all_tasks_blocked()
        assert machine.accepted == ([0, 2] if driver == "hub" else [0])
        assert [receive_all(client) for client in late] == [b"A\n"] * len(late)
