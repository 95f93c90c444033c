"""What the command line logs while it serves: a line each, and a flood in one line per interval."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest
import structlog
import trio
from trio.testing import MockClock

from caas_trio import Endpoint, InternetPeer
from caas_trio.core.telemetry import ConnectionStats, Outcome
from caas_trio.observing.log_telemetry import ConnectionEnds, LogTelemetry
from caas_trio.server.reporting import INTERVAL_S

ENDPOINT = Endpoint.parse("tcp://127.0.0.1:1")
UDP = Endpoint.parse("udp://127.0.0.1:1")
PEER = InternetPeer("127.0.0.1", 2)
FULL = OSError(errno.EMFILE, "Too many open files")


class Logged:
    """A log that keeps what it is given: level, event and values."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, object]]] = []
        self.log: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
            None, processors=[self._keep], wrapper_class=structlog.make_filtering_bound_logger(0)
        )

    def _keep(self, _: object, level: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        text = event.pop("event")
        self.lines.append((level, text, dict(event)))
        raise structlog.DropEvent

    def events(self) -> list[str]:
        return [event for _, event, _ in self.lines]


@pytest.fixture
def logged() -> Logged:
    return Logged()


def broken() -> None:
    raise ValueError("a")


def failure(fails: Callable[[], None]) -> Exception:
    """Return what a function raises, with the place it did."""
    try:
        fails()
    except ValueError as error:
        return error
    raise AssertionError


class Moved(ConnectionStats):
    """What a connection may have moved."""

    received = 10
    sent = 20


async def test_each_kind_of_event_is_logged(mock_clock: MockClock, logged: Logged) -> None:
    reports = LogTelemetry(logged.log)
    bug = failure(broken)
    traced = {"error": "ValueError('a')", "exc_info": (ValueError, bug, bug.__traceback__)}
    reports.conversation_failed(bug, ENDPOINT, PEER)
    reports.connection_refused("too many connections", ENDPOINT, PEER)
    reports.accept_failed(FULL, ENDPOINT)
    reports.datagram_failed(bug, UDP, PEER)
    reports.datagram_dropped("it is too long", UDP, PEER)
    reports.datagram_dropped("an earlier reply was lost", UDP, None)
    reports.datagram_served(UDP)
    reports.drain_timed_out()
    reports.metrics_unshared(FULL)
    reports.metrics_unread(ValueError("a"))
    who = {"endpoint": ENDPOINT, "peer": PEER}
    sender = {"endpoint": UDP, "peer": PEER}
    assert logged.lines == [
        ("error", "conversation failed", {**who, **traced}),
        ("warning", "connection refused", {**who, "reason": "too many connections"}),
        ("warning", "no room for another connection", {"endpoint": ENDPOINT, "error": "Too many open files"}),
        ("error", "datagram failed", {**sender, **traced}),
        ("warning", "datagram not answered", {**sender, "reason": "it is too long"}),
        ("warning", "datagram not answered", {"endpoint": UDP, "reason": "an earlier reply was lost"}),
        ("warning", "the drain timeout is over; unfinished conversations were cut off", {}),
        ("warning", "metrics cannot be shared; the page is incomplete", {"error": "Too many open files"}),
        ("warning", "metrics cannot be read; the status page has a gap", {"error": "ValueError('a')"}),
    ]


async def test_a_flood_is_logged_once_per_interval_with_a_count(
    autojump_clock: MockClock, logged: Logged
) -> None:
    reports = LogTelemetry(logged.log)
    for _ in range(1000):
        reports.connection_refused("too many connections", ENDPOINT, PEER)
    reports.connection_refused("another reason", ENDPOINT, PEER)
    assert len(logged.lines) == 2
    await trio.sleep(INTERVAL_S)  # the mock clock's
    for _ in range(10):
        reports.connection_refused("too many connections", ENDPOINT, PEER)
    assert logged.events()[2:] == ["connection refused (and 999 more like this since)"]


async def test_suppressed_counts_are_logged_at_the_end(mock_clock: MockClock, logged: Logged) -> None:
    reports = LogTelemetry(logged.log)
    for _ in range(134):
        reports.connection_refused("too many connections", ENDPOINT, PEER)
    for _ in range(2):
        reports.accept_failed(FULL, ENDPOINT)
    reports.close()
    reports.close()
    assert logged.lines[2:] == [
        ("warning", "and 133 more like this: connection refused", {"reason": "too many connections"}),
        ("warning", "and 1 more like this: no room for another connection", {}),
    ]


async def test_endless_reasons_do_not_flood_the_log(mock_clock: MockClock, logged: Logged) -> None:
    reports = LogTelemetry(logged.log)
    for number in range(1000):
        reports.connection_refused(f"the header {number} is wrong", ENDPOINT, PEER)
    assert len(logged.lines) == 33
    reports.close()
    assert logged.lines[33:] == [
        ("warning", "and 967 more like this: connection refused", {"reason": "other"})
    ]


@pytest.mark.parametrize(("stats", "bytes_moved"), [(Moved(), (10, 20)), (None, (0, 0))])
def test_the_end_of_each_connection_is_logged_on_request(
    stats: ConnectionStats | None, bytes_moved: tuple[int, int], logged: Logged
) -> None:
    for telemetry in (LogTelemetry(logged.log), ConnectionEnds(logged.log)):
        telemetry.connection_closed(Outcome.LOST, stats, ENDPOINT, PEER, 1.23456789)
    received, sent = bytes_moved
    told = {"outcome": "lost", "seconds": 1.234568, "received": received, "sent": sent}
    assert logged.lines == [("info", "connection ended", {"endpoint": ENDPOINT, "peer": PEER, **told})]
