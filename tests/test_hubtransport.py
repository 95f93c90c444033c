"""The socket of a hub's channel, without a hub that runs: what is sent, buffered, counted and closed."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from caas_trio import ConnectionLost, HandshakeFailed, Limits, LineSession, StateError, TooSlow
from caas_trio.core.telemetry import ServerStats
from caas_trio.drivers.drain import Drain
from caas_trio.drivers.hub import Hub
from caas_trio.drivers.hubtransport import JUST_NOW, MAX_HELD
from caas_trio.drivers.machine import MACHINE, Machine
from caas_trio.drivers.poller import EPOLLIN, EPOLLOUT

from .certificates import HOST, client_context, server_context


class Pair:
    """A channel, and its client's socket."""

    def __init__(self, opened: ExitStack, machine: Machine = MACHINE) -> None:
        self.stats = ServerStats()
        self.client, theirs = socket.socketpair()
        opened.enter_context(self.client)
        self.client.setblocking(False)  # noqa: FBT003 - the socket module's signature
        self.hub = Hub(Limits(), Drain(), stats=self.stats, counting=True, machine=machine)
        opened.callback(self.hub.close)
        self.channel = self.hub.channel(theirs)
        opened.callback(self.channel.close)

    def heard(self) -> bytes:
        """Return all that has been sent to the client."""
        heard = b""
        with suppress(BlockingIOError):
            while data := self.client.recv(1 << 20):
                heard += data
        return heard


@pytest.fixture
def pair() -> Iterator[Pair]:
    with ExitStack() as opened:
        yield Pair(opened)


def test_so_much_is_buffered_and_sent_first(pair: Pair) -> None:
    channel = pair.channel
    assert channel.try_buffer(b"a" * (MAX_HELD - 1))
    assert channel.watched == EPOLLOUT
    assert channel.try_buffer(b"b")
    assert not channel.try_buffer(b"c")
    assert channel.send_nowait(b"d") == b""
    assert pair.heard() == b"a" * (MAX_HELD - 1) + b"bd"
    assert channel.try_buffer(b"e" * MAX_HELD)
    assert not channel.try_buffer(b"f")
    assert channel.send_nowait(b"") == b""
    assert pair.heard() == b"e" * MAX_HELD


def test_behind_what_the_kernel_did_not_take_nothing_is_buffered(pair: Pair) -> None:
    data = bytes(range(256)) * 8000
    rest = pair.channel.send_nowait(data)
    assert 0 < len(rest) < len(data)
    pair.channel.write_buffer = memoryview(b"few")
    assert not pair.channel.try_buffer(b"x")
    pair.channel.write_buffer = rest
    heard = pair.heard()
    while rest:
        rest = pair.channel.send_nowait(b"")
        pair.channel.write_buffer = rest
        heard += pair.heard()
    assert heard == data


def test_of_what_has_been_sent_nothing_is_kept(pair: Pair) -> None:
    for data in (b"", b"abc"):
        rest = pair.channel.send_nowait(data)
        assert rest == b""
        assert isinstance(rest, bytes)  # and no view of the data
    assert pair.heard() == b"abc"


def test_all_that_is_read_and_sent_is_counted(pair: Pair) -> None:
    assert pair.channel.recv_nowait() is None
    for data in (b"one\n", b"three\n"):
        pair.client.send(data)
        assert pair.channel.recv_nowait(100) == data
        pair.channel.send_nowait(data)
    pair.client.shutdown(socket.SHUT_WR)
    assert pair.channel.recv_nowait() == b""
    assert (pair.channel.received, pair.channel.sent) == (10, 10)
    assert (pair.stats.received, pair.stats.sent, pair.stats.lines) == (10, 10, 2)


def test_a_close_sends_what_is_buffered_once(pair: Pair) -> None:
    assert pair.channel.try_buffer(b"last")
    pair.channel.close()
    assert pair.heard() == b"last"
    pair.channel.close()
    assert pair.channel.watched == 0
    with pytest.raises(StateError):
        pair.channel.try_buffer(b"too late")


def test_a_close_after_a_reset_raises_nothing(pair: Pair) -> None:
    assert pair.channel.try_buffer(b"nobody hears this")
    pair.client.close()
    pair.channel.close()
    with pytest.raises(ConnectionLost):
        pair.channel.recv_nowait()


async def test_what_a_cancelled_send_has_left_comes_before_the_next_one(autojump_clock: MockClock) -> None:
    data = bytes(range(256)) * 8000
    heard = b""
    with ExitStack() as opened:
        pair = Pair(opened)
        with trio.move_on_after(1) as sending:
            await pair.channel.send_all(data)
        assert sending.cancelled_caught
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pair.channel.send_all, b"next")
            while len(heard) < len(data) + 4:
                heard += pair.heard()
                await trio.lowlevel.checkpoint()
    assert heard == data + b"next"


async def test_a_client_that_does_not_read_is_too_slow(autojump_clock: MockClock) -> None:
    with ExitStack() as opened:
        with pytest.raises(TooSlow) as caught:
            await Pair(opened).channel.send_all(bytes(3_000_000))
        assert caught.value.limit == "write_timeout"
        assert trio.current_time() == Limits().write_timeout


class Reluctant(socket.socket):
    """A socket that cannot end its output at once, as it is over TLS while records are unsent."""

    refusals = 3

    def shutdown(self, how: int) -> None:
        if self.refusals:
            self.refusals -= 1
            raise BlockingIOError
        super().shutdown(how)


class FullMachine(Machine):
    """The machine, with no room for anything to be sent."""

    async def wait_writable(self, _: object) -> None:
        await trio.sleep_forever()


