"""What a server reports of each connection: its beginning, its end, and how it came to it."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio

from caas_trio import (
    Connection,
    ConnectionLost,
    Endpoint,
    First,
    InputEnded,
    InternetPeer,
    Limits,
    LineSession,
    LineTooLong,
    Oversize,
    Telemetry,
    TooSlow,
    Trust,
)
from caas_trio.core.peer import Peer
from caas_trio.core.telemetry import (
    BOUNDS,
    EVENTS,
    OTHER,
    BoundedNames,
    ConnectionStats,
    Outcome,
    ServerStats,
    guarded,
    together,
)

from .support.drivers import serve, serve_sessions
from .support.recorder import ConnectionRecorder, StatsRecorder
from .support.sockets import talk
from .support.streams import receive_all

#: Every test runs over both drivers.
pytestmark = pytest.mark.usefixtures("driver")


class Recorder(Telemetry):
    """Keeps the events of connections."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Endpoint, Peer]] = []
        self.connection_stats: ConnectionStats | None = None
        self.ended_with: tuple[ConnectionStats | None, float] | None = None
        self.outcomes: list[Outcome] = []
        self.stats = ServerStats()
        self.refused: list[str] = []

    def counting(self, stats: ServerStats) -> None:
        self.stats = stats

    def connection_opened(self, endpoint: Endpoint, peer: Peer) -> None:
        self.told.append(("opened", endpoint, peer))

    def conversation_begun(self, stats: ConnectionStats, endpoint: Endpoint, peer: Peer) -> None:
        self.told.append(("begun", endpoint, peer))
        self.connection_stats = stats

    def connection_closed(
        self, outcome: Outcome, stats: ConnectionStats | None, endpoint: Endpoint, peer: Peer, seconds: float
    ) -> None:
        self.told.append(("closed", endpoint, peer))
        self.outcomes.append(outcome)
        self.ended_with = (stats, seconds)

    def connection_refused(self, reason: str, endpoint: Endpoint, peer: Peer) -> None:  # noqa: ARG002
        self.refused.append(reason)


@asynccontextmanager
async def connected(
    raises: Exception | None,
    trust: Trust = Trust(),  # noqa: B008 - immutable
) -> AsyncIterator[tuple[trio.SocketStream, Recorder, trio.Event]]:
    """Connect to a server whose handler reads a line, answers and raises; at the end all is over."""

    async def handler(connection: Connection) -> None:
        await connection.send(await connection.receive_line())
        if raises is not None:
            raise raises

    stop, recorder = trio.Event(), Recorder()
    async with trio.open_nursery() as nursery:
        start = partial(
            serve,
            handler,
            "tcp://127.0.0.1:0",
            limits=Limits(drain_timeout=0),
            trust=trust,
            telemetry=recorder,
            stop=stop,
        )
        [endpoint] = await nursery.start(start)
        async with await trio.open_tcp_stream(endpoint.host, endpoint.port) as client:
            peer = InternetPeer(*client.socket.getsockname())
            yield client, recorder, stop
        stop.set()
    assert recorder.ended_with is not None
    stats, seconds = recorder.ended_with
    assert stats is recorder.connection_stats
    assert 0 <= seconds < 60
    [first, *_, last] = [what for what, *_ in recorder.told]
    assert (first, last) == ("opened", "closed")
    assert {(where, whose) for _, where, whose in recorder.told} == {(endpoint, peer)}
    [listener_stats] = recorder.stats.listeners
    assert listener_stats.accepted == 1
    assert Counter(listener_stats.ended) == Counter(recorder.outcomes)


@pytest.mark.parametrize(
    ("raises", "outcome"),
    [
        (None, Outcome.COMPLETED),
        (ConnectionLost(), Outcome.LOST),
        (TooSlow("idle_timeout"), Outcome.TIMED_OUT),
        (TooSlow("write_timeout"), Outcome.TIMED_OUT),
        (InputEnded(2, 1), Outcome.PEER_ERROR),
        (ZeroDivisionError(), Outcome.FAILED),
    ],
)
async def test_each_end_has_its_outcome(raises: Exception | None, outcome: Outcome) -> None:
    async with connected(raises) as (client, recorder, _):
        await client.send_all(b"a line\n")
        await client.send_eof()
        assert await receive_all(client) == b"a line\n"
    assert [what for what, _, _ in recorder.told] == ["opened", "begun", "closed"]
    assert recorder.outcomes == [outcome]


async def test_a_connection_that_is_cut_off_is_reported() -> None:
    async with connected(None) as (client, recorder, stop):
        while len(recorder.told) < 2:
            await trio.lowlevel.checkpoint()
        stop.set()
        assert await receive_all(client) == b""
    assert recorder.outcomes == [Outcome.CUT_OFF]


async def test_a_failed_handshake_is_reported_as_a_refusal() -> None:
    async with connected(None, trust=Trust(proxy_protocol=True)) as (client, recorder, _):
        await client.send_all(b"PROXY ")
        await client.send_eof()
        assert await receive_all(client) == b""
    assert recorder.refused == ["bad PROXY header: the input ended before it was complete"]
    assert [what for what, _, _ in recorder.told] == ["opened", "closed"]
    assert recorder.outcomes == [Outcome.REFUSED]


