"""The log of a case stays bounded."""

from __future__ import annotations

from caas_trio.conformance.wirelog import Event, WireLog


def test_an_entry_keeps_the_beginning_and_the_size() -> None:
    log = WireLog()
    log.add(3, Event.RECEIVED, b"x" * 100_000)
    assert (log.entries[0].client, log.entries[0].size, len(log.entries[0].data)) == (3, 100_000, 256)


def test_entries_beyond_the_bound_are_counted() -> None:
    log = WireLog()
    for _ in range(1000):
        log.add(0, Event.SENT, b"x")
    assert len(log.entries) + log.left_out == 1000
    assert log.left_out > 0
