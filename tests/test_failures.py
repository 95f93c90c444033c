"""What goes wrong in one conversation stays there: it is reported once, and the next client is served."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from caas_trio import (
    Connection,
    ConnectionLost,
    InternetPeer,
    Limits,
    LineTooLong,
    StateError,
    StreamRequestHandler,
    Trust,
)
from caas_trio.server.kinds import Handler

from .support.drivers import serve
from .support.recorder import Recorder
from .support.streams import receive, receive_all, reset, talk

#: Every test runs over both drivers.
pytestmark = pytest.mark.usefixtures("driver")

PROMPT = b"say something:\n"
#: More than the kernel takes for a client that does not read: 4 MiB and 6 MiB by default, as it grows them.
BIG = bytes(40_000_000)


@pytest.fixture(autouse=True)
def _quiet(capfd: pytest.CaptureFixture[str]) -> object:
    """Check that nothing is written to the terminal, whatever goes wrong."""
    yield
    assert capfd.readouterr() == ("", "")


class Running:
    """A server that runs, and what became of its handlers."""

    def __init__(self) -> None:
        self.path = ""
        self.address = ("", 0)
        self.stop = trio.Event()
        self.telemetry = Recorder()
        self._ended, self._ends = trio.open_memory_channel[BaseException | None](100)

    def watch(self, handler: Handler) -> Handler:
        """Return the handler, with a note made of how each of its calls ends."""

        async def watched(connection: Connection) -> None:
            try:
                await handler(connection)
            except BaseException as error:
                self._ended.send_nowait(error)
                raise
            self._ended.send_nowait(None)

        return watched

    async def next_end(self) -> BaseException | None:
        """Wait until a handler has ended, and return what it raised."""
        return await self._ends.receive()

    def connect(self) -> socket.socket:
        """Return a client's socket; not a checkpoint."""
        if self.path:
            client = socket.socket(socket.AF_UNIX)
            client.connect(self.path)
            return client
        return socket.create_connection(self.address)

    async def talk(self, data: bytes) -> bytes:
        """Return all that is heard by a client that sends `data` and ends its output."""
        return await talk(stream(self.connect()), data)


@dataclass(frozen=True, kw_only=True)
class Failing(Trust):
    """Fails while a connection is begun, once."""

    errors: list[Exception]

    @property
    def asks(self) -> bool:
        return True

    def asks_for(self, address: object) -> bool:
        if self.errors:
            raise self.errors.pop()
        return super().asks_for(address)


def stream(sock: socket.socket) -> trio.SocketStream:
    return trio.SocketStream(trio.socket.from_stdlib_socket(sock))


@asynccontextmanager
async def serving(
    handler: Handler | type[StreamRequestHandler],
    limits: Limits = Limits(linger_timeout=30),  # noqa: B008 - immutable
    endpoint: str = "tcp://127.0.0.1:0",
    trust: Trust = Trust(),  # noqa: B008 - immutable
) -> AsyncIterator[Running]:
    running = Running()
    watched = handler if isinstance(handler, type) else running.watch(handler)
    async with trio.open_nursery() as nursery:
        [bound] = await nursery.start(
            partial(
                serve,
                watched,
                endpoint,
                limits=limits,
                trust=trust,
                telemetry=running.telemetry,
                stop=running.stop,
            )
        )
        running.path, running.address = bound.path, (bound.host, bound.port)
        yield running
        running.stop.set()


async def fragile(connection: Connection) -> None:
    """Answer lines with capitals; go wrong when asked to."""
    await connection.send(PROMPT)
    async for line in connection:
        match line:
            case b"bug\n":
                raise ZeroDivisionError("a bug")
            case b"bugs\n":
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(fail)
                    nursery.start_soon(fail)
            case b"a bug in a nursery\n":
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(fail)
            case b"bug and peer's fault\n":
                raise ExceptionGroup("both", [ConnectionLost(), ZeroDivisionError()])
            case b"peer's fault\n":
                raise LineTooLong(1)
            case b"bug from peer's fault\n":
                raise RuntimeError from ConnectionLost()
            case b"big\n":
                await connection.send(BIG)
            case _:
                await connection.send(line.upper())


