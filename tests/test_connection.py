"""`Connection`: lines, counts and delimiters on one buffer, over every kind of channel."""

from __future__ import annotations

import itertools
import math
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from caas_trio import (
    Connection,
    ConnectionLost,
    Endpoint,
    InputEnded,
    InternetPeer,
    LimitError,
    Limits,
    LineBuffer,
    LineTooLong,
    Oversize,
    StateError,
    TooSlow,
)
from caas_trio.drivers.channel import Channel
from caas_trio.drivers.drain import Drain
from caas_trio.drivers.hub import Hub
from caas_trio.drivers.stream import StreamChannel
from caas_trio.drivers.tlsstream import TlsStream
from caas_trio.drivers.wanted import WantedLine, WantedSome

from .certificates import hub_over_tls, over_tls
from .models import capitals
from .support.streams import receive

ENDPOINT = Endpoint.parse("tcp://127.0.0.1:7")
PEER = InternetPeer("127.0.0.1", 5)
KINDS = ["memory", "stream", "hub", "stream-tls", "hub-tls"]
LIMITS = Limits(max_line=20, idle_timeout=100, line_timeout=40, write_timeout=20)


class Pair:
    """A connection, and the client's side of it."""

    opened: list[socket.socket]

    def __init__(self, kind: str, limits: Limits = LIMITS) -> None:
        self.drain = Drain()
        self.opened = []
        self.hub: Hub | None = None
        self.channel: Channel
        self.client: trio.abc.HalfCloseableStream
        if kind == "memory":
            self.client, server = trio.testing.memory_stream_pair()
            self.channel = StreamChannel(server, limits, self.drain)
        else:
            self.opened = list(socket.socketpair())
            ours, theirs = self.opened
            self.client = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
            if kind.startswith("stream"):
                side: trio.abc.HalfCloseableStream = trio.SocketStream(trio.socket.from_stdlib_socket(theirs))
                if kind == "stream-tls":
                    self.client, side = over_tls(self.client, side)
                self.channel = StreamChannel(side, limits, self.drain)
            else:
                self.hub = Hub(limits, self.drain)
                self.channel = channel = self.hub.channel(theirs)
                if kind == "hub-tls":
                    self.client = hub_over_tls(self.client, channel)
        self.connection = Connection(self.channel, ENDPOINT, PEER, limits, self.drain)

    def close(self) -> None:
        for sock in self.opened:
            sock.close()
        if self.hub is not None:
            self.hub.close()


@contextmanager
def opened_pair(kind: str, nursery: trio.Nursery) -> Iterator[Pair]:
    """Yield a pair; where there is a hub, it runs. Close the pair's sockets at the end."""
    pair = Pair(kind)
    if pair.hub is not None:
        nursery.start_soon(pair.hub.run)
    yield pair
    pair.close()


@pytest.fixture(params=KINDS)
def pair(request: pytest.FixtureRequest, nursery: trio.Nursery) -> Iterator[Pair]:
    """Run the test once over each kind of channel."""
    with opened_pair(str(request.param), nursery) as opened:
        yield opened


async def test_lines_counts_and_delimiters_mix_without_losing_a_byte(
    pair: Pair, nursery: trio.Nursery
) -> None:
    await pair.client.send_all(b"PUT 5\nhel\nlrest\r\n.\r\nlast\ntail")
    await pair.client.send_eof()
    connection = pair.connection
    assert await connection.receive_line() == b"PUT 5\n"
    assert await connection.receive_exactly(5) == b"hel\nl"
    assert await connection.receive_until(b"\r\n.\r\n") == b"rest\r\n.\r\n"
    assert await connection.receive_some(2) == b"la"
    assert await connection.receive_line_piece(1) == b"s"
    assert await connection.receive_line_piece(100) == b"t\n"
    assert await connection.receive_line() == b"tail"
    assert await connection.receive_line() == b""
    assert await connection.receive_until(b"x") == b""
    assert await connection.receive_some() == b""
    assert await connection.receive_line_piece(1) == b""
    assert await connection.receive_exactly(0) == b""
    nursery.cancel_scope.cancel()


