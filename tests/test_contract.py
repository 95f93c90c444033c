"""What `docs/drivers.md` promises of every driver, with the same test over all of them."""

from __future__ import annotations

import select
import socket
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from typing import Any, TypeAlias

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from caas_trio import (
    Connection,
    ConnectionLost,
    LimitError,
    LineSession,
    LineTooLong,
    StateError,
    TooSlow,
    UsageError,
)
from caas_trio.core.telemetry import ServerStats
from caas_trio.drivers.channel import Channel
from caas_trio.drivers.choice import DriverName, make_driver, uses_hub
from caas_trio.drivers.drain import Drain
from caas_trio.drivers.machine import Machine
from caas_trio.drivers.requesthandler import Writer

from .certificates import server_context
from .support.streams import receive_all
from .test_connection import LIMITS, Pair, pair

__all__ = ["pair"]

_IN_A_ROW = 128

COUNTS: dict[str, Callable[[Connection], Awaitable[bytes]]] = {
    "receive_some(0)": lambda connection: connection.receive_some(0),
    "receive_some(-1)": lambda connection: connection.receive_some(-1),
    "receive_line_piece(0)": lambda connection: connection.receive_line_piece(0),
    "receive_line_piece(-5)": lambda connection: connection.receive_line_piece(-5),
    "receive_exactly(-1)": lambda connection: connection.receive_exactly(-1),
    "receive_until(b'')": lambda connection: connection.receive_until(b""),
}


#: Calls, and their names in errors.
Calls: TypeAlias = list[tuple[str, Callable[[Connection], Any]]]

WAITING_READS: Calls = [
    ("receive_line", Connection.receive_line),
    ("receive_line", anext),
    ("receive_line_piece", lambda connection: connection.receive_line_piece(5)),
    ("receive_until", lambda connection: connection.receive_until(b";")),
    ("receive_exactly", lambda connection: connection.receive_exactly(5)),
    ("receive_some", Connection.receive_some),
    ("skip", lambda connection: connection.skip(5)),
    ("wait_input_end", Connection.wait_input_end),
]
READS: Calls = [
    *WAITING_READS,
    ("take_line", Connection.take_line),
    ("take_exactly", lambda connection: connection.take_exactly(1)),
]
UPGRADES: Calls = [
    ("start_tls", lambda connection: connection.start_tls(server_context())),
    ("detach", Connection.detach),
]
SENDS: Calls = [
    ("send", lambda connection: connection.send(b"a")),
    ("flush", Connection.flush),
    ("send_eof", Connection.send_eof),
]


async def until_a_checkpoint(call: Callable[[], Awaitable[object]]) -> int:
    """Return how many calls pass before one is a checkpoint, by when a cancellation is noticed."""
    passed = 0
    with trio.CancelScope() as scope:
        scope.cancel()
        while True:
            await call()
            passed += 1
    assert scope.cancelled_caught
    return passed


@pytest.mark.parametrize(
    "read",
    [
        Connection.receive_line,
        anext,
        lambda connection: connection.receive_line_piece(9),
        lambda connection: connection.receive_until(b"\n"),
        lambda connection: connection.receive_exactly(2),
        lambda connection: connection.receive_some(2),
        lambda connection: connection.skip(2),
    ],
)
async def test_buffered_reads_checkpoint_regularly(
    read: Callable[[Connection], Awaitable[object]], pair: Pair, nursery: trio.Nursery
) -> None:
    await pair.client.send_all(b"a\n" * (3 * _IN_A_ROW))
    await read(pair.connection)
    for _ in range(2):
        assert await until_a_checkpoint(lambda: read(pair.connection)) == _IN_A_ROW
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("read", [Connection.receive_line, Connection.receive_some, anext])
async def test_reads_at_the_end_checkpoint_regularly(
    read: Callable[[Connection], Awaitable[object]], pair: Pair, nursery: trio.Nursery
) -> None:
    async def at_the_end() -> None:
        with suppress(StopAsyncIteration):
            assert await read(pair.connection) == b""

    await pair.client.send_eof()
    await at_the_end()
    for _ in range(2):
        assert await until_a_checkpoint(at_the_end) == _IN_A_ROW
    nursery.cancel_scope.cancel()


