"""Whether workers are alive, hang or are worn; readiness and metrics."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from caas_trio.testing.scheduling import seed_scheduler

from .harness import DIED, SupervisorHarness, begin, exists, service_manager, write


async def begin_slowly(harness: SupervisorHarness, nursery: trio.Nursery, clock: MockClock) -> None:
    """Begin with a clock that moves by hand."""
    await nursery.start(harness.run)
    while len(harness.alive) < 2 or harness.logged() or not harness.out:
        await trio.testing.wait_all_tasks_blocked()


async def test_the_watchdog_is_notified_while_every_worker_is_alive(
    harness: SupervisorHarness,
    nursery: trio.Nursery,
    autojump_clock: MockClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with service_manager(tmp_path, monkeypatch, 8) as notifications:
        await begin(harness, nursery)
        assert "NOTIFY_SOCKET" not in os.environ
        assert sorted(notifications()) == ["READY=1", "WATCHDOG=1"]
        one, other = harness.started
        assert one.config.watchdog_interval == 1
        await trio.sleep(3)
        one.control.send_nowait("alive")
        await trio.sleep(0.01)
        other.control.send_nowait("alive")
        await trio.sleep(0.01)
        assert notifications() == ["WATCHDOG=1"]
        await trio.sleep(3)
        other.control.send_nowait("alive")
        await trio.sleep(0.01)
        assert notifications() == []
        one.control.send_nowait("alive")
        await trio.sleep(0.01)
        assert notifications() == ["WATCHDOG=1"]
        await harness.signal(signal.SIGHUP)
        assert notifications() == ["RELOADING=1", "READY=1"]
        await trio.sleep(3)
        for each in harness.started[2:]:  # the old ones are not asked any more
            each.control.send_nowait("alive")
        await trio.sleep(0.01)
        assert notifications() == ["WATCHDOG=1"]
        harness.behaviors = ["mute", "mute"]
        await harness.signal(signal.SIGHUP)
        await harness.stop()
        assert notifications() == ["RELOADING=1", "STOPPING=1"]


async def test_it_is_ready_while_any_worker_serves(
    harness: SupervisorHarness, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    harness.arguments += ["--metrics", "127.0.0.1:0"]
    harness.behaviors = ["mute", "mute"]
    await begin(harness, nursery)
    folder = harness.started[0].config.metrics_folder
    assert folder is not None
    assert exists(folder)
    assert not harness.supervisor._is_ready()
    for each in harness.started:
        each.control.send_nowait("ready")
    await trio.sleep(0.1)
    assert harness.supervisor._is_ready()
    harness.logged()
    assert harness.out.splitlines()[1].startswith("metrics on http://127.0.0.1:")
    harness.behaviors = ["mute", "deaf"]
    for each in harness.started:
        each.end(-9)
    await trio.sleep(0.5)
    assert not harness.supervisor._is_ready()
    for each in harness.started[2:]:
        each.control.send_nowait("ready")
    await trio.sleep(0.1)
    assert harness.supervisor._is_ready()
    await harness.signal(signal.SIGTERM)
    assert not harness.over.is_set()
    assert not harness.supervisor._is_ready()
    await harness.over.wait()
    assert not exists(folder)


async def test_a_worker_that_never_started_is_not_counted_as_gone(
    harness: SupervisorHarness, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    harness.arguments += ["--metrics", "127.0.0.1:0"]
    harness.behaviors = ["impossible", "brief"]
    await begin(harness, nursery)
    await trio.sleep(10)
    metrics = harness.supervisor._metrics
    assert metrics is not None
    assert b"\ncaas_trio_workers_gone_total 1.0\n" in metrics.page()
    await harness.stop()


@pytest.mark.parametrize(
    ("behavior", "status"), [("busy", -signal.SIGABRT), ("uninterruptible", -signal.SIGKILL)]
)
async def test_a_worker_whose_loop_hangs_is_killed_and_replaced(
    behavior: str, status: int, harness: SupervisorHarness, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    harness.arguments += ["--worker-timeout", "4", "--metrics", "127.0.0.1:0"]
    harness.behaviors = [behavior]
    await begin(harness, nursery)
    assert harness.started[0].config.turn_interval == 1
    await trio.sleep(13)
    assert [each.returncode for each in harness.started] == [None, None]
    await trio.sleep(3)
    assert harness.started[0].returncode == status
    assert len(harness.alive) == 2
    stack = [("the stack of a worker", "")] if behavior == "busy" else []
    assert harness.logged() == [*stack, (DIED, "its loop has not turned for 4 seconds")]
    metrics = harness.supervisor._metrics
    assert metrics is not None
    assert b'caas_trio_workers_replaced_total{reason="timeout"} 1.0' in metrics.page()
    await harness.stop()


async def test_a_supervisor_that_was_suspended_checks_once_more(
    harness: SupervisorHarness, nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    harness.arguments += ["--worker-timeout", "4"]
    harness.behaviors = ["frozen", "frozen"]
    await begin_slowly(harness, nursery, mock_clock)
    mock_clock.jump(4.1)
    await trio.testing.wait_all_tasks_blocked()
    for worker in harness.started:
        worker.control.send_nowait("turned")
    await trio.testing.wait_all_tasks_blocked()
    mock_clock.jump(0.6)
    await trio.testing.wait_all_tasks_blocked()
    assert len(harness.alive) == 2
    mock_clock.autojump_threshold = 0
    for worker in harness.started:
        worker.end(0)
    await harness.stop()


async def test_a_worn_worker_retires_once_its_successor_is_ready(
    harness: SupervisorHarness, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    harness.arguments += ["--metrics", "127.0.0.1:0"]
    await begin(harness, nursery)
    harness.behaviors = ["mute"]
    await harness.worn[0].send("max_rss")
    await trio.sleep(1)
    third = harness.started[2]
    assert [each.commands for each in harness.started] == [[], [], []]
    third.control.send_nowait("ready")
    await trio.sleep(1)
    retired = [each for each in harness.started if each.commands]
    assert [each.commands for each in retired] == [["retire"]]
    assert retired[0] is not third
    assert len(harness.alive) == 2
    assert harness.logged() == [("worker replaced", "max_rss")]
    metrics = harness.supervisor._metrics
    assert metrics is not None
    assert b'caas_trio_workers_replaced_total{reason="max_rss"} 1.0' in metrics.page()
    third.end(3)  # its place is one like the others by now
    await trio.sleep(1)
    assert len(harness.alive) == 2
    await harness.stop()


async def test_a_worn_worker_stays_if_its_successor_fails(
    harness: SupervisorHarness, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    await begin(harness, nursery)
    harness.behaviors = ["fails"]
    await harness.worn[0].send("lifetime")
    await trio.sleep(30)
    assert harness.logged() == [(DIED, "cannot use it")]
    assert len(harness.alive) == 2
    with trio.fail_after(100):
        await harness.worn[0].send("lifetime")
        await harness.worn[0].send("lifetime")  # the other one, or this one a minute later
    await trio.sleep(1)
    assert ("worker replaced", "lifetime") in harness.logged()
    assert len(harness.alive) == 2
    await harness.stop()


async def test_a_worn_worker_that_dies_leaves_its_place_to_its_successor(
    harness: SupervisorHarness, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    await begin(harness, nursery)
    harness.behaviors = ["mute"]
    await harness.worn[0].send("lifetime")
    await trio.sleep(1)
    worn = next(each for each in harness.started if each.config.slot != 2 and not each.commands)
    for each in harness.started[:2]:
        each.end(3)
    await trio.sleep(1)
    assert worn.returncode == 3
    harness.started[2].end(3)  # before it was ready: it is replaced like any other
    await trio.sleep(1)
    assert len(harness.alive) == 2
    await harness.stop()


async def test_a_worn_worker_is_not_replaced_while_stopping(
    harness: SupervisorHarness, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    harness.behaviors = ["stubborn", "stubborn"]
    await begin(harness, nursery)
    await harness.signal(signal.SIGTERM)
    await harness.worn[0].send("lifetime")
    await trio.sleep(1)
    assert len(harness.started) == 2
    await harness.over.wait()


async def test_corrupt_metrics_affect_that_worker_only(
    harness: SupervisorHarness, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    harness.arguments += ["--metrics", "127.0.0.1:0"]
    await begin(harness, nursery)
    [first, _] = harness.started
    assert first.config.metrics_folder is not None
    written = write(Path(first.config.metrics_folder, "counter_0.db"), b"garbage" * 100)
    first.end(-signal.SIGKILL)
    await trio.sleep(1)
    assert harness.logged() == [("the metrics of a worker are lost", ""), (DIED, "signal 9")]
    assert not exists(written)
    assert len(harness.alive) == 2
    await harness.stop()


@pytest.mark.parametrize("order", range(8))
async def test_a_worn_worker_that_dies_together_with_its_successor_is_replaced(
    order: int, harness: SupervisorHarness, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    seed_scheduler(order)
    await begin(harness, nursery)
    harness.behaviors = ["mute"]
    await harness.worn[0].send("lifetime")
    await trio.sleep(1)
    *_, successor = harness.started
    for worker in (*harness.started[:2], successor):
        worker.end(-9)
    await trio.sleep(1)
    assert len(harness.alive) == 2
    await harness.stop()