async def fail() -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("said", "reported"),
    [
        (b"bug\n", ZeroDivisionError),
        (b"bugs\n", ExceptionGroup),
        (b"a bug in a nursery\n", ZeroDivisionError),
        (b"bug and peer's fault\n", ZeroDivisionError),
        (b"bug from peer's fault\n", RuntimeError),
    ],
)
@pytest.mark.parametrize("half_closed", [False, True])
async def test_a_bug_in_a_handler_ends_its_connection_and_is_reported(
    said: bytes,
    reported: type[Exception],
    half_closed: bool,  # noqa: FBT001
) -> None:
    async with serving(fragile) as server, stream(server.connect()) as bystander:
        await receive(bystander, PROMPT)
        async with stream(server.connect()) as client:
            host, port = client.socket.getsockname()
            await client.send_all(b"a\n" + said + b"not read\n")
            if half_closed:
                await client.send_eof()
            assert await receive_all(client) == PROMPT + b"A\n"
        [(error, endpoint, peer)] = server.telemetry.failures
        assert type(error) is reported
        assert (endpoint.host, endpoint.port) == server.address
        assert peer == InternetPeer(host, port)
        await bystander.send_all(b"b\n")
        await receive(bystander, b"B\n")
        assert await server.talk(b"next\n") == PROMPT + b"NEXT\n"
    assert len(server.telemetry.failures) == 1


async def test_a_peer_error_is_no_handler_failure() -> None:
    async with serving(fragile) as server:
        assert await server.talk(b"peer's fault\nnot read\n") == PROMPT
        assert isinstance(await server.next_end(), LineTooLong)
        assert await server.talk(b"next\n") == PROMPT + b"NEXT\n"
    assert not server.telemetry.failures


async def test_handlers_that_hang_at_the_drain_are_cancelled_and_reported_once() -> None:
    async def hang(connection: Connection) -> None:
        await connection.send(PROMPT)
        await trio.sleep_forever()

    async with serving(hang, Limits(drain_timeout=0.01)) as server:
        clients = [stream(server.connect()) for _ in range(3)]
        for client in clients:
            await receive(client, PROMPT)
        server.stop.set()
        for client in clients:
            assert await receive_all(client) == b""
            await client.aclose()
        assert [type(await server.next_end()) for _ in clients] == [trio.Cancelled] * 3
    assert server.telemetry.drain_timeouts == 1
    assert not server.telemetry.failures


async def test_a_handler_that_cancels_its_read_loses_no_data() -> None:
    async def impatient(connection: Connection) -> None:
        await connection.send(PROMPT)
        assert await connection.receive_some(1) == b"a"
        with trio.CancelScope() as scope:
            scope.cancel()
            await connection.receive_line()
        assert scope.cancelled_caught
        await connection.send(b"go on:\n")
        await connection.send(await connection.receive_line())

    async with serving(impatient) as server:
        for _ in range(2):
            async with stream(server.connect()) as client:
                await receive(client, PROMPT)
                await client.send_all(b"a line")
                await receive(client, b"go on:\n")
                await client.send_all(b" in two\n")
                assert await receive_all(client) == b" line in two\n"
    assert not server.telemetry.failures


async def test_a_handler_that_cancels_itself_ends_its_connection_only() -> None:
    async def gone(connection: Connection) -> None:
        await connection.send(PROMPT)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.receive_line)
            nursery.cancel_scope.cancel()

    async with serving(gone) as server:
        for _ in range(2):
            assert await server.talk(b"not read\n") == PROMPT
            assert await server.next_end() is None
    assert not server.telemetry.failures


async def test_a_handler_that_cancels_its_own_send_cannot_go_on_and_is_reported_once() -> None:
    async def torn(connection: Connection) -> None:
        line = await connection.receive_line()
        if line == b"tear it\n":
            async with trio.open_nursery() as nursery:
                nursery.start_soon(connection.send, BIG)
                await trio.testing.wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()
        await connection.send(b"after a part of something else\n")

    async with serving(torn) as server, stream(server.connect()) as client:
        await client.send_all(b"tear it\n")
        end = await server.next_end()
        assert isinstance(end, StateError)
        assert str(end) == "send does not fit the state closed"
        assert await server.talk(b"next\n") == b"after a part of something else\n"
        [(error, _, peer)] = server.telemetry.failures
        assert error is end
        assert peer == InternetPeer(*client.socket.getsockname())