def test_several_observers_get_the_events_they_override() -> None:
    told: list[tuple[str, object]] = []

    class First(Telemetry):
        def accept_failed(self, error: OSError, endpoint: Endpoint) -> None:  # noqa: ARG002
            told.append(("first", error))

        def drain_timed_out(self) -> None:
            told.append(("first", None))

    class Second(Telemetry):
        def accept_failed(self, error: OSError, endpoint: Endpoint) -> None:  # noqa: ARG002
            told.append(("second", error))

        def listening(self, endpoint: Endpoint) -> None:
            told.append(("second", endpoint))

    first, second, error = First(), Second(), OSError()
    endpoint = Endpoint.parse("tcp://127.0.0.1:1")
    both = together(first, second)
    both.accept_failed(error, endpoint)
    both.drain_timed_out()
    both.listening(endpoint)
    both.conversation_ended(None, endpoint)
    assert told == [("first", error), ("second", error), ("first", None), ("second", endpoint)]
    assert both.drain_timed_out == first.drain_timed_out  # there is no detour for what one listens to


def test_an_observer_that_raises_is_logged_once_for_each_event(caplog: pytest.LogCaptureFixture) -> None:
    told: list[object] = []

    class Broken(Telemetry):
        def drain_timed_out(self) -> None:
            told.append(None)
            raise ZeroDivisionError

        def listening(self, endpoint: Endpoint) -> None:
            told.append(endpoint)
            raise SystemExit  # as a parser of commands may

    class Right(Telemetry):
        def drain_timed_out(self) -> None:
            told.append("right")

    endpoint = Endpoint.parse("tcp://127.0.0.1:1")
    telemetry = guarded(Broken())
    for _ in range(2):
        telemetry.drain_timed_out()
        telemetry.listening(endpoint)
    together(Broken(), Right()).drain_timed_out()
    assert told == [None, endpoint, None, endpoint, None, "right"]
    failed = "the telemetry raised an error at "
    events = ["drain_timed_out", "listening", "drain_timed_out"]
    assert [record.getMessage() for record in caplog.records] == [failed + event for event in events]
    assert [record.name for record in caplog.records] == ["caas_trio"] * 3
    assert all(record.exc_info for record in caplog.records)


def test_names_beyond_the_bound_count_as_other() -> None:
    bounded = BoundedNames(2)
    assert [bounded(name) for name in "abcab"] == ["a", "b", OTHER, "a", "b"]


def test_32_names_are_kept_by_default() -> None:
    bounded = BoundedNames()
    assert [bounded(str(number)) for number in range(34)] == [*map(str, range(32)), OTHER, OTHER]


class Talk:
    """A conversation with some lines that were too long."""

    def __init__(self, oversize_lines: int) -> None:
        self.oversize_lines = oversize_lines


def test_oversize_lines_add_up_over_conversations_that_last_and_that_are_over() -> None:
    stats = ServerStats()
    assert stats.oversize == 0
    one, two, short = Talk(1), Talk(2), Talk(4)
    stats.begin(one)
    stats.begin(two)
    stats.ended(short)  # before it could begin
    assert stats.oversize == 7
    one.oversize_lines = 9
    stats.ended(one)
    assert stats.oversize == 15
    stats.ended(two)
    assert stats.oversize == 15


def test_waits_are_counted_within_the_bounds() -> None:
    stats = ServerStats()
    assert (stats.waits, stats.waited) == ([0] * (len(BOUNDS) + 1), 0)
    for _ in range(2):
        stats.served(3, BOUNDS[0])
    stats.served(1, 2.0)
    assert (stats.waits[0], stats.waits[-1], sum(stats.waits)) == (6, 1, 7)
    assert stats.waited == pytest.approx(6 * BOUNDS[0] + 2)


def test_a_listener_begins_with_nothing() -> None:
    stats, endpoint = ServerStats(), Endpoint.parse("tcp://127.0.0.1:1")
    assert (stats.received, stats.sent, stats.lines, stats.listeners) == (0, 0, 0, [])
    listener_stats = stats.add_listener(endpoint)
    assert stats.listeners == [listener_stats]
    assert (listener_stats.endpoint, listener_stats.accepted) == (endpoint, 0)
    assert listener_stats.ended == dict.fromkeys(Outcome, 0)


def test_every_event_is_listed() -> None:
    assert set(EVENTS) == {name for name in dir(Telemetry) if not name.startswith("_")}


@asynccontextmanager
async def counted(telemetry: Telemetry) -> AsyncIterator[Endpoint]:
    """Serve capitals, of lines of ten bytes at most, after a prompt."""
    stop = trio.Event()
    session = partial(LineSession, bytes.upper, First.SERVER, b"say:\n", 10, Oversize.DISCARD)
    async with trio.open_nursery() as nursery:
        start = partial(serve_sessions, session, "tcp://127.0.0.1:0", telemetry=telemetry, stop=stop)
        [endpoint] = await nursery.start(start)
        yield endpoint
        stop.set()


