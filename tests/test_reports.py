"""What the command line tells while it serves: one line each, and a flood in one line per interval."""

from __future__ import annotations

import errno

import trio
from trio.testing import MockClock

from caas_trio import Endpoint, InternetPeer
from caas_trio.reports import INTERVAL, Reports

ENDPOINT = Endpoint.parse("tcp://127.0.0.1:1")
PEER = InternetPeer("127.0.0.1", 2)


async def test_each_kind_of_event_is_told(mock_clock: MockClock) -> None:
    told: list[str] = []
    reports = Reports(told.append)
    reports.conversation_failed(ValueError("a"), ENDPOINT, PEER)
    reports.connection_refused("too many connections", ENDPOINT, PEER)
    reports.accept_failed(OSError(errno.EMFILE, "Too many open files"), ENDPOINT)
    reports.drain_timed_out()
    assert told == [
        "a conversation with 127.0.0.1:2 on tcp://127.0.0.1:1 failed: ValueError('a')",
        "refused 127.0.0.1:2 on tcp://127.0.0.1:1: too many connections",
        "no room for another connection on tcp://127.0.0.1:1: Too many open files",
        "the drain timeout is over; unfinished conversations were cut off",
    ]


async def test_a_flood_is_told_once_an_interval_and_counted(autojump_clock: MockClock) -> None:
    told: list[str] = []
    reports = Reports(told.append)
    for _ in range(1000):
        reports.connection_refused("too many connections", ENDPOINT, PEER)
    reports.connection_refused("another reason", ENDPOINT, PEER)
    assert len(told) == 2
    await trio.sleep(INTERVAL)  # the mock clock's
    for _ in range(10):
        reports.connection_refused("too many connections", ENDPOINT, PEER)
    assert told[2:] == [
        "refused 127.0.0.1:2 on tcp://127.0.0.1:1: too many connections (and 999 more like this since)"
    ]


async def test_what_was_counted_is_told_in_the_end(mock_clock: MockClock) -> None:
    told: list[str] = []
    reports = Reports(told.append)
    for _ in range(134):
        reports.connection_refused("too many connections", ENDPOINT, PEER)
    reports.accept_failed(OSError(errno.EMFILE, "Too many open files"), ENDPOINT)
    reports.close()
    reports.close()
    assert told[2:] == ["and 133 more: too many connections"]
