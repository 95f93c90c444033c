"""Without an observer, what goes wrong is in the log of the logging module."""

from __future__ import annotations

import errno
import logging
from functools import partial
from typing import NoReturn

import pytest
import trio
from trio.testing import MockClock

from caas_trio import (
    Connection,
    Endpoint,
    InternetPeer,
    Telemetry,
    TooSlow,
    current_connection,
    serve,
    serve_datagrams,
)
from caas_trio.core.errors import ConnectionLost
from caas_trio.server.reporting import INTERVAL_S, LoggingTelemetry, app_frames

ENDPOINT = Endpoint.parse("tcp://127.0.0.1:1")
PEER = InternetPeer("127.0.0.1", 2)


ids: list[str] = []


async def broken(connection: Connection) -> None:
    assert current_connection.get() is connection
    ids.append(connection.id)
    await connection.receive_line()
    _ = 1 / 0


def broken_service(data: bytes) -> bytes:
    raise ValueError(data)


def raise_one(number: int) -> None:
    if number:
        raise ValueError(number)
    raise KeyError(number)


async def visit(endpoint: Endpoint) -> bytes:
    async with await trio.open_tcp_stream(endpoint.host, endpoint.port) as client:
        await client.send_all(b"a\n")
        return bytes(await client.receive_some())


async def test_a_handlers_bug_is_logged_with_its_traceback(
    caplog: pytest.LogCaptureFixture, nursery: trio.Nursery
) -> None:
    [bound] = await nursery.start(partial(serve, broken, "tcp://127.0.0.1:0"))
    assert await visit(bound) == b""
    nursery.cancel_scope.cancel()
    [record] = caplog.records
    assert (record.name, record.levelname) == ("caas_trio", "ERROR")
    at = f"conversation failed connection='{ids[-1]}' endpoint='{bound}' peer='127.0.0.1:"
    assert record.getMessage().startswith(at)
    assert record.exc_text is not None
    first, *_, last = record.exc_text.splitlines()[1:]
    assert "in broken" in first  # its own frames, and none of ours on the way to them
    assert last == "ZeroDivisionError: division by zero"


async def test_a_bug_in_a_service_of_datagrams_is_logged(
    caplog: pytest.LogCaptureFixture, nursery: trio.Nursery
) -> None:
    stop = trio.Event()
    [bound] = await nursery.start(partial(serve_datagrams, broken_service, "udp://127.0.0.1:0", stop=stop))
    with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as client:
        await client.sendto(b"hello", (bound.host, bound.port))
    stop.set()
    while not caplog.records:
        await trio.lowlevel.checkpoint()
    assert "datagram failed" in caplog.text
    assert "ValueError: b'hello'" in caplog.text


async def test_an_observer_turns_the_default_log_off(
    caplog: pytest.LogCaptureFixture, nursery: trio.Nursery
) -> None:
    [bound] = await nursery.start(partial(serve, broken, "tcp://127.0.0.1:0", telemetry=Telemetry()))
    assert await visit(bound) == b""
    nursery.cancel_scope.cancel()
    assert caplog.records == []


