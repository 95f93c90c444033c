"""Nothing that is raised for one connection leaves it, and what one does costs no other."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from caas_trio import (
    Connection,
    ConnectionLost,
    Endpoint,
    InternetPeer,
    Limits,
    LineSession,
    LocalPeer,
    Session,
    StateError,
    TooSlow,
    Trust,
)
from caas_trio.core.errors import PeerError
from caas_trio.core.peer import Peer
from caas_trio.core.telemetry import ListenerStats, Outcome, ServerStats
from caas_trio.drivers.drain import Drain
from caas_trio.drivers.driver import FirstTurn
from caas_trio.drivers.stream import StreamChannel, StreamDriver
from caas_trio.server.admission import REFUSAL, Admission
from caas_trio.server.handshaker import Handshaker
from caas_trio.server.kinds import Handler, NewSession, SessionConnection
from caas_trio.server.served import ServedConnection, Shared

from .support.drivers import serve, serve_sessions
from .support.recorder import Recorder, StatsRecorder
from .support.servers import running
from .support.streams import ask, reset

#: Every test runs over both drivers.
pytestmark = pytest.mark.usefixtures("driver")


class BoomError(Exception):
    """A bug."""


def boom(*_: object, **__: object) -> NoReturn:
    raise BoomError


class Exploding(Session):
    """Raises at one step of a conversation."""

    closing = False

    def __init__(self, step: str) -> None:
        self._step = step

    def open(self) -> bytes:
        return boom() if self._step == "open" else b""

    def receive(self, data: object) -> bytes:  # noqa: ARG002
        return boom() if self._step == "receive" else b"fine\n"

    def end_of_input(self) -> bytes:
        self.closing = True
        return boom() if self._step == "end" else b""

    @property
    def oversize_lines(self) -> int:
        """None."""
        return 0


class Objecting(Trust):
    """Raises when it is asked about a client that has sent its header, or before."""

    def objection(self, peer: Peer) -> str | None:
        return boom() if self.allow_from else super().objection(peer)

    def objection_to_proxy(self, peer: Peer) -> str | None:
        return boom() if not self.allow_from else super().objection_to_proxy(peer)


@pytest.mark.parametrize("step", ["make", "open", "receive", "end"])
async def test_an_error_at_any_step_of_a_session_ends_its_connection_only(step: str) -> None:
    sessions = iter([boom if step == "make" else partial(Exploding, step), partial(LineSession, bytes.upper)])

    def new_session() -> Session:
        make: Callable[[], Session] = next(sessions)
        return make()

    async with running(partial(serve_sessions, new_session), telemetry=StatsRecorder()) as server:
        async with await server.connect() as client:
            await client.send_all(b"a\n")
            await client.send_eof()
            assert b"".join([chunk async for chunk in client]) == (b"fine\n" if step == "end" else b"")
        async with await server.connect() as client:
            await ask(client, b"b\n", b"B\n")
    assert [type(error) for error in server.telemetry.errors] == [BoomError]
    assert server.telemetry.outcomes == {Outcome.FAILED: 1, Outcome.COMPLETED: 1}


@pytest.mark.parametrize("allow_from", [(), Trust.proxy_from], ids=["the proxy", "the client"])
async def test_an_error_before_the_conversation_ends_its_connection_only(
    allow_from: tuple[object, ...],
) -> None:
    trust = Objecting(proxy_protocol=True, allow_from=allow_from)  # type: ignore[arg-type]
    async with running(
        partial(serve_sessions, partial(LineSession, bytes.upper), trust=trust), telemetry=StatsRecorder()
    ) as server:
        for _ in range(12):
            async with await server.connect() as client:
                await client.send_all(b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\na\n")
                heard = b""
                with suppress(trio.BrokenResourceError):  # its input is not read
                    heard = await client.receive_some()
                assert heard == b""
    assert [type(error) for error in server.telemetry.errors] == [BoomError] * 12


LATE_CALLS: dict[str, Callable[[Connection], Awaitable[object]]] = {
    "send": lambda connection: connection.send(b"late\n"),
    "receive_line": lambda connection: connection.receive_line(),
    "receive_some": lambda connection: connection.receive_some(),
    "flush": lambda connection: connection.flush(),
    "send_eof": lambda connection: connection.send_eof(),
}


class Late:
    """A handler whose tasks go on when it has returned."""

    def __init__(self, call: str, nursery: trio.Nursery) -> None:
        self.over = trio.Event()
        self.raised: list[StateError] = []
        self.reads = call.startswith("receive")
        self._call = LATE_CALLS[call]
        self._nursery = nursery

    async def _late(self, connection: Connection, wait: Callable[[], Awaitable[None]]) -> None:
        await wait()
        with pytest.raises(StateError) as caught:  # noqa: PT012 - what has come before may be read
            while await self._call(connection) == b"rest\n":
                pass
        self.raised.append(caught.value)

    async def handle(self, connection: Connection) -> None:
        """Answer lines; start a task at `job`, and another one that reads at `quit`."""
        async for line in connection:
            if line == b"job\n":
                self._nursery.start_soon(self._late, connection, self.over.wait)
            elif line == b"quit\n":
                if self.reads:  # is under way when the handler returns
                    self._nursery.start_soon(self._late, connection, trio.lowlevel.checkpoint)
                    await trio.testing.wait_all_tasks_blocked()
                return
            else:
                await connection.send(line.upper())


@pytest.mark.parametrize("call", LATE_CALLS)
async def test_a_task_that_outlives_its_handler_gets_state_errors(call: str, nursery: trio.Nursery) -> None:
    late = Late(call, nursery)
    async with (
        running(partial(serve, late.handle), telemetry=StatsRecorder()) as server,
        AsyncExitStack() as clients,
    ):
        others = [await clients.enter_async_context(await server.connect()) for _ in range(3)]
        for other in others:
            await ask(other, b"a\n", b"A\n")
        async with await server.connect() as client:
            await client.send_all(b"job\nquit\nrest\n")
            assert b"".join([chunk async for chunk in client]) == b""
        others.append(await clients.enter_async_context(await server.connect()))  # takes its descriptor
        await ask(others[-1], b"new\n", b"NEW\n")
        late.over.set()
        await trio.testing.wait_all_tasks_blocked()
        for other in others:
            await ask(other, b"b\n", b"B\n")
    assert [error.state for error in late.raised] == ["closed"] * (2 if late.reads else 1)
    assert not server.telemetry.errors
    nursery.cancel_scope.cancel()


def chat(members: list[Connection]) -> Handler:
    """Return a handler that sends each line to every member, one after the other."""

    async def handler(connection: Connection) -> None:
        members.append(connection)
        try:
            async for line in connection:
                for member in list(members):
                    await member.send(line)
        finally:
            members.remove(connection)

    return handler


MUCH = b"x" * 60_000 + b"\n"


@pytest.mark.parametrize("fault", ["deaf", "reset"])
async def test_one_member_of_a_chat_does_not_end_another(fault: str, autojump_clock: MockClock) -> None:
    members: list[Connection] = []
    limits = Limits(write_timeout=5, linger_timeout=1)
    async with running(partial(serve, chat(members), limits=limits), telemetry=StatsRecorder()) as server:
        bad, *good = [await server.connect() for _ in range(4)]
        while len(members) < 4:
            await trio.testing.wait_all_tasks_blocked()
        if fault == "reset":
            bad.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            bad.socket.close()
        rounds = 400 if fault == "deaf" else 3
        heard = [0] * len(good)

        async def read(number: int) -> None:
            while heard[number] < 3 * rounds * len(MUCH):
                heard[number] += len(await good[number].receive_some(1 << 20))

        async def write(client: trio.SocketStream) -> None:
            for _ in range(rounds):
                await client.send_all(MUCH)

        async with trio.open_nursery() as nursery:
            for number, client in enumerate(good):
                nursery.start_soon(read, number)
                nursery.start_soon(write, client)
        for client in good:
            await client.aclose()
        await bad.aclose()
    ended = Outcome.TIMED_OUT if fault == "deaf" else Outcome.LOST
    assert server.telemetry.outcomes == {Outcome.COMPLETED: 3, ended: 1}
    assert not server.telemetry.errors
    errors = [error for error in server.telemetry.ends if error is not None]
    assert [type(error) for error in errors] == [TooSlow if fault == "deaf" else ConnectionLost]
    assert all(isinstance(error, PeerError) and error.connection is not None for error in errors)
    assert autojump_clock.current_time() < 60


async def test_an_error_of_another_connection_is_a_bug_of_this_handler() -> None:
    first: list[Connection] = []

    async def handler(connection: Connection) -> None:
        if not first:
            first.append(connection)
            await connection.send(b"first\n")
            await trio.sleep_forever()
        await connection.send(b"reading\n")
        await first[0].receive_line()

    async with (
        running(partial(serve, handler, limits=Limits(drain_timeout=0)), telemetry=StatsRecorder()) as server,
        await server.connect() as one,
        await server.connect() as two,
    ):
        await ask(one, b"", b"first\n")
        await ask(two, b"", b"reading\n")
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.socket.close()
        assert await two.receive_some() == b""
    [error] = server.telemetry.errors
    assert isinstance(error, ConnectionLost)
    assert error.connection is first[0]


async def test_an_error_of_a_closed_connection_is_a_bug_of_this_handler(autojump_clock: MockClock) -> None:
    """A handler that waits for something else learns at its end that its client was too slow."""
    slow: list[Connection] = []
    go = trio.Event()

    async def handler(connection: Connection) -> None:
        if not slow:
            slow.append(connection)
            await connection.send(b"slow\n")
            await go.wait()
            return
        await connection.receive_line()
        await slow[0].send(bytes(40_000_000))
        await slow[0].send(b"dropped")
        await slow[0].flush()
        await slow[0].send_eof()
        await connection.send(b"still here\n")
        go.set()

    limits = Limits(write_timeout=5)
    async with (
        running(partial(serve, handler, limits=limits), telemetry=StatsRecorder()) as server,
        await server.connect() as one,
        await server.connect() as two,
    ):
        await ask(one, b"", b"slow\n")
        await ask(two, b"a\n", b"still here\n")
    assert server.telemetry.outcomes == {Outcome.TIMED_OUT: 1, Outcome.COMPLETED: 1}
    assert autojump_clock.current_time() >= 5


@pytest.mark.parametrize("scheme", ["tcp", "unix"])
async def test_a_handler_is_told_whose_connection_it_was_though_the_client_is_gone(
    scheme: str, tmp_path: Path
) -> None:
    peers: list[Peer] = []

    async def handler(connection: Connection) -> None:
        peers.append(connection.peer)

    endpoint = "tcp://127.0.0.1:0" if scheme == "tcp" else f"unix:{tmp_path}/s"
    async with running(partial(serve, handler), endpoint, telemetry=Recorder()) as server:
        with server.plain_client() as client:
            here = client.getsockname()
            reset(client)
        while not peers:
            await trio.lowlevel.checkpoint()
    local = LocalPeer(os.getpid(), os.geteuid(), os.getegid())
    assert peers == [local if scheme == "unix" else InternetPeer(*here)]


class BrokenChannel(StreamChannel):
    """A channel that raises at one step of its end."""

    step: str

    async def close_gracefully(self) -> None:
        if self.step == "linger":
            boom()
        await super().close_gracefully()

    async def aclose(self) -> None:
        await super().aclose()
        if self.step == "close":
            boom()


class BrokenDriver(StreamDriver):
    """Makes such channels."""

    step: str

    def channel(self, sock: socket.socket) -> BrokenChannel:
        channel = BrokenChannel(
            trio.SocketStream(trio.socket.from_stdlib_socket(sock)), Limits(linger_timeout=1), Drain()
        )
        channel.step = self.step
        return channel


def sharing(step: str, limits: Limits, recorder: Recorder, nursery: trio.Nursery) -> Shared[NewSession]:
    """Return what the connections of a server share, whose channels raise at one step of their end."""
    trust, drain = Trust(), Drain()
    driver, admission = BrokenDriver(limits, drain), Admission(limits)
    driver.step = step
    return Shared(
        service=partial(LineSession, bytes.upper),
        limits=limits,
        trust=trust,
        telemetry=recorder,
        stats=ServerStats(),
        reports_each=False,
        counting=False,
        admission=admission,
        drain=drain,
        driver=driver,
        handshaker=Handshaker(limits, trust, drain, driver, admission),
        tasks=nursery,
    )


@pytest.mark.parametrize(("step", "outcome"), [("linger", Outcome.FAILED), ("close", Outcome.COMPLETED)])
async def test_an_error_while_closing_affects_no_other_connection(
    step: str, outcome: Outcome, nursery: trio.Nursery
) -> None:
    recorder = Recorder()
    shared = sharing(step, Limits(), recorder, nursery)
    ours, theirs = socket.socketpair()
    with ours:
        listener = ListenerStats(Endpoint.parse("unix:@x"))
        turn: FirstTurn[ServedConnection[Any]] = shared.driver.first_turn()
        connection = SessionConnection(shared, theirs, listener)
        connection.open("", turn, screening=False)
        connection.spawn()
        ours.send(b"a\n")
        ours.shutdown(socket.SHUT_WR)
        await trio.testing.wait_all_tasks_blocked()
        assert ours.recv(10) == b"A\n"
    assert [type(error) for error, *_ in recorder.failures] == [BoomError]
    assert {kind: count for kind, count in listener.ended.items() if count} == {outcome: 1}
    assert shared.admission.open == 0


@pytest.mark.parametrize("step", ["linger", "close"])
async def test_an_error_while_closing_a_refused_connection_affects_no_other(
    step: str, nursery: trio.Nursery
) -> None:
    recorder = Recorder()
    shared = sharing(step, Limits(max_connections=1), recorder, nursery)
    shared.admission.admit(None)
    ours, theirs = socket.socketpair()
    with ours:
        listener = ListenerStats(Endpoint.parse("unix:@x"))
        SessionConnection(shared, theirs, listener).open("", None, screening=False)
        ours.shutdown(socket.SHUT_WR)
        await trio.testing.wait_all_tasks_blocked()
        assert ours.recv(100) == REFUSAL
    assert [type(error) for error, *_ in recorder.failures] == [BoomError]
    assert shared.admission.refusing == 0