async def test_lines_come_one_by_one_whole_until_the_end(pair: Pair, nursery: trio.Nursery) -> None:
    async def drip() -> None:
        for byte in b"one\r\n\ntwo\ntail":
            await pair.client.send_all(bytes([byte]))
            await trio.testing.wait_all_tasks_blocked()
        await pair.client.send_eof()

    nursery.start_soon(drip)
    assert [line async for line in pair.connection] == [b"one\r\n", b"\n", b"two\n", b"tail"]
    nursery.cancel_scope.cancel()


async def test_a_loop_over_lines_raises_what_a_call_does_and_may_go_on(pair: Pair) -> None:
    await pair.client.send_all(b"one\n" + b"x" * 21 + b"\ntwo\n")
    assert await anext(pair.connection) == b"one\n"
    with pytest.raises(LineTooLong):
        await anext(pair.connection)
    assert await anext(pair.connection) == b"two\n"
    await pair.connection.aclose()
    with pytest.raises(StateError, match=r"^receive_line does not fit the state closed$"):
        await anext(pair.connection)


async def test_an_oversize_line_is_raised_once_and_the_next_line_is_whole(
    pair: Pair, nursery: trio.Nursery
) -> None:
    await pair.client.send_all(b"x" * 21)
    with pytest.raises(LineTooLong) as caught:
        await pair.connection.receive_line()
    assert caught.value.limit == 20
    await pair.client.send_all(b"x" * 50 + b"\nnext\n")
    assert await pair.connection.receive_line() == b"next\n"
    await pair.client.send_all(b"y" * 30 + b"..z")
    with pytest.raises(LineTooLong):
        await pair.connection.receive_until(b"..")
    assert await pair.connection.receive_some() == b"z"
    with pytest.raises(LimitError):
        await pair.connection.receive_until(b"")
    nursery.cancel_scope.cancel()


async def test_an_invalid_count_is_refused_and_takes_nothing(pair: Pair, nursery: trio.Nursery) -> None:
    connection = pair.connection
    await pair.client.send_all(b".hello\nworld\n")
    assert await connection.receive_some(1) == b"."
    assert await connection.receive_line() == b"hello\n"
    with pytest.raises(LimitError, match=r"^count is -1; it must be 0 or more$"):
        await connection.receive_exactly(-1)
    for read in (connection.receive_some, connection.receive_line_piece):
        with pytest.raises(LimitError, match=r"^max_bytes is 0; it must be 1 or more$"):
            await read(0)
    assert await connection.receive_exactly(0) == b""
    assert await connection.receive_line() == b"world\n"
    nursery.cancel_scope.cancel()


async def test_a_short_read_is_raised_and_the_rest_stays(pair: Pair, nursery: trio.Nursery) -> None:
    await pair.client.send_all(b"abc")
    await pair.client.send_eof()
    with pytest.raises(InputEnded, match=r"^the input ended after 3 of 5 bytes$"):
        await pair.connection.receive_exactly(5)
    assert await pair.connection.receive_exactly(3) == b"abc"
    nursery.cancel_scope.cancel()


READS: dict[str, Callable[[Connection], Awaitable[bytes]]] = {
    "receive_line": lambda connection: connection.receive_line(),
    "receive_until": lambda connection: connection.receive_until(b";"),
    "receive_exactly": lambda connection: connection.receive_exactly(5),
    "receive_some": lambda connection: connection.receive_some(),
    "receive_line_piece": lambda connection: connection.receive_line_piece(5),
}


