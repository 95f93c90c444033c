"""The socket of a hub's channel, without a hub that runs: what is sent, buffered, counted and closed."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from caas_trio import ConnectionLost, Limits, StateError
from caas_trio.core.telemetry import ServerStats
from caas_trio.drivers.drain import Drain
from caas_trio.drivers.hub import Hub
from caas_trio.drivers.hubtransport import MAX_HELD
from caas_trio.drivers.poller import EPOLLOUT


class Pair:
    """A channel, and its client's socket."""

    def __init__(self, opened: ExitStack) -> None:
        self.stats = ServerStats()
        self.client, theirs = socket.socketpair()
        opened.enter_context(self.client)
        self.client.setblocking(False)  # noqa: FBT003 - the socket module's signature
        self.hub = Hub(Limits(), Drain(), stats=self.stats, counting=True)
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
    pair.channel.write_buffer = rest
    assert not pair.channel.try_buffer(b"x")
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
