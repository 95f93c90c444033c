"""Stops: in every state, with a successor, and of workers that do not end."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from caas_trio import Endpoint
from caas_trio.program.worker_process import GRACE_S
from caas_trio.server.unixsocket import bind_unix

from .harness import DIED, SupervisorHarness, begin, exists, service_manager


@asynccontextmanager
async def with_successor(
    harness: SupervisorHarness, nursery: trio.Nursery, path: Path
) -> AsyncIterator[None]:
    """Begin a service at a Unix path, with a successor that waits to take it over."""
    endpoint = f"unix:{path}"
    harness.arguments.append(endpoint)
    await begin(harness, nursery)
    with closing(bind_unix(Endpoint.parse(endpoint), 0o600, takeover=True)):
        yield


@pytest.mark.parametrize("second", [None, signal.SIGTERM])
async def test_a_stop_during_a_reload(
    second: signal.Signals | None,
    harness: SupervisorHarness,
    nursery: trio.Nursery,
    autojump_clock: MockClock,
) -> None:
    await begin(harness, nursery)
    harness.behaviors = ["deaf", "mute"]
    await harness.signal(signal.SIGHUP)
    await harness.signal(signal.SIGTERM)
    assert not any(each.commands == [] for each in harness.started)
    if second:
        await harness.signal(second)
    begun = trio.current_time()
    await harness.over.wait()
    assert trio.current_time() - begun <= GRACE_S  # it has nobody to drain, and may take long to load
    assert (harness.failure, harness.logged()) == (None, [])


async def test_a_stop_before_all_are_ready(
    harness: SupervisorHarness, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    harness.behaviors = ["mute"]
    await begin(harness, nursery)
    await harness.stop()
    assert [each.commands for each in harness.started] == [["stop"], ["stop"]]
    assert (harness.failure, harness.logged(), harness.out) == (None, [], "")


async def test_a_stop_just_as_all_workers_get_ready(
    harness: SupervisorHarness, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    harness.behaviors = ["mute"]
    await begin(harness, nursery)
    harness.supervisor._current.settled.set()
    harness.supervisor._stop()
    await harness.over.wait()
    assert (harness.failure, harness.logged(), harness.out) == (None, [], "")


async def test_a_stop_while_endpoints_are_opened(
    harness: SupervisorHarness, nursery: trio.Nursery, autojump_clock: MockClock, tmp_path: Path
) -> None:
    await begin(harness, nursery)
    harness.hooks.before_change = partial(harness.signal, signal.SIGTERM)
    harness.behaviors = ["stubborn"]
    harness.started[0].behavior = "stubborn"
    harness.arguments.append(f"unix:{tmp_path}/added")
    await harness.signal(signal.SIGHUP)
    await harness.over.wait()
    assert len(harness.started) == 2
    assert not exists(tmp_path / "added")
    assert harness.logged() == [(DIED, "it did not end")]


async def test_a_stop_just_after_opening_starts_no_worker(
    harness: SupervisorHarness,
    nursery: trio.Nursery,
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def stop() -> None:
        harness.supervisor._stop()

    harness.hooks.after_change = stop
    await begin(harness, nursery)
    assert harness.over.is_set()
    assert (harness.started, harness.failure, harness.out) == ([], None, "")


async def test_a_starting_worker_gets_the_stop_after_its_config(
    harness: SupervisorHarness, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    harness.gate = trio.Event()
    harness.original = ["a" * 3_000_000]  # more than fits into a socket that is not read
    await begin(harness, nursery)
    await harness.signal(signal.SIGTERM)
    harness.gate.set()
    await harness.over.wait()
    assert [each.commands for each in harness.started] == [["stop"], ["stop"]]
    assert (harness.failure, harness.logged()) == (None, [])


async def test_a_stop_while_waiting_for_a_worker_starts_no_more(
    harness: SupervisorHarness, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    harness.behaviors = ["good", *4 * ["crashes"]]
    await nursery.start(harness.run)
    await trio.sleep(1)  # the next one is due in half a second
    assert len(harness.started) == 5
    await harness.stop()
    assert len(harness.started) == 5


async def test_a_worker_that_does_not_stop_is_killed(
    harness: SupervisorHarness, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    harness.behaviors = ["stubborn", "sick"]
    await begin(harness, nursery)
    begun = trio.current_time()
    await harness.stop()
    assert trio.current_time() - begun == pytest.approx(10 + 5, abs=0.1)
    assert harness.logged() == [(DIED, "exit status 7"), (DIED, "it did not end")]
    assert harness.failure is None


async def test_a_second_signal_cuts(
    harness: SupervisorHarness, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    harness.behaviors = ["stubborn", "stubborn"]
    await begin(harness, nursery)
    await harness.signal(signal.SIGINT)
    assert not harness.over.is_set()
    await harness.signal(signal.SIGTERM)
    assert harness.over.is_set()
    assert [each.commands for each in harness.started] == [["stop", "cut"], ["stop", "cut"]]


async def test_workers_get_the_handover_command_after_a_takeover(
    harness: SupervisorHarness, nursery: trio.Nursery, autojump_clock: MockClock, tmp_path: Path
) -> None:
    path = tmp_path / "caas.sock"
    harness.behaviors = ["stubborn", "good"]
    async with with_successor(harness, nursery, path):
        begun = trio.current_time()
        await harness.stop()
        assert trio.current_time() - begun == pytest.approx(10 + 5, abs=0.1)  # no longer than without one
        assert [each.commands for each in harness.started] == [["handover"], ["handover"]]
        assert exists(path)
        assert not exists(f"{path}.next")


async def test_a_second_signal_cuts_after_a_handover_too(
    harness: SupervisorHarness, nursery: trio.Nursery, autojump_clock: MockClock, tmp_path: Path
) -> None:
    path = tmp_path / "caas.sock"
    harness.behaviors = ["stubborn", "stubborn"]
    async with with_successor(harness, nursery, path):
        await harness.signal(signal.SIGTERM)
        await harness.signal(signal.SIGTERM)
    assert harness.over.is_set()
    assert [each.commands for each in harness.started] == [["handover", "cut"], ["handover", "cut"]]


async def test_while_stopping_no_settings_are_read(
    harness: SupervisorHarness,
    nursery: trio.Nursery,
    autojump_clock: MockClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with service_manager(tmp_path, monkeypatch, 8) as notifications:
        harness.behaviors = ["stubborn"]
        await begin(harness, nursery)
        await harness.signal(signal.SIGTERM)
        harness.arguments += ["--max-line", "0"]
        await harness.signal(signal.SIGHUP)
        assert notifications()[-1] == "STOPPING=1"
        await harness.signal(signal.SIGTERM)
        await harness.over.wait()
    assert harness.logged() == []


async def test_more_signals_do_not_delay_the_end_of_a_frozen_worker(
    harness: SupervisorHarness, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    harness.behaviors = ["frozen"]
    await begin(harness, nursery)
    await harness.signal(signal.SIGTERM)
    cut = trio.current_time()
    for _ in range(3):
        await harness.signal(signal.SIGTERM)
        await trio.sleep(2)
    assert trio.current_time() - cut == pytest.approx(6, abs=0.1)
    assert harness.over.is_set()
    assert harness.logged() == [(DIED, "it did not end")]


async def test_a_retired_worker_is_killed_after_twice_the_drain_timeout(
    harness: SupervisorHarness, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    harness.behaviors = ["stubborn", "good"]
    await begin(harness, nursery)
    await harness.signal(signal.SIGHUP)
    assert len(harness.alive) == 3
    harness.logged()
    await trio.sleep(2 * 10 + 5)
    assert harness.logged() == [(DIED, "it did not end")]
    assert harness.alive == harness.started[2:]
    await harness.stop()


async def test_a_cancelled_supervisor_kills_its_workers(
    harness: SupervisorHarness, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    async with trio.open_nursery() as everything:
        await begin(harness, everything)
        everything.cancel_scope.cancel()
    assert [each.returncode for each in harness.started] == [-9, -9]
    harness.over.set()


async def test_a_worker_may_use_the_drain_timeout_of_its_app(
    harness: SupervisorHarness, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    harness.behaviors = ["lingering", "stubborn"]
    await begin(harness, nursery)
    await harness.signal(signal.SIGTERM)
    await trio.sleep(20)
    assert [each.returncode for each in harness.started] == [None, -signal.SIGKILL]
    await trio.sleep(90)
    assert harness.started[0].returncode == -signal.SIGKILL
    await harness.over.wait()