async def test_each_event_is_a_line_of_its_level(
    caplog: pytest.LogCaptureFixture, mock_clock: MockClock
) -> None:
    caplog.set_level(logging.INFO)
    reports = LoggingTelemetry()
    reports.connection_refused("too many connections", ENDPOINT, PEER)
    reports.accept_failed(OSError(errno.EMFILE, "Too many open files"), ENDPOINT)
    reports.datagram_dropped("it is too long", ENDPOINT, None)
    reports.datagram_dropped("it is too short", ENDPOINT, PEER)
    reports.drain_timed_out()
    reports.conversation_ended(TooSlow("write_timeout"), ENDPOINT)
    reports.conversation_ended(TooSlow("idle_timeout"), ENDPOINT)
    reports.conversation_ended(ConnectionLost(), ENDPOINT)
    reports.conversation_ended(None, ENDPOINT)
    reports.conversation_failed(KeyError(1), ENDPOINT, PEER)
    reports.datagram_failed(ValueError(2), ENDPOINT, PEER)
    at, whose = f"endpoint='{ENDPOINT}'", f"peer='{PEER}'"
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", f"connection refused {at} {whose} reason='too many connections'"),
        ("WARNING", f"no room for another connection {at} error='Too many open files'"),
        ("WARNING", f"datagram not answered {at} reason='it is too long'"),
        ("WARNING", f"datagram not answered {at} {whose} reason='it is too short'"),
        ("WARNING", "the drain timeout is over; unfinished conversations were cut off"),
        ("WARNING", f"conversation ended {at} reason='the write timeout is over'"),
        ("INFO", f"conversation ended {at} reason='the idle timeout is over'"),
        ("ERROR", f"conversation failed {at} {whose} error='KeyError(1)'"),
        ("ERROR", f"datagram failed {at} {whose} error='ValueError(2)'"),
    ]


async def test_an_event_that_repeats_for_the_same_reason_is_counted(
    caplog: pytest.LogCaptureFixture, mock_clock: MockClock
) -> None:
    reports = LoggingTelemetry()
    for reason in ("first", "second", "first", "first"):
        reports.connection_refused(reason, ENDPOINT, PEER)
        reports.datagram_dropped(reason, ENDPOINT, PEER)
        reports.accept_failed(OSError(errno.EMFILE, "Too many open files"), ENDPOINT)
        reports.conversation_failed(ValueError(reason), ENDPOINT, PEER)
    assert [message.partition(" endpoint=")[0] for message in caplog.messages] == [
        *("connection refused", "datagram not answered"),
        *("no room for another connection", "conversation failed"),
        *("connection refused", "datagram not answered"),
    ]
    caplog.clear()
    reports.close()
    assert {(record.levelname, record.getMessage()) for record in caplog.records} == {
        ("WARNING", "and 2 more like this: connection refused reason='first'"),
        ("WARNING", "and 2 more like this: datagram not answered reason='first'"),
        ("WARNING", "and 3 more like this: no room for another connection"),
        ("WARNING", "and 3 more like this: conversation failed reason='ValueError at an unknown place'"),
    }


async def test_each_bug_is_logged_once_per_interval(
    caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    reports = LoggingTelemetry()

    def fail(number: int) -> None:
        try:
            raise_one(number)
        except (KeyError, ValueError) as error:
            reports.conversation_failed(error, ENDPOINT, PEER)

    for number in (1, 2, 3, 0):
        fail(number)
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ValueError, KeyError]
    await trio.sleep(INTERVAL_S)  # the mock clock's
    fail(4)
    fail(5)
    assert "conversation failed (and 2 more like this since)" in caplog.messages[2]
    reports.close()
    assert caplog.messages[3].startswith("and 1 more like this: conversation failed reason='ValueError at ")


async def test_a_bug_at_another_place_is_another_one(
    caplog: pytest.LogCaptureFixture, mock_clock: MockClock
) -> None:
    reports = LoggingTelemetry()

    def here() -> NoReturn:
        raise ValueError

    def there() -> NoReturn:
        raise ValueError

    for fail in (here, there, here):
        try:
            fail()
        except ValueError as error:
            reports.conversation_failed(error, ENDPOINT, PEER)
    assert len(caplog.records) == 2
    caplog.clear()
    reports.close()
    place = f"{__file__}:{here.__code__.co_firstlineno + 1}"
    assert caplog.messages == [f"and 1 more like this: conversation failed reason='ValueError at {place}'"]


def test_an_internal_failure_keeps_our_frames() -> None:
    with pytest.raises(ValueError, match="an endpoint") as raised:
        Endpoint.parse("nonsense")
    ours = raised.value.__traceback__
    assert ours is not None
    assert app_frames(ours.tb_next) is ours.tb_next