async def test_a_loop_over_lines_goes_on_after_a_checkpoint(pair: Pair, nursery: trio.Nursery) -> None:
    await pair.client.send_all(b"a\n" * (3 * _IN_A_ROW))
    await pair.client.send_eof()
    assert [line async for line in pair.connection] == [b"a\n"] * (3 * _IN_A_ROW)
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("by_server", [False, True])
async def test_a_loop_over_lines_is_one_reader_until_the_close(
    by_server: bool,  # noqa: FBT001
    pair: Pair,
    nursery: trio.Nursery,
) -> None:
    ended = trio.Event()

    async def read() -> None:
        with pytest.raises(StateError, match="closed"):
            await anext(pair.connection)
        ended.set()

    nursery.start_soon(read)
    await trio.testing.wait_all_tasks_blocked()
    with pytest.raises(StateError, match="busy"):
        await anext(pair.connection)
    if by_server:  # whose handler has returned
        pair.connection.abandon()
        await pair.connection._channel.aclose()
    else:
        await pair.connection.aclose()
    await ended.wait()
    with pytest.raises(StateError, match="closed"):
        await anext(pair.connection)
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("read", [Connection.receive_line, anext])
async def test_the_error_of_a_line_is_the_connections_whether_it_was_waited_for_or_not(
    read: Callable[[Connection], Awaitable[bytes]], pair: Pair, nursery: trio.Nursery
) -> None:
    pair.connection.max_line = 4
    await pair.client.send_all(b"hello\nok\nhello\nok\n")
    for _ in range(2):
        with pytest.raises(LineTooLong) as raised:
            await read(pair.connection)
        assert raised.value.connection is pair.connection
        assert await read(pair.connection) == b"ok\n"
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("reads", [False, True])
async def test_sends_checkpoint_regularly(pair: Pair, nursery: trio.Nursery, *, reads: bool) -> None:
    async def read() -> None:
        with suppress(StateError):  # a stream's send is cancelled, which closes the connection
            await pair.connection.receive_line()

    if reads:
        await pair.client.send_all(b"a part")
        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
    rounds, calls = (2, _IN_A_ROW) if pair.hub is not None else (1, 0)  # a stream's are checkpoints
    for _ in range(rounds):
        assert await until_a_checkpoint(lambda: pair.connection.send(b"a")) == calls
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("call", COUNTS)
async def test_a_count_out_of_range_is_a_limit_error(call: str, pair: Pair, nursery: trio.Nursery) -> None:
    await pair.client.send_all(b"hello\nworld\n")
    with pytest.raises(LimitError):
        await COUNTS[call](pair.connection)
    assert await pair.connection.receive_line() == b"hello\n"
    with pytest.raises(LimitError):
        await COUNTS[call](pair.connection)
    assert await pair.connection.receive_line() == b"world\n"
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("by_writer", [False, True])
async def test_flush_hands_buffered_data_to_the_kernel(
    by_writer: bool,  # noqa: FBT001
    pair: Pair,
    nursery: trio.Nursery,
) -> None:
    connection = pair.connection
    await pair.client.send_all(b"a\nb\n")
    assert await connection.receive_line() == b"a\n"
    await connection.send(b"A\n")  # which the hub buffers, as there is another line
    await (Writer(connection).flush() if by_writer else connection.flush())
    if pair.opened:
        assert pair.opened[0].recv(1, socket.MSG_PEEK)
    assert await pair.client.receive_some() == b"A\n"
    nursery.cancel_scope.cancel()