@pytest.mark.parametrize("full", [False, True])
async def test_the_end_of_the_output_may_have_to_wait(full: bool, autojump_clock: MockClock) -> None:  # noqa: FBT001
    with ExitStack() as opened:
        pair = Pair(opened, FullMachine() if full else MACHINE)
        assert isinstance(pair.channel.sock, socket.socket)
        reluctant = pair.channel.sock = Reluctant(fileno=pair.channel.sock.detach())
        reluctant.setblocking(False)  # noqa: FBT003 - the socket module's signature
        if full:
            with pytest.raises(TooSlow) as caught:
                await pair.channel.send_eof()
            assert caught.value.limit == "write_timeout"
            assert trio.current_time() == Limits().write_timeout
            return
        await pair.channel.send_eof()
        assert reluctant.refusals == 0
        assert pair.client.recv(1) == b""


async def test_a_client_that_has_ended_its_output_is_not_lingered_for(pair: Pair) -> None:
    pair.client.shutdown(socket.SHUT_WR)
    with trio.CancelScope() as scope:
        scope.cancel()  # a wait would notice
        await pair.channel.close_gracefully()
    assert not scope.cancelled_caught
    assert pair.client.recv(1) == b""


class Full(socket.socket):
    """A socket that has no room for the first thing that is sent."""

    refusals = 1

    def send(self, *args: Any) -> int:
        if self.refusals:
            self.refusals -= 1
            raise BlockingIOError
        return super().send(*args)


async def test_a_handshake_may_wait_for_room_and_what_tls_holds_is_read_at_once(
    autojump_clock: MockClock,
) -> None:
    with ExitStack() as opened:
        pair, other = Pair(opened), Pair(opened)
        other.channel.sock.close()
        client = other.channel.sock = pair.client
        assert isinstance(pair.channel.sock, socket.socket)
        full = pair.channel.sock = Full(fileno=pair.channel.sock.detach())
        full.setblocking(False)  # noqa: FBT003 - the socket module's signature
        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                begin = partial(other.channel.start_tls, server_side=False, server_hostname=HOST)
                nursery.start_soon(begin, client_context())
                await pair.channel.start_tls(server_context(), server_side=True)
        assert full.refusals == 0
        assert pair.channel.send_nowait(b"hello") == b""
        assert client is not other.channel.sock
        assert other.channel.recv_nowait() == b"hello"

        async def converse() -> None:
            session = LineSession(bytes.upper)
            session.max_chunk = 100
            await pair.channel.converse(session)

        assert other.channel.send_nowait(b"x" * 300) == b""  # of which TLS holds the rest
        async with trio.open_nursery() as nursery:
            nursery.start_soon(converse)
            await trio.testing.wait_all_tasks_blocked()
            assert pair.channel.watched == EPOLLIN | EPOLLOUT
            nursery.start_soon(pair.hub.run)
            await trio.testing.wait_all_tasks_blocked()
            assert other.channel.send_nowait(b"y" * 300 + b"\n") == b""
            await trio.testing.wait_all_tasks_blocked()
            assert other.channel.recv_nowait(1000) == b"X" * 300 + b"Y" * 300 + b"\n"
            nursery.cancel_scope.cancel()


async def test_a_server_that_has_another_name_is_refused() -> None:
    with ExitStack() as opened:
        pair, other = Pair(opened), Pair(opened)
        other.channel.sock.close()
        other.channel.sock = pair.client
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(pair.channel.start_tls, server_side=True), server_context())
            with pytest.raises(HandshakeFailed, match="mismatch"):
                await other.channel.start_tls(
                    client_context(), server_side=False, server_hostname="x.example"
                )
            nursery.cancel_scope.cancel()


def test_what_has_failed_sends_nothing_of_what_was_buffered(pair: Pair) -> None:
    assert pair.channel.try_buffer(b"never")
    pair.channel.fail(ZeroDivisionError())
    assert pair.channel.try_buffer(b"the error")
    pair.channel.close()
    assert pair.heard() == b"the error"


class Waiting(LineSession):
    """A session that is in the middle of a line, or of none.

    Attributes:
        unfinished: which line that is; 0 for none.
    """

    unfinished = 0


LIMITS = Limits(idle_timeout=10, line_timeout=5, write_timeout=3)


def test_a_timeout_runs_from_the_last_thing_that_happened(pair: Pair) -> None:
    channel, session = pair.channel, Waiting(bytes.upper)
    assert channel.overdue(1000) is None  # the task is awake
    channel.limits, channel.session, channel._begun = LIMITS, session, None
    channel.stamp = JUST_NOW
    checks: list[tuple[float, str | None]] = [(100, None), (109.9, None), (110, "idle_timeout")]
    assert [(now, channel.overdue(now)) for now, _ in checks] == checks
    channel.sent_at = JUST_NOW
    checks = [(115, None), (124.9, None), (125, "idle_timeout")]
    assert [(now, channel.overdue(now)) for now, _ in checks] == checks
    channel.stamp = 200
    session.unfinished = 7
    checks = [(201, None), (204.9, None), (205, "line_timeout")]
    assert [(now, channel.overdue(now)) for now, _ in checks] == checks
    channel.stamp = 206
    assert channel.overdue(207) == "line_timeout"  # more of the same line
    session.unfinished = 8
    checks = [(210.9, None), (211, "line_timeout")]
    assert [(now, channel.overdue(now)) for now, _ in checks] == checks
    session.unfinished = 0
    assert channel.overdue(211) is None
    session.unfinished = 8
    channel.stamp = 212
    assert channel.overdue(213) is None  # the number is a new line's, though it was another's before
    channel.write_buffer = b"unsent"
    channel.stamp = JUST_NOW
    checks = [(300, None), (302.9, None), (303, "write_timeout"), (400, "write_timeout")]
    assert [(now, channel.overdue(now)) for now, _ in checks] == checks
    channel.session = None
