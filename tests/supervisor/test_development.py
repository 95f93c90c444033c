"""What `--reload` changes."""

from __future__ import annotations

from pathlib import Path

import trio
from trio.testing import MockClock

from .harness import FAILED, SupervisorHarness, begin


async def test_in_development_a_change_ends_the_old_workers_at_once(
    harness: SupervisorHarness, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    harness.watched = Path()
    await begin(harness, nursery)
    await harness.changed[0].send(["a.py", "b.py"])
    await trio.sleep(1)
    assert harness.logged() == [("files have changed", ""), ("reloaded", "")]
    assert [each.commands for each in harness.started] == [["cut"], ["cut"], [], []]
    await harness.stop()
    assert [each.commands[-1] for each in harness.alive] == []


async def test_in_development_a_stop_does_not_drain(
    harness: SupervisorHarness, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    harness.watched = Path()
    harness.behaviors = ["stubborn", "stubborn"]
    await begin(harness, nursery)
    before = trio.current_time()
    await harness.stop()
    assert trio.current_time() - before < 1
    assert [each.commands for each in harness.started] == [["stop", "cut"]] * 2


async def test_in_development_a_broken_app_waits_for_a_change(
    harness: SupervisorHarness, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    harness.watched = Path()
    harness.behaviors = ["fails", "mute", "fails", "mute"]
    await begin(harness, nursery)
    await trio.sleep(1)
    assert ("the app cannot be served; waiting for a change", "cannot use it") in harness.logged()
    await harness.changed[0].send(["a.py"])
    await trio.sleep(1)
    assert (FAILED, "cannot use it") in harness.logged()
    assert not harness.over.is_set()
    await harness.changed[0].send(["a.py"])
    await trio.sleep(1)
    assert harness.logged()[-1] == ("reloaded", "")
    assert len(harness.alive) == 2
    harness.behaviors = ["crashes"] * 10
    for each in harness.alive:
        each.end(3)
    await trio.sleep(10)
    reason = "workers die before they have served for long, 5 in a row: exit status 3"
    assert ("the app cannot be served; waiting for a change", reason) in harness.logged()
    await harness.stop()