async def test_a_send_restarts_the_idle_timeout(
    pair: Pair, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    async def tick() -> None:
        for _ in range(5):
            await trio.sleep(LIMITS.idle_timeout * 0.7)  # the mock clock's
            await pair.connection.send(b"tick\n")

    nursery.start_soon(tick)
    with pytest.raises(TooSlow, match=r"^the idle timeout is over$"):
        await pair.connection.receive_line()
    quiet = 5 * 0.7 + 1
    assert trio.current_time() == pytest.approx(quiet * LIMITS.idle_timeout, abs=2.5)  # the hub's looks
    nursery.cancel_scope.cancel()


async def test_the_end_of_a_handler_ends_a_read_in_another_task(pair: Pair, nursery: trio.Nursery) -> None:
    connection = pair.connection
    raised: list[StateError] = []

    async def read() -> None:
        with pytest.raises(StateError) as caught:
            await connection.receive_line()
        raised.append(caught.value)

    nursery.start_soon(read)
    await trio.testing.wait_all_tasks_blocked()
    await connection.finish()
    assert [error.state for error in raised] == ["closed"]  # already: the server reads next
    for call in (
        connection.receive_some,
        connection.flush,
        connection.send_eof,
        lambda: connection.send(b""),
    ):
        with pytest.raises(StateError, match=r"closed$"):
            await call()
    await pair.client.send_eof()  # or the server lingers
    await pair.channel.close_gracefully()
    assert await pair.client.receive_some() == b""
    nursery.cancel_scope.cancel()


async def test_the_end_of_a_handler_ends_a_partial_read(pair: Pair, nursery: trio.Nursery) -> None:
    async def read() -> None:
        with pytest.raises(StateError, match=r"closed$"):
            await pair.connection.receive_line()

    with trio.fail_after(10):
        async with trio.open_nursery() as reading:
            reading.start_soon(read)
            await trio.testing.wait_all_tasks_blocked()
            await pair.client.send_all(b"a part")  # over memory, nothing runs before the end
            await pair.connection.finish()
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("kind", ["stream", "hub"])  # a memory stream takes all there is
async def test_the_end_of_a_handler_waits_for_a_send_in_another_task(
    kind: str, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    made = Pair(kind)
    if made.hub is not None:
        nursery.start_soon(made.hub.run)
    much = b"x" * 3_000_000
    refused: list[StateError] = []

    async def send_late() -> None:
        with pytest.raises(StateError) as caught:
            await made.connection.send(b"late")
        refused.append(caught.value)

    async def end() -> None:
        await made.connection.finish()
        await made.channel.close_gracefully()
        await made.channel.aclose()

    nursery.start_soon(made.connection.send, much)
    await trio.testing.wait_all_tasks_blocked()
    nursery.start_soon(send_late)  # waits for its turn, which the end takes away
    await trio.testing.wait_all_tasks_blocked()
    nursery.start_soon(end)
    heard = b"".join([chunk async for chunk in made.client])
    assert heard == much
    assert [error.state for error in refused] == ["closed"]
    await made.client.aclose()
    await trio.testing.wait_all_tasks_blocked()
    nursery.cancel_scope.cancel()
    made.close()


@pytest.mark.parametrize("call", ["flush", "send_eof"])
async def test_after_a_reset_every_call_raises_connection_lost(call: str, nursery: trio.Nursery) -> None:
    made = Pair("hub")
    assert made.hub is not None
    nursery.start_soon(made.hub.run)
    connection = made.connection
    await made.client.send_all(b"a\nb\n")
    assert await connection.receive_line() == b"a\n"
    await connection.send(b"A\n")  # which is buffered, as there is another line
    made.opened[1].shutdown(socket.SHUT_WR)
    with pytest.raises(ConnectionLost) as caught:
        await getattr(connection, call)()
    assert caught.value.connection is connection
    with pytest.raises(StateError, match=r"closed$"):
        await connection.receive_line()
    await made.client.aclose()
    nursery.cancel_scope.cancel()
    made.close()


@pytest.mark.parametrize("by_server", [False, True])
@pytest.mark.parametrize("kind", ["stream", "hub"])
@pytest.mark.parametrize(("name", "read"), WAITING_READS)
async def test_a_close_ends_every_read_and_its_error_names_it(
    name: str,
    read: Callable[[Connection], Awaitable[object]],
    kind: str,
    nursery: trio.Nursery,
    *,
    by_server: bool,
) -> None:
    made = Pair(kind)
    if made.hub is not None:
        nursery.start_soon(made.hub.run)

    async def wait() -> None:
        with pytest.raises(StateError, match=f"^{name} does not fit the state closed$"):
            await read(made.connection)

    async with trio.open_nursery() as reading:
        reading.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        if by_server:  # whose handler has returned
            made.connection.abandon()
            await made.channel.aclose()
        else:
            await made.connection.aclose()
    nursery.cancel_scope.cancel()
    await made.client.aclose()
    made.close()


@pytest.mark.parametrize("pair", ["memory", "hub"], indirect=True)
@pytest.mark.parametrize("buffered", [b"", b"buffered\n"])
async def test_the_error_of_a_call_that_does_not_fit_names_the_call(
    buffered: bytes, pair: Pair, nursery: trio.Nursery
) -> None:
    connection = pair.connection
    await pair.client.send_all(b"a\n" + buffered)
    await connection.receive_line()
    async with trio.open_nursery() as reading:
        reading.start_soon(connection.receive_exactly, 100)
        await trio.testing.wait_all_tasks_blocked()
        for name, call in [*READS, *UPGRADES]:
            with pytest.raises(StateError, match=f"^{name} does not fit the state busy: another task"):
                await call(connection)
        reading.cancel_scope.cancel()
    await connection.aclose()
    for name, call in [*READS, *UPGRADES, *SENDS]:
        with pytest.raises(StateError, match=f"^{name} does not fit the state closed$"):
            await call(connection)
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("kind", ["stream", "hub"])
async def test_a_send_from_another_handler_survives_the_close(kind: str, nursery: trio.Nursery) -> None:
    made, other = Pair(kind), Pair("memory")
    if made.hub is not None:
        nursery.start_soon(made.hub.run)
    went_on = trio.Event()

    async def send() -> None:
        other.connection.begin()
        await made.connection.send(b"x" * 3_000_000)
        went_on.set()

    nursery.start_soon(send)
    await trio.testing.wait_all_tasks_blocked()
    await made.connection.aclose()
    await went_on.wait()
    assert made.connection.failure is None
    nursery.cancel_scope.cancel()
    await made.client.aclose()
    made.close()


async def test_a_send_from_another_handler_comes_too_late_behind_the_end(
    pair: Pair, nursery: trio.Nursery
) -> None:
    await pair.connection.finish()
    Pair("memory").connection.begin()
    await pair.connection.send(b"late")
    await pair.channel.send_eof()
    assert await receive_all(pair.client) == b""
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("kind", ["stream", "hub"])
async def test_what_meets_a_send_from_another_handler_is_raised_in_its_own(
    kind: str, nursery: trio.Nursery
) -> None:
    made, other = Pair(kind), Pair("memory")

    async def send() -> None:
        other.connection.begin()
        await made.connection.send(b"x" * 3_000_000)

    async with trio.open_nursery() as sending:
        sending.start_soon(send)
        await trio.testing.wait_all_tasks_blocked()
        await made.client.aclose()
    with pytest.raises(ConnectionLost) as raised:
        await made.connection.receive_line()
    assert raised.value is made.connection.failure
    made.close()


def test_an_unknown_driver_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^'hut' is no driver; there are auto, hub and stream$"):
        uses_hub("hut")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"^the hub driver needs epoll, which this machine does not have$"):
        uses_hub("hub", has_epoll=False)


@pytest.mark.parametrize("counting", [True, False])
@pytest.mark.parametrize("has_epoll", [True, False])
async def test_the_driver_is_what_the_machine_has_and_counts_for_each_connection(
    nursery: trio.Nursery, *, has_epoll: bool, counting: bool
) -> None:
    """If it is to; those of a stream cost nothing more."""

    class Noting(Machine):
        def epoll(self) -> select.epoll:
            made.append("epoll")
            return super().epoll()

        def stream(self, sock: socket.socket) -> trio.abc.HalfCloseableStream:
            made.append("stream")
            return super().stream(sock)

    async def converse() -> None:
        await channel.converse(LineSession(bytes.upper))

    made: list[str] = []
    machine = Noting()
    machine.has_epoll = has_epoll
    ours, theirs = socket.socketpair()
    made_driver = make_driver("auto", LIMITS, Drain(), ServerStats(), counting=counting, machine=machine)
    with ours, closing(made_driver) as driver:
        nursery.start_soon(driver.run)
        channel = driver.channel(theirs)
        assert made == ["epoll" if has_epoll else "stream"]
        ours.send(b"a\n")  # which is there at the first read; what follows is waited for
        nursery.start_soon(converse)
        await trio.testing.wait_all_tasks_blocked()
        ours.send(b"bc\n")
        await trio.testing.wait_all_tasks_blocked()
        assert ours.recv(100) == b"A\nBC\n"
        expected = 5 if counting or not has_epoll else 0
        assert (channel.received, channel.sent) == (expected, expected)
        ours.shutdown(socket.SHUT_WR)
        await trio.testing.wait_all_tasks_blocked()
        await channel.aclose()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("name", ["stream", "hub"])
async def test_a_driver_counts_what_all_its_connections_move(
    name: DriverName, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    async def converse(channel: Channel) -> None:
        await channel.converse(LineSession(bytes.upper))

    stats = ServerStats()
    await trio.sleep(1000)  # the mock clock's
    with closing(make_driver(name, LIMITS, Drain(), stats, counting=True)) as driver:
        nursery.start_soon(driver.run)
        for lines in ([b"a\n", b"bc\n"], [b"def\n", b"g\n", b"h\n"]):
            ours, theirs = socket.socketpair()
            channel = driver.channel(theirs)
            with ours:
                async with trio.open_nursery() as conversing:
                    conversing.start_soon(converse, channel)
                    for line in lines:
                        ours.send(line)
                        await trio.testing.wait_all_tasks_blocked()
                    ours.shutdown(socket.SHUT_WR)
            await channel.aclose()
            assert (channel.received, channel.sent) == (len(b"".join(lines)),) * 2
        nursery.cancel_scope.cancel()
    assert (stats.received, stats.sent, stats.lines) == (13, 13, 5)
    assert 7 <= sum(stats.waits) <= 9  # the ends, too; the hub looks once more at what is over
    assert stats.waited < 1000