async def test_a_read_sends_nothing(pair: Pair, nursery: trio.Nursery) -> None:
    """Neither of what is there nor of what is waited for, nor at the end."""

    async def read() -> None:
        for _ in range(2):
            for read_some in READS.values():
                await read_some(pair.connection)
            await pair.connection.skip(3)
        await pair.connection.wait_input_end()
        assert await pair.connection.receive_line() == b""
        await pair.connection.send_eof()

    pieces = [b"a\n", b"b;", b"12345", b"c", b"d\n", b"xyz"]
    await pair.client.send_all(b"".join(pieces[:3]))
    nursery.start_soon(read)
    for piece in [*pieces[3:], *pieces]:
        await trio.testing.wait_all_tasks_blocked()
        await pair.client.send_all(piece)
    await pair.client.send_eof()
    assert await pair.client.receive_some() == b""
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("name", READS)
async def test_a_cancelled_read_has_taken_nothing(
    name: str, pair: Pair, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    sent = b"" if name == "receive_some" else b"abc"
    await pair.client.send_all(sent)
    with trio.move_on_after(5) as wait:
        await READS[name](pair.connection)
    assert wait.cancelled_caught
    await pair.client.send_all(b"de;\n")
    await pair.client.send_eof()
    assert await pair.connection.receive_line() == sent + b"de;\n"
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("name", READS)
async def test_one_task_reads_at_a_time(name: str, pair: Pair, nursery: trio.Nursery) -> None:
    nursery.start_soon(READS["receive_line"], pair.connection)
    await trio.testing.wait_all_tasks_blocked()
    with pytest.raises(StateError, match=f"^{name} does not fit the state busy: another task"):
        await READS[name](pair.connection)
    nursery.cancel_scope.cancel()


async def stuck(_: bytes) -> None:
    await trio.sleep_forever()


@pytest.fixture
def stuck_pair(pair: Pair) -> Pair:
    """Block sends for ever: a memory stream has no bound of its own."""
    if not pair.opened:
        pair.channel._stream.send_stream.send_all = stuck  # type: ignore[attr-defined]
    return pair


MUCH = b"x" * 3_000_000


@pytest.mark.parametrize("kind", ["stream", "hub"])  # a memory stream takes all there is
async def test_sends_of_several_tasks_go_out_whole_and_in_order(kind: str, nursery: trio.Nursery) -> None:
    pair = Pair(kind)
    if pair.hub is not None:
        nursery.start_soon(pair.hub.run)
    await pair.client.send_all(b"a\nb\n")
    await pair.connection.receive_line()  # with another one, replies are buffered
    for data in (b"a" * 3_000_000, b"b", b"c" * 3_000_000, b"d"):
        nursery.start_soon(pair.connection.send, data)
        await trio.testing.wait_all_tasks_blocked()
    nursery.start_soon(pair.connection.send_eof)
    heard = b"".join([chunk async for chunk in pair.client])
    assert heard == b"a" * 3_000_000 + b"b" + b"c" * 3_000_000 + b"d"
    nursery.cancel_scope.cancel()
    pair.close()


@pytest.mark.parametrize("kind", ["stream", "hub"])
async def test_what_is_sent_is_what_it_was_when_send_was_called(
    kind: str, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    pair = Pair(kind)
    data = bytearray(MUCH)
    nursery.start_soon(pair.connection.send, memoryview(data).cast("I"))
    await trio.testing.wait_all_tasks_blocked()
    data[:] = bytes(len(data))
    with trio.fail_after(LIMITS.write_timeout / 2):
        await receive(pair.client, MUCH)
    nursery.cancel_scope.cancel()
    pair.close()


@pytest.mark.parametrize("kind", ["stream", "hub"])
async def test_a_cancelled_wait_to_send_leaves_the_order(
    kind: str, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    pair = Pair(kind)
    nursery.start_soon(pair.connection.send, MUCH)
    await trio.testing.wait_all_tasks_blocked()
    with trio.move_on_after(5) as waiting:
        await pair.connection.send(b"never")
    assert waiting.cancelled_caught

    async def end() -> None:
        await pair.connection.send(b"last")
        await pair.connection.send_eof()

    nursery.start_soon(end)
    assert b"".join([chunk async for chunk in pair.client]) == MUCH + b"last"
    pair.close()


async def test_a_cancelled_send_closes_the_connection(
    stuck_pair: Pair, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    connection = stuck_pair.connection
    with trio.move_on_after(5) as wait:
        await connection.send(MUCH)
    assert wait.cancelled_caught
    for call in (connection.send(b"y"), connection.send_eof(), connection.receive_line()):
        with pytest.raises(StateError, match=r"does not fit the state closed$"):
            await call
    nursery.cancel_scope.cancel()


async def test_a_client_that_does_not_read_hits_the_write_timeout(
    stuck_pair: Pair, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    with pytest.raises(TooSlow, match=r"^the write timeout is over$"):
        await stuck_pair.connection.send(MUCH)
    assert trio.current_time() == pytest.approx(LIMITS.write_timeout)
    nursery.cancel_scope.cancel()


async def test_a_reset_is_a_lost_connection(pair: Pair, nursery: trio.Nursery) -> None:
    await pair.client.aclose()
    with pytest.raises(ConnectionLost, match=r"^the connection is lost$"):
        await pair.connection.send(MUCH)
    nursery.cancel_scope.cancel()


async def test_the_output_can_end_before_the_input(pair: Pair, nursery: trio.Nursery) -> None:
    await pair.connection.send(b"bye\n")
    await pair.connection.send_eof()
    assert b"".join([chunk async for chunk in pair.client]) == b"bye\n"
    await pair.client.send_all(b"more\n")
    assert await pair.connection.receive_line() == b"more\n"
    nursery.cancel_scope.cancel()


async def test_a_silent_client_hits_the_idle_timeout(
    pair: Pair, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    with pytest.raises(TooSlow, match=r"^the idle timeout is over$"):
        await pair.connection.receive_line()
    assert trio.current_time() == pytest.approx(LIMITS.idle_timeout, abs=1)  # the hub looks once a second
    nursery.cancel_scope.cancel()


MIXED_READS: dict[str, Callable[[Connection, int], Awaitable[bytes]]] = {
    "line": lambda connection, _: connection.receive_line(),
    "until": lambda connection, _: connection.receive_until(b";"),
    "count": lambda connection, count: connection.receive_exactly(count),
    "some": lambda connection, count: connection.receive_some(count),
    "piece": lambda connection, count: connection.receive_line_piece(count),
}

SLOW_READS: dict[str, Callable[[Connection], Awaitable[bytes]]] = {
    "receive_line": READS["receive_line"],
    "receive_until": READS["receive_until"],
    "receive_exactly": lambda connection: connection.receive_exactly(19),
}


@pytest.mark.parametrize("name", SLOW_READS)
async def test_single_bytes_do_not_extend_the_line_timeout(
    name: str, pair: Pair, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    async def drip() -> None:
        with suppress(trio.BrokenResourceError):
            while True:
                await trio.sleep(9)  # the mock clock's
                await pair.client.send_all(b"x")

    nursery.start_soon(drip)
    with pytest.raises(TooSlow) as caught:
        await SLOW_READS[name](pair.connection)
    assert caught.value.limit == "line_timeout"
    assert trio.current_time() == pytest.approx(9 + LIMITS.line_timeout)
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("name", MIXED_READS)
async def test_single_bytes_of_an_oversize_line_do_not_extend_it_either(
    name: str, pair: Pair, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    async def drip() -> None:
        with suppress(trio.BrokenResourceError):
            for _ in range(20):
                await trio.sleep(9)  # the mock clock's
                await pair.client.send_all(b"x")

    await pair.client.send_all(b"x" * (LIMITS.max_line + 1))
    with pytest.raises(LineTooLong):
        await pair.connection.receive_line()
    nursery.start_soon(drip)
    with pytest.raises(TooSlow) as caught:
        await MIXED_READS[name](pair.connection, 5)
    assert caught.value.limit == "line_timeout"
    assert trio.current_time() == pytest.approx(LIMITS.line_timeout, abs=1)
    nursery.cancel_scope.cancel()


async def test_a_slow_handler_does_not_make_a_line_late(
    pair: Pair, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    await pair.client.send_all(b"hal")
    with trio.move_on_after(30):
        await pair.connection.receive_line()
    await trio.sleep(60)  # the mock clock's

    async def send_the_rest() -> None:
        await trio.sleep(20)  # the mock clock's
        await pair.client.send_all(b"f\n")

    nursery.start_soon(send_the_rest)
    assert await pair.connection.receive_line() == b"half\n"
    nursery.cancel_scope.cancel()


async def test_each_part_of_a_long_body_has_its_own_timeout(
    pair: Pair, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    async def steps() -> None:
        for _ in range(20):
            await pair.client.send_all(b"x" * 20)
            await trio.sleep(30)  # the mock clock's

    nursery.start_soon(steps)
    assert await pair.connection.receive_exactly(400) == b"x" * 400
    nursery.cancel_scope.cancel()


async def test_the_drain_ends_the_input_behind_what_was_received(
    pair: Pair, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    connection = pair.connection
    await pair.client.send_all(b"a\nb\nhal")
    before = connection.draining
    pair.drain.begin()
    assert (before, connection.draining) == (False, True)
    assert [line async for line in connection] == [b"a\n", b"b\n"]
    await pair.client.send_all(b"late\n")
    assert await connection.receive_some() == b"hal"
    assert await connection.receive_some() == b""
    await connection.send(b"bye\n")
    assert await pair.client.receive_some() == b"bye\n"
    nursery.cancel_scope.cancel()


async def test_the_drain_wakes_a_read_that_waits(
    pair: Pair, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    lines: list[bytes] = []

    async def read() -> None:
        lines.append(await pair.connection.receive_line())

    async with trio.open_nursery() as reading:
        reading.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        pair.drain.begin()
    assert lines == [b""]
    await pair.client.send_all(b"late\n")
    assert await pair.connection.receive_line() == b""
    with pytest.raises(StopAsyncIteration):
        await anext(pair.connection)
    nursery.cancel_scope.cancel()


async def test_closing_wakes_a_read_that_waits(pair: Pair, nursery: trio.Nursery) -> None:
    async def read() -> None:
        with pytest.raises(StateError, match=r"closed$"):
            await pair.connection.receive_line()

    async with trio.open_nursery() as reading:
        reading.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        await pair.connection.aclose()
    # Over TLS, the client can tell this end from an orderly one.
    with pytest.raises(trio.BrokenResourceError) if isinstance(pair.client, TlsStream) else nullcontext():
        assert await pair.client.receive_some() == b""
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("kind", ["stream", "hub"])  # a memory stream takes all there is
async def test_closing_wakes_a_send_that_waits(kind: str) -> None:
    pair = Pair(kind)

    async def send() -> None:
        with pytest.raises(StateError, match=r"^send does not fit the state closed$"):
            await pair.connection.send(bytes(10_000_000))

    async with trio.open_nursery() as sending:
        sending.start_soon(send)
        await trio.testing.wait_all_tasks_blocked()
        await pair.connection.aclose()
    pair.close()


async def test_replies_to_several_lines_come_in_order_and_at_once(pair: Pair, nursery: trio.Nursery) -> None:
    async def answer() -> None:
        async for line in pair.connection:
            await pair.connection.send(line.upper())

    nursery.start_soon(answer)
    await pair.client.send_all(b"a\nb\nc\nhal")
    heard = b""
    while len(heard) < 6:
        heard += await pair.client.receive_some()
    assert heard == b"A\nB\nC\n"
    if pair.hub is not None:  # held while there were lines, and gone before the next read
        assert not pair.channel.write_buffer  # type: ignore[attr-defined]
    nursery.cancel_scope.cancel()


async def test_a_reply_leaves_although_the_handler_does_not_read_on(
    pair: Pair, nursery: trio.Nursery
) -> None:
    await pair.client.send_all(b"a\nb\n")
    await pair.connection.receive_line()
    await pair.connection.send(b"A\n")
    assert await pair.client.receive_some() == b"A\n"
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("end", ["close_gracefully", "aclose", "send_eof", "more"])
async def test_every_later_call_flushes_first(pair: Pair, end: str, nursery: trio.Nursery) -> None:
    await pair.client.send_all(b"a\nb\n")
    await pair.connection.receive_line()
    await pair.connection.send(b"A\n")
    more = b"x" * 100_000 if end == "more" else b""
    match end:
        case "close_gracefully":
            nursery.start_soon(pair.channel.close_gracefully)
        case "aclose":
            await pair.connection.receive_line()  # unread input would reset the connection
            await pair.connection.aclose()
        case "send_eof":
            await pair.connection.send_eof()
        case _:
            nursery.start_soon(pair.connection.send, more)
    heard = b""
    while len(heard) < 2 + len(more):
        heard += await pair.client.receive_some()
    assert heard == b"A\n" + more
    nursery.cancel_scope.cancel()


async def send_until_buffered(pair: Pair) -> int:
    """Send over the hub until something stays buffered, and the kernel is full; return how many bytes."""
    await pair.client.send_all(b"a\nb\n")
    await pair.connection.receive_line()
    sent = 0
    while not pair.channel.write_buffer:  # type: ignore[attr-defined]
        await pair.connection.send(b"x" * 50_000)
        sent += 50_000
        await trio.testing.wait_all_tasks_blocked()
    with suppress(BlockingIOError):
        while True:
            sent += pair.opened[1].send(b"x")
    return sent


@pytest.mark.parametrize("pair", ["hub"], indirect=True)
async def test_a_send_waits_for_a_flush_and_its_cancellation_leaves_the_order(
    pair: Pair, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    sent = await send_until_buffered(pair)
    nursery.start_soon(pair.connection.flush)
    await trio.testing.wait_all_tasks_blocked()
    with trio.move_on_after(5) as waiting:
        await pair.connection.send(b"never")
    assert waiting.cancelled_caught
    nursery.start_soon(pair.connection.send, b"last")
    await receive(pair.client, b"x" * sent + b"last")
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("pair", ["hub"], indirect=True)
async def test_closing_wakes_a_flush_that_waits(pair: Pair, nursery: trio.Nursery) -> None:
    async def flush() -> None:
        with pytest.raises(StateError, match=r"^flush does not fit the state closed$"):
            await pair.connection.flush()

    await send_until_buffered(pair)
    async with trio.open_nursery() as flushing:
        flushing.start_soon(flush)
        await trio.testing.wait_all_tasks_blocked()
        await pair.connection.aclose()
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("pair", ["hub"], indirect=True)
async def test_held_replies_leave_when_the_client_reads(pair: Pair, nursery: trio.Nursery) -> None:
    said = await send_until_buffered(pair)
    assert not pair.channel.try_buffer(b"x" * 50_000)
    heard = 0
    while heard < said:
        heard += len(await pair.client.receive_some())
    assert heard == said
    await trio.testing.wait_all_tasks_blocked()
    assert not pair.channel.write_buffer  # type: ignore[attr-defined]
    assert await pair.connection.receive_line() == b"b\n"
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("pair", ["hub"], indirect=True)
async def test_the_send_after_lost_replies_raises(pair: Pair, nursery: trio.Nursery) -> None:
    await pair.client.send_all(b"a\nb\n")
    await pair.connection.receive_line()
    await pair.client.aclose()
    await pair.connection.send(b"A\n")  # held, for all it knows
    await trio.testing.wait_all_tasks_blocked()
    assert not pair.channel.write_buffer  # type: ignore[attr-defined]
    await pair.connection.receive_line()
    with pytest.raises(ConnectionLost):
        await pair.connection.send(b"B\n")
    nursery.cancel_scope.cancel()


async def test_reads_that_need_not_wait_checkpoint_regularly(pair: Pair, nursery: trio.Nursery) -> None:
    others = 0

    async def other() -> None:
        nonlocal others
        while True:
            others += 1
            await trio.lowlevel.checkpoint()

    await pair.client.send_all(b"\n" * 1000)
    await pair.connection.receive_line()
    nursery.start_soon(other)
    for _ in range(999):
        await pair.connection.receive_line()
    assert others >= 5
    nursery.cancel_scope.cancel()


def test_its_attributes() -> None:
    pair = Pair("memory")
    assert pair.connection.endpoint == ENDPOINT
    assert pair.connection.peer == PEER
    assert pair.connection.busy is False
    assert len({Pair("memory").connection.id for _ in range(3)}) == 3


@given(
    st.lists(st.tuples(st.sampled_from(list(MIXED_READS)), st.integers(1, 6)), max_size=12),
    st.lists(st.sampled_from([b"a", b"\n", b"ab\n", b";", b"x;y\n", b"", b"longer\n"]), max_size=12),
)
def test_every_mixture_of_reads_returns_every_byte_once_and_in_order(
    reads: list[tuple[str, int]], chunks: list[bytes]
) -> None:
    async def conversation() -> bytes:
        pair = Pair("memory", Limits(max_line=1000, idle_timeout=math.inf, line_timeout=math.inf))
        taken = b""
        async with trio.open_nursery() as nursery:

            async def send() -> None:
                for chunk in chunks:
                    await pair.client.send_all(chunk)
                    await trio.testing.wait_all_tasks_blocked()
                await pair.client.send_eof()

            nursery.start_soon(send)
            for how, count in reads:
                with suppress(InputEnded):
                    taken += await MIXED_READS[how](pair.connection, count)
            while rest := await pair.connection.receive_some():
                taken += rest
        return taken

    assert trio.run(conversation) == b"".join(chunks)


async def answer_in_ways(connection: Connection, ways: list[str]) -> None:
    for way in itertools.cycle(ways):
        try:
            line = await connection.receive_line()
        except LineTooLong as error:
            line = b""
            await connection.send(b"error: %b\n" % str(error).encode())
        else:
            if not line:
                return
        if way == "twice":
            await connection.send(b"!")
        await connection.send(line.upper())
        if way == "rest":
            await trio.sleep(1)  # the mock clock's


@given(
    st.lists(st.sampled_from([b"a", b"\n", b"ab\n", b"a\nb\nc\nd", b"", b"x" * 21, b"\n\n"]), max_size=12),
    st.lists(st.sampled_from(["once", "twice", "rest"]), min_size=1, max_size=12),
)
@pytest.mark.slow
def test_a_handler_behaves_the_same_on_every_driver(chunks: list[bytes], ways: list[str]) -> None:
    """Slow: two hundred conversations over each driver, each a run of trio."""

    async def heard(kind: str) -> bytes:
        pair = Pair(kind)

        async def serve() -> None:
            await answer_in_ways(pair.connection, ways)
            await pair.channel.close_gracefully()
            await pair.channel.aclose()

        async with trio.open_nursery() as nursery:
            if pair.hub is not None:
                nursery.start_soon(pair.hub.run)
            nursery.start_soon(serve)
            for chunk in chunks:
                await pair.client.send_all(chunk)
                await trio.testing.wait_all_tasks_blocked()
            await pair.client.send_eof()
            answer = b"".join([chunk async for chunk in pair.client])
            nursery.cancel_scope.cancel()
        pair.close()
        return answer

    said = {kind: trio.run(heard, kind, clock=MockClock(autojump_threshold=0)) for kind in KINDS}
    assert said == dict.fromkeys(KINDS, said["memory"])
    expected = capitals(b"".join(chunks), LIMITS.max_line, Oversize.DISCARD)
    assert said["memory"].replace(b"!", b"") == expected


async def test_a_read_is_a_session_any_driver_can_run(pair: Pair, nursery: trio.Nursery) -> None:
    await pair.client.send_all(b"line\n")
    buffer = LineBuffer()
    wanted = WantedLine(buffer, buffer.next_line)
    await pair.channel.converse(wanted)
    assert wanted.taken == b"line\n"
    await pair.client.send_all(b"more")
    some = WantedSome(buffer, 3)
    await pair.channel.resume(some)
    assert some.taken == b"mor"
    await pair.channel.send_eof()
    assert await pair.client.receive_some() == b""
    nursery.cancel_scope.cancel()
