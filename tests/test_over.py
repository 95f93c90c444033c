"""`Connection.over`: the same reads and limits over any stream of trio's, which can be had back."""

from __future__ import annotations

import operator
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

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
    LineTooLong,
    LocalPeer,
    StateError,
    Terminator,
    TooMuchUnsent,
    TooSlow,
    current_connection,
    serve,
)

from .certificates import HOST, client_context, server_context
from .support.streams import connect as connect_to

SHOUTER = """
import sys
for line in sys.stdin:
    sys.stdout.write(line.upper())
    sys.stdout.flush()
"""


@asynccontextmanager
async def child() -> AsyncIterator[Connection]:
    """Yield a connection over the pipes of a process that shouts."""
    command = [sys.executable, "-c", SHOUTER]
    async with trio.open_nursery() as nursery:
        start = partial(trio.run_process, command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        process: trio.Process = await nursery.start(start)
        assert process.stdio is not None
        async with Connection.over(process.stdio) as connection:
            yield connection


async def test_a_process_is_a_line_peer() -> None:
    async with child() as connection:
        await connection.send(b"one\ntwo\n")
        assert await connection.receive_line() == b"ONE\n"
        assert await connection.receive_line() == b"TWO\n"
        await connection.send_eof()
        assert await connection.receive_line() == b""


async def test_over_trios_own_tls_the_end_is_orderly() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    server = trio.SSLStream(theirs, server_context(), server_side=True)
    client = trio.SSLStream(ours, client_context(), server_hostname=HOST)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.do_handshake)
        await client.do_handshake()
    heard = []

    async def listen() -> None:
        async with Connection.over(server) as other:
            heard.extend([line async for line in other])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen)
        async with Connection.over(client) as connection:
            await connection.send(b"hello\n")
            await connection.send_eof()  # which such a stream cannot do by itself
    assert heard == [b"hello\n"]


async def test_a_connection_has_the_given_endpoint_and_peer() -> None:
    ours, _ = trio.testing.memory_stream_pair()
    endpoint, peer = Endpoint.parse("tcp://192.0.2.7:7"), InternetPeer("192.0.2.7", 7)
    connection = Connection.over(ours, endpoint=endpoint, peer=peer, terminator=Terminator.CRLF)
    assert (connection.endpoint, connection.peer) == (endpoint, peer)
    assert connection.terminator is Terminator.CRLF
    assert not connection.draining
    plain = Connection.over(ours)
    assert plain.peer == LocalPeer()
    assert plain.certificate is None
    assert plain.terminator is Terminator.LF
    with pytest.raises(StateError, match=r"^endpoint does not fit the state unknown$"):
        _ = plain.endpoint


async def test_limits_and_timeouts_hold_without_a_server(autojump_clock: MockClock) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    connection = Connection.over(ours, limits=Limits(max_line=3, idle_timeout=9, line_timeout=4))
    await theirs.send_all(b"abcd\nabc")
    with pytest.raises(LineTooLong):
        await connection.receive_line()
    with pytest.raises(TooSlow, match="line timeout"):
        await connection.receive_line()
    assert trio.current_time() == pytest.approx(4)
    await theirs.send_all(b"\n")
    assert await connection.receive_line() == b"abc\n"
    with pytest.raises(TooSlow, match="idle timeout"):
        await connection.receive_line()
    assert trio.current_time() == pytest.approx(13)


async def test_a_cancelled_read_has_taken_nothing(autojump_clock: MockClock) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    connection = Connection.over(ours)
    await theirs.send_all(b"ab")
    with trio.move_on_after(1):
        await connection.receive_line()
    await theirs.send_all(b"c\n")
    assert await connection.receive_line() == b"abc\n"


async def test_the_stream_comes_back_with_what_is_unread() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    connection = Connection.over(ours)
    await theirs.send_all(b"UPGRADE\nbinary")
    assert await connection.receive_line() == b"UPGRADE\n"
    stream, unread = connection.detach()
    assert (stream, unread) == (ours, b"binary")
    with pytest.raises(StateError, match=r"closed$"):
        await connection.receive_line()
    with pytest.raises(StateError, match=r"^detach does not fit the state closed$"):
        connection.detach()
    async with connection:
        pass
    await connection.aclose()
    await stream.send_all(b"still open")
    assert await theirs.receive_some() == b"still open"