@pytest.mark.parametrize("case", ["a read is cancelled", "an end is cancelled", "another task sends"])
async def test_a_failure_leaves_buffered_replies_whole(tmp_path: Path, case: str) -> None:
    go_on = trio.Event()

    async def eager(connection: Connection) -> None:
        for _ in range(int(await connection.receive_line())):
            await connection.send(bytes(10_000))
        async with trio.open_nursery() as nursery:
            ending = case == "an end is cancelled"
            nursery.start_soon(connection.send_eof if ending else connection.receive_line)
            await go_on.wait()
            if case == "another task sends":
                await connection.send(b"end\n")
            else:
                nursery.cancel_scope.cancel()
        if case == "a read is cancelled":
            await connection.send(b"end\n")

    with ExitStack() as opened:
        async with serving(eager, endpoint=f"unix:{tmp_path}/caas.sock") as server:
            # For one of these the kernel takes a part of what goes out first.
            clients = [stream(opened.enter_context(server.connect())) for _ in range(60)]
            for replies, client in enumerate(clients):
                await client.send_all(b"%d\nhalf a" % replies)
            await trio.testing.wait_all_tasks_blocked()
            go_on.set()
            await trio.testing.wait_all_tasks_blocked()
            for replies, client in enumerate(clients):
                await receive(client, bytes(replies * 10_000))
                if case != "an end is cancelled":
                    await receive(client, b"end\n")
                await trio.testing.wait_all_tasks_blocked()  # which never is, where the hub goes in circles
                await client.send_all(b" line\n")
                assert await receive_all(client) == b""
                await client.aclose()
    assert not server.telemetry.failures


@pytest.mark.parametrize("state", ["before the prompt", "in a line", "during a reply", "after half-close"])
async def test_a_reset_is_reported_as_a_lost_connection(state: str) -> None:
    async with serving(fragile) as server, stream(server.connect()) as bystander:
        await receive(bystander, PROMPT)
        sock = server.connect()
        if state == "before the prompt":
            reset(sock)  # with no checkpoint since it connected: the server has not seen it yet
        else:
            client = stream(sock)
            await receive(client, PROMPT)
            await client.send_all({"in a line": b"a\nhalf"}.get(state, b"a\nbig\n"))
            if state == "after half-close":
                await client.send_eof()
            await receive(client, b"A\n")
            reset(client)
        assert isinstance(await server.next_end(), ConnectionLost)
        await bystander.send_all(b"b\n")
        await receive(bystander, b"B\n")
        assert await server.talk(b"next\n") == PROMPT + b"NEXT\n"
    assert not server.telemetry.failures


async def test_an_unread_last_reply_ends_that_connection_only(tmp_path: Path) -> None:
    async def talkative(connection: Connection) -> None:
        for _ in range(int(await connection.receive_line())):
            await connection.send(bytes(10_000))

    limits = Limits(write_timeout=0.01, linger_timeout=0.01)
    with ExitStack() as opened:
        async with serving(talkative, limits, f"unix:{tmp_path}/caas.sock") as server:
            # One of these fills the kernel's buffer just so that only the end of the replies is left.
            for replies in range(1, 60):
                client = opened.enter_context(server.connect())
                client.sendall(b"%d\nmore\n" % replies)
            for _ in range(1, 60):
                await server.next_end()
            assert await server.talk(b"1\n") == bytes(10_000)
    assert not server.telemetry.failures


async def test_finish_is_called_after_every_failure() -> None:
    finished: list[str] = []

    class Fragile(StreamRequestHandler):
        async def setup(self) -> None:
            await self.wfile.write(PROMPT)

        async def handle(self) -> None:
            await fragile(self.connection)

        async def finish(self) -> None:
            finished.append(self.client_address[0])

    async with serving(Fragile) as server:
        assert await server.talk(b"bug\n") == PROMPT + PROMPT
        reset(server.connect())
        assert await server.talk(b"next\n") == PROMPT + PROMPT + b"NEXT\n"
    assert finished == ["127.0.0.1"] * 2
    assert [type(error) for error, _, _ in server.telemetry.failures] == [ZeroDivisionError]


async def test_a_failure_while_opening_ends_that_connection_only() -> None:
    async def echo(connection: Connection) -> None:
        async for line in connection:
            await connection.send(line)

    async with serving(echo, trust=Failing(errors=[RuntimeError("planted")])) as running:
        assert await running.talk(b"") == b""
        assert await running.talk(b"line\n") == b"line\n"
        assert [str(error) for error, *_ in running.telemetry.failures] == ["planted"]