@pytest.mark.parametrize("each", [False, True])
async def test_lines_and_bytes_are_counted(each: bool) -> None:  # noqa: FBT001
    counts = StatsRecorder()
    telemetry = together(counts, Recorder()) if each else counts
    async with counted(telemetry) as endpoint:
        address = (endpoint.host, endpoint.port)
        sent = b"one\ntwo\nfar too long a line\ntail"
        client = await trio.to_thread.run_sync(socket.create_connection, address)
        heard = await trio.to_thread.run_sync(talk, client, sent)
        assert heard == b"say:\nONE\nTWO\nerror: line longer than 10 bytes\nTAIL"
    stats = counts.stats
    assert (stats.received, stats.sent, stats.lines, stats.oversize) == (len(sent), len(heard), 3, 1)
    assert sum(stats.waits) >= 1
    assert stats.waited >= 0
    assert counts.listener_stats.accepted == 1
    assert Counter(counts.listener_stats.ended) == Counter([Outcome.COMPLETED])


async def test_bytes_are_counted_while_a_connection_lasts() -> None:
    counts = StatsRecorder()
    async with (
        counted(counts) as endpoint,
        await trio.open_tcp_stream(endpoint.host, endpoint.port) as client,
    ):
        await client.send_all(b"a\n")
        while counts.stats.sent < 7:
            await trio.lowlevel.checkpoint()
        assert (counts.stats.received, counts.stats.sent, counts.stats.lines) == (2, 7, 1)
        assert counts.listener_stats.accepted == 1
        assert not any(counts.listener_stats.ended.values())


async def test_each_connection_is_counted_on_its_own() -> None:
    ends = ConnectionRecorder()
    async with counted(ends) as endpoint:
        address = (endpoint.host, endpoint.port)
        client = await trio.to_thread.run_sync(socket.create_connection, address)
        assert await trio.to_thread.run_sync(talk, client, b"one\ntwo") == b"say:\nONE\nTWO"
    [moved] = ends.moved
    assert moved is not None
    assert (moved.received, moved.sent) == (7, 12)


async def test_bytes_sent_to_a_slow_client_are_counted_in_full() -> None:
    counts = StatsRecorder()
    lines = b"0123456789\n" * 400_000
    async with (
        counted(counts) as endpoint,
        await trio.open_tcp_stream(endpoint.host, endpoint.port) as client,
    ):
        heard = 0

        async def read() -> None:
            nonlocal heard
            while chunk := await client.receive_some(1000):
                heard += len(chunk)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await client.send_all(lines)
            await client.send_eof()
    assert heard == 5 + len(lines)
    assert (counts.stats.received, counts.stats.sent, counts.stats.lines) == (len(lines), heard, 400_000)


async def skipping(connection: Connection) -> None:
    """Answer lines, and go on behind those that are too long."""
    while True:
        try:
            line = await connection.receive_line()
        except LineTooLong:
            continue
        if not line:
            return
        await connection.send(line)


@pytest.mark.parametrize("handled", [False, True])
async def test_oversize_lines_are_counted_during_and_after_a_conversation(
    handled: bool,  # noqa: FBT001
    nursery: trio.Nursery,
) -> None:
    counts = StatsRecorder()
    session = partial(LineSession, bytes.upper, max_line=10, oversize=Oversize.DISCARD)
    start = partial(serve, skipping) if handled else partial(serve_sessions, session)
    [endpoint] = await nursery.start(
        partial(start, "tcp://127.0.0.1:0", limits=Limits(max_line=10), telemetry=counts)
    )
    for before in (0, 2):
        async with await trio.open_tcp_stream(endpoint.host, endpoint.port) as client:
            await client.send_all(b"far too long a line\n" + b"another one, and it goes on")
            while counts.stats.oversize < before + 2:
                await trio.lowlevel.checkpoint()
            await client.send_all(b" and on\nshort\n")
            heard = b""
            while not heard.upper().endswith(b"SHORT\n"):
                heard += await client.receive_some()
            assert counts.stats.oversize == before + 2
        while sum(counts.listener_stats.ended.values()) < counts.listener_stats.accepted:
            await trio.lowlevel.checkpoint()
        assert counts.stats.oversize == before + 2


_LONG = b"a" * 1023


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"a\nb\n",
        b"\n" * 5000,
        _LONG * 5,
        _LONG * 6 + b"\n",
        (_LONG + b"ab\n") * 70,
        (_LONG + b"ab\n") * 70 + b"a",
        _LONG + b"\n" * 70,  # long lines, as far as one could see
        _LONG + b"a" + b"\n" * 2,
        b"\n" + _LONG * 70,
    ],
    ids=lambda data: f"{len(data)}",
)
def test_every_line_feed_is_counted(data: bytes) -> None:
    stats = ServerStats()
    for _ in range(2):
        stats.read(data)
    assert (stats.received, stats.lines) == (2 * len(data), 2 * data.count(b"\n"))