async def test_a_stream_that_is_in_use_does_not_come_back() -> None:
    ours, _ = trio.testing.memory_stream_pair()
    connection = Connection.over(ours)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.receive_line)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(StateError, match="busy"):
            connection.detach()
        nursery.cancel_scope.cancel()


async def test_a_connection_of_the_hub_has_no_stream_to_give_back() -> None:
    refused: list[str] = []

    async def handler(connection: Connection) -> None:
        with pytest.raises(StateError) as raised:
            connection.detach()
        refused.append(str(raised.value))

    async with trio.open_nursery() as nursery:
        start = partial(serve, handler, "tcp://127.0.0.1:0", driver="hub")
        [endpoint] = await nursery.start(start)
        async with await connect_to(endpoint) as client:
            assert await client.receive_some() == b""
        nursery.cancel_scope.cancel()
    assert refused == ["detach does not fit the state not over a stream"]


async def test_at_the_end_the_other_sides_end_is_waited_for(autojump_clock: MockClock) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    async with Connection.over(ours, limits=Limits(linger_timeout=7)) as connection:
        await connection.send(b"bye\n")
    assert trio.current_time() == pytest.approx(7)
    assert await theirs.receive_some() == b"bye\n"
    assert await theirs.receive_some() == b""
    with pytest.raises(trio.BrokenResourceError):
        await theirs.send_all(b"x")


async def test_a_peer_that_is_gone_by_the_end_is_no_error() -> None:
    ours, theirs = (trio.SocketStream(trio.socket.from_stdlib_socket(sock)) for sock in socket.socketpair())
    async with Connection.over(ours) as connection:
        await connection.send(b"unread")
        await theirs.aclose()  # a reset, for that


async def test_what_was_posted_in_vain_is_raised_at_the_end() -> None:
    ours, _ = trio.testing.memory_stream_pair()
    with pytest.raises(TooMuchUnsent):
        async with Connection.over(ours, limits=Limits(max_unsent=3)) as connection:
            assert not connection.post(b"four")


async def test_in_the_handler_of_a_server_its_errors_are_the_callers() -> None:
    """As a relay's: only errors of a *client* of the server are another connection's."""
    ours, theirs = trio.testing.memory_stream_pair()
    served = Connection.over(trio.testing.memory_stream_pair()[0])
    current_connection.set(served)
    connection = Connection.over(ours)
    await theirs.aclose()
    with pytest.raises(ConnectionLost):
        await connection.send(b"x")


class AsStream(trio.abc.HalfCloseableStream):
    """A connection in the words of a stream of trio's, for trio's own checks of such streams."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.connection = Connection.over(stream, limits=Limits(linger_timeout=0))
        self.ended = False
        self.closed = False

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        if self.ended:
            raise trio.ClosedResourceError
        await self._call(partial(self.connection.send, data))

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if max_bytes is not None and operator.index(max_bytes) < 1:
            raise ValueError(max_bytes)
        return await self._call(partial(self.connection.receive_some, max_bytes or 65536)) or b""

    async def send_eof(self) -> None:
        self.ended = True
        await self._call(self.connection.send_eof)

    async def wait_send_all_might_not_block(self) -> None:
        await self._call(partial(self.connection.send, b""))

    async def aclose(self) -> None:
        self.closed = True
        await self.connection.aclose()
        await trio.lowlevel.checkpoint()

    async def _call(self, call: Callable[[], Awaitable[bytes | None]]) -> bytes | None:
        await trio.lowlevel.checkpoint()
        try:
            return await call()
        except StateError as error:
            if error.state.startswith("busy"):
                raise trio.BusyResourceError from error
            if self.closed:
                raise trio.ClosedResourceError from error
            raise trio.BrokenResourceError from error  # by a send that has failed
        except ConnectionLost as error:
            raise trio.BrokenResourceError from error


async def test_trios_own_checks_find_nothing() -> None:
    async def make() -> tuple[AsStream, AsStream]:
        ours, theirs = trio.testing.memory_stream_pair()
        return AsStream(ours), AsStream(theirs)

    await trio.testing.check_half_closeable_stream(make, None)


async def test_two_ends_talk_lines() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    async with Connection.over(ours) as client, Connection.over(theirs) as server:
        await client.send(b"a\n")
        await client.send_eof()
        assert [line async for line in server] == [b"a\n"]
        with suppress(ConnectionLost):
            await server.send_eof()
